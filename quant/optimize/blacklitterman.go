package optimize

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// View is a forecast of returns: the portfolio Weights will return Return. One weight of one is an absolute view;
// weights that sum to zero are a relative view.
type View struct {
	Weights []float64 // N
	Return  float64   // annual
	// Confidence, from 0 to 1, is used only by Idzorek's method.
	Confidence float64
}

// Uncertainty names the source of the uncertainty Ω of views.
type Uncertainty string

// The sources of Ω.
const (
	// Proportional is Ω = τ·diag(PΣPᵀ) (He and Litterman 1999).
	Proportional Uncertainty = ""
	// Idzorek is Ω = τ·(1−c)/c·diag(PΣPᵀ) for the confidence c of each view (Idzorek 2005, in the closed form of
	// Walters, The Black-Litterman model in detail, 2014). A view with confidence 0 has no effect; a view with
	// confidence 1 is certain.
	Idzorek Uncertainty = "idzorek"
)

// Views is a market and the views on it (Black and Litterman 1992).
type Views struct {
	Names       []string
	Covariance  *mat.SymDense // Σ, annual
	Prior       []float64     // π, returns without views, such as MarketImpliedReturns; nil: zero
	Views       []View
	Tau         float64 // uncertainty of the prior as a part of Σ, above 0 and at most 1; 0 stands for .05
	Uncertainty Uncertainty
	Omega       *mat.SymDense // K×K, instead of Uncertainty
}

// Posterior holds the expectations after the views.
type Posterior struct {
	Returns    []float64
	Covariance *mat.SymDense // of returns, including the uncertainty of their means
	Omega      *mat.SymDense
}

// BlackLitterman returns a prior combined with views P, Q:
//
//	returns     π + τΣPᵀ(PτΣPᵀ + Ω)⁻¹(Q − Pπ)
//	covariance  Σ + τΣ − τΣPᵀ(PτΣPᵀ + Ω)⁻¹PτΣ
//
// Certain views that repeat others are combined by the pseudo-inverse; those that contradict each other are an error.
// Errors: *InvalidError.
func BlackLitterman(v Views) (*Posterior, error) {
	names := assetNames(v.Names)
	r, err := newRisk(v.Covariance, names, refuse)
	if err != nil {
		return nil, err
	}
	n := r.n
	f := &feasible{n: n, names: names}
	prior := make([]float64, n)
	if v.Prior != nil {
		if err := values("prior", v.Prior, f); err != nil {
			return nil, err
		}
		copy(prior, v.Prior)
	}
	tau := v.Tau
	if tau == 0 {
		tau = .05
	}
	if !(tau > 0 && tau <= 1) {
		return nil, invalid("tau", "%v is not between 0 and 1", v.Tau)
	}
	views, omega, err := v.effective(f, r, tau)
	if err != nil {
		return nil, err
	}
	out := &Posterior{Returns: prior, Covariance: mat.NewSymDense(n, nil), Omega: omega}
	for i := range n {
		for j := i; j < n; j++ {
			out.Covariance.SetSym(i, j, (1+tau)*r.gram[i*n+j])
		}
	}
	k := len(views)
	if k == 0 {
		return out, nil
	}
	// sp is τΣPᵀ.
	p, q := mat.NewDense(k, n, nil), mat.NewVecDense(k, nil)
	for i, view := range views {
		p.SetRow(i, view.Weights)
		q.SetVec(i, view.Return-dot(view.Weights, prior))
	}
	var sp, a mat.Dense
	sp.Mul(r.sigma, p.T())
	sp.Scale(tau, &sp)
	a.Mul(p, &sp)
	a.Add(&a, omega)
	inverse, err := pseudoInverse(&a)
	if err != nil {
		return nil, err
	}
	// What is certain holds exactly: without Ω, P·returns = Q. It cannot when certain views contradict each other.
	var weighed, fit mat.VecDense
	weighed.MulVec(inverse, q)
	fit.MulVec(&a, &weighed)
	for i, view := range views {
		if omega.At(i, i) == 0 && math.Abs(fit.AtVec(i)-q.AtVec(i)) > 1e-8*(1+math.Abs(view.Return)) {
			return nil, invalid("views",
				"the views of certain returns contradict each other: no returns fulfil them all")
		}
	}
	var gain, m mat.Dense
	gain.Mul(&sp, inverse)
	var shift mat.VecDense
	shift.MulVec(&gain, q)
	m.Mul(&gain, sp.T())
	for i := range n {
		out.Returns[i] += shift.AtVec(i)
		for j := i; j < n; j++ {
			out.Covariance.SetSym(i, j, out.Covariance.At(i, j)-(m.At(i, j)+m.At(j, i))/2)
		}
	}
	return out, nil
}

