package optimize

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

// risk is a checked covariance.
type risk struct {
	n     int
	gram  []float64 // Σ, row by row
	root  []float64 // R with RᵀR = Σ, n×n, upper triangular when the matrix is definite
	sigma *mat.SymDense
	notes []string
}

// conditioned is the largest condition number of a well-conditioned matrix.
const conditioned = 1e12

// refuse stands for no repair.
const refuse quant.RepairMethod = ""

// newRisk checks a matrix, and repairs it by the given method. A note reports a matrix that is singular or nearly
// singular.
func newRisk(sigma *mat.SymDense, names assetNames, repair quant.RepairMethod) (*risk, error) {
	if sigma == nil || sigma.IsEmpty() {
		return nil, invalid("covariance", "there is none")
	}
	n := sigma.SymmetricDim()
	for i := range n {
		for j := i; j < n; j++ {
			if v := sigma.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, &InvalidError{Field: "covariance", Asset: i, Name: names.of(i),
					Detail: fmt.Sprintf("%v with %s", v, names.of(j))}
			}
		}
		if v := sigma.At(i, i); v < 0 {
			return nil, &InvalidError{Field: "covariance", Asset: i, Name: names.of(i),
				Detail: fmt.Sprintf("the variance is %v", v)}
		}
	}
	r := &risk{n: n, sigma: sigma}
	var chol mat.Cholesky
	if !chol.Factorize(sigma) {
		if err := r.spectrum(repair); err != nil {
			return nil, err
		}
	} else {
		if chol.Cond() > conditioned {
			r.notes = append(r.notes, fmt.Sprintf(
				"the covariance is nearly singular (condition number %.0e): weights of assets that move together "+
					"are uncertain",
				chol.Cond()))
		}
		var u mat.TriDense
		chol.UTo(&u)
		r.root = make([]float64, n*n)
		for i := range n {
			for j := i; j < n; j++ {
				r.root[i*n+j] = u.At(i, j)
			}
		}
	}
	r.gram = make([]float64, n*n)
	for i := range n {
		for j := range n {
			r.gram[i*n+j] = r.sigma.At(i, j)
		}
	}
	return r, nil
}

// spectrum checks, and perhaps repairs, the eigenvalues of a matrix that is not positive definite.
func (r *risk) spectrum(repair quant.RepairMethod) error {
	e, values, err := eigen(r.sigma)
	if err != nil {
		return err
	}
	n := r.n
	least, most := values[0], values[n-1]
	switch {
	case least >= -1e-10*math.Abs(most):
		r.notes = append(r.notes,
			"the covariance is singular: some assets are combinations of others, or do not move at all")
	case repair == refuse:
		return invalid("covariance", "not positive semidefinite: its smallest eigenvalue is %.3g, its largest %.3g",
			least, most)
	default:
		fixed, _, err := quant.Repair(r.sigma, repair)
		if err != nil {
			return invalid("repair", "%v", err)
		}
		r.notes = append(r.notes, fmt.Sprintf(
			"the covariance was not positive semidefinite (smallest eigenvalue %.3g) and was repaired: %s", least,
			repair))
		r.sigma = fixed
		if e, values, err = eigen(fixed); err != nil {
			return err
		}
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	r.root = make([]float64, n*n)
	for i, v := range values {
		f := math.Sqrt(math.Max(v, 0))
		for j := range n {
			r.root[i*n+j] = f * vectors.At(j, i)
		}
	}
	return nil
}

func eigen(s *mat.SymDense) (*mat.EigenSym, []float64, error) {
	var e mat.EigenSym
	if !e.Factorize(s, true) {
		return nil, nil, invalid("covariance", "its eigenvalues do not converge")
	}
	return &e, e.Values(nil), nil
}

// variance returns wᵀΣw.
func (r *risk) variance(w []float64) float64 {
	sum := 0.0
	for i, v := range w {
		if v == 0 {
			continue
		}
		row := 0.0
		for j, x := range r.gram[i*r.n : (i+1)*r.n] {
			row += x * w[j]
		}
		sum += v * row
	}
	return math.Max(sum, 0)
}