// effective returns the views with an effect, and their uncertainty.
func (v Views) effective(f *feasible, r *risk, tau float64) ([]View, *mat.SymDense, error) {
	var views []View
	var diagonal []float64
	for i, view := range v.Views {
		field := fmt.Sprintf("view %d", i)
		if err := values(field, view.Weights, f); err != nil {
			return nil, nil, err
		}
		if math.IsNaN(view.Return) || math.IsInf(view.Return, 0) {
			return nil, nil, invalid(field, "the return is %v", view.Return)
		}
		variance := tau * r.variance(view.Weights)
		if v.Omega == nil {
			switch v.Uncertainty {
			case Proportional:
			case Idzorek:
				c := view.Confidence
				if !(c >= 0 && c <= 1) {
					return nil, nil, invalid(field, "the confidence %v is not between 0 and 1", c)
				}
				if c == 0 {
					continue
				}
				variance *= (1 - c) / c
			default:
				return nil, nil, invalid("uncertainty", "%q is not supported", v.Uncertainty)
			}
		}
		views, diagonal = append(views, view), append(diagonal, variance)
	}
	if len(views) == 0 {
		return nil, &mat.SymDense{}, nil
	}
	if v.Omega != nil {
		k := v.Omega.SymmetricDim()
		if k != len(views) {
			return nil, nil, invalid("omega", "%d rows for %d views", k, len(views))
		}
		if _, err := newRisk(v.Omega, nil, refuse); err != nil {
			return nil, nil, invalid("omega", "%v", err)
		}
		return views, v.Omega, nil
	}
	omega := mat.NewSymDense(len(views), nil)
	for i, x := range diagonal {
		omega.SetSym(i, i, x)
	}
	return views, omega, nil
}

// pseudoInverse returns the pseudo-inverse of a symmetric matrix without negative eigenvalues.
func pseudoInverse(a *mat.Dense) (*mat.Dense, error) {
	k, _ := a.Dims()
	s := mat.NewSymDense(k, nil)
	for i := range k {
		for j := i; j < k; j++ {
			s.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	out := mat.NewDense(k, k, nil)
	var chol mat.Cholesky
	if chol.Factorize(s) && chol.Cond() < conditioned {
		var inv mat.SymDense
		if err := chol.InverseTo(&inv); err == nil {
			out.Copy(&inv)
			return out, nil
		}
	}
	var e mat.EigenSym
	if !e.Factorize(s, true) {
		return nil, invalid("views", "the eigenvalues of their covariance do not converge")
	}
	values := e.Values(nil)
	var q, scaled mat.Dense
	e.VectorsTo(&q)
	scaled.CloneFrom(&q)
	for j, v := range values {
		f := 0.0
		if v > 1e-12*values[k-1] {
			f = 1 / v
		}
		for i := range k {
			scaled.Set(i, j, f*q.At(i, j))
		}
	}
	out.Mul(&scaled, q.T())
	return out, nil
}

// MarketImpliedReturns returns the returns at which the market would hold its present portfolio: aversion·Σw +
// riskFree, with w the shares of the capitalizations. Errors: *InvalidError.
func MarketImpliedReturns(covariance *mat.SymDense, capitalizations []float64, aversion,
	riskFree float64) ([]float64, error) {
	if covariance == nil || covariance.IsEmpty() {
		return nil, invalid("covariance", "there is none")
	}
	n := covariance.SymmetricDim()
	if err := values("capitalizations", capitalizations, &feasible{n: n}); err != nil {
		return nil, err
	}
	total := 0.0
	for _, c := range capitalizations {
		total += c
	}
	if !(total > 0) {
		return nil, invalid("capitalizations", "they sum to %v", total)
	}
	out := make([]float64, n)
	for i := range out {
		for j, c := range capitalizations {
			out[i] += covariance.At(i, j) * c / total
		}
		out[i] = aversion*out[i] + riskFree
	}
	return out, nil
}
