package correlations

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/api"
	"stega/civil"
	"stega/fault"
	"stega/quant"
	"stega/series"
)

// estimate holds a matrix and what the answer says about its returns.
type estimate struct {
	matrix       *mat.SymDense
	observations func(i, j int) int
	first, last  civil.Date // days with a return
	shrinkage    *float64
}

// fromSums returns the estimate of exact sums.
func fromSums(q query, sums *quant.Running) estimate {
	e := estimate{observations: sums.Observations}
	if q.method == "pearson" {
		e.matrix = sums.Correlation()
	} else {
		e.matrix = sums.Covariance(quant.Daily)
	}
	return e
}

// fromReturns returns the estimate of aligned returns.
func fromReturns(ctx context.Context, q query, f series.Frame) (e estimate, err error) {
	returns := f.Values
	moments, err := quant.NewCoMoments(ctx, returns)
	if err != nil {
		return e, err
	}
	e.observations = moments.Observations
	switch q.method {
	case "pearson":
		e.matrix = moments.Correlation()
	case "sample":
		e.matrix = moments.Covariance(q.frequency.PerYear())
	case "spearman", "kendall":
		e.matrix, err = quant.CorrelationBy(ctx, returns, quant.CorrelationMethod(q.method))
	case "semi":
		if q.kind == kindCorrelation {
			e.matrix, err = quant.Semicorrelation(ctx, returns, q.benchmark, q.missing)
			break
		}
		e.matrix, err = quant.Semicovariance(ctx, returns, q.benchmark, q.missing, q.frequency.PerYear())
	case "exponential":
		if q.kind == kindCorrelation {
			e.matrix, err = quant.ExponentialCorrelation(ctx, returns, f.Ages(), q.span)
			break
		}
		e.matrix, err = quant.ExponentialCovariance(ctx, returns, f.Ages(), q.span, q.frequency.PerYear())
	default:
		err = e.shrink(ctx, q, returns)
	}
	if err != nil {
		return e, err
	}
	if q.kind == kindCorrelation && e.shrinkage != nil {
		e.matrix = quant.CovarianceToCorrelation(e.matrix)
	}
	if n, same := commonCount(q.missing, returns); same {
		e.observations = func(int, int) int { return n }
	}
	return e, nil
}

// shrink estimates a covariance matrix with shrinkage, and its intensity.
func (e *estimate) shrink(ctx context.Context, q query, returns [][]float64) error {
	var shrunk quant.Shrunk
	var err error
	if q.method == "oas" {
		shrunk, err = quant.OAS(ctx, returns, q.missing, q.frequency.PerYear())
	} else {
		shrunk, err = quant.LedoitWolf(ctx, returns, q.target, q.missing, q.frequency.PerYear())
	}
	if errors.Is(err, quant.ErrUndefined) {
		n, _ := commonCount(q.missing, returns)
		if n > 1 {
			return fault.Invalid(
				"matrix_undefined", "%s with this target is undefined: the returns of a symbol do not vary", q.method,
			).
				WithHint("leave that symbol out, or choose another target or window")
		}
		return fault.Invalid(
			"matrix_undefined", "%s is undefined: there are %d %s returns that count", q.method, n, q.frequency,
		).
			WithHint("it needs two returns that all symbols have over the same days; " +
				"choose another window or fewer symbols, or give missing=zero")
	}
	e.matrix, e.shrinkage = shrunk.Covariance, &shrunk.Intensity
	return err
}

// commonCount returns the number of returns behind every cell, when the treatment of missing returns makes it the same
// for all cells.
func commonCount(missing quant.Missing, returns [][]float64) (n int, same bool) {
	if missing == quant.MissingPairwise {
		return 0, false
	}
	for t := range returns[0] {
		complete := true
		for _, r := range returns {
			complete = complete && r[t] == r[t]
		}
		if complete || missing == quant.MissingZero {
			n++
		}
	}
	return n, true
}

// repair makes a matrix positive semidefinite. A matrix with undefined cells stays as it is, and semidefinite is nil. A
// repaired correlation matrix keeps ones on its diagonal.
func (e *estimate) repair(q query) (semidefinite *bool, repaired *api.Repaired, err error) {
	before := e.matrix
	if q.repair == "none" {
		if hasUndefined(before) {
			return nil, nil, nil
		}
		is := quant.PositiveSemidefinite(before)
		return &is, nil, nil
	}
	after, changed, err := quant.Repair(before, quant.RepairMethod(q.repair))
	if errors.Is(err, quant.ErrUndefined) {
		return nil, nil, nil
	}
	is := true
	if err != nil || !changed {
		return &is, nil, err
	}
	if q.kind == kindCorrelation {
		after = quant.CovarianceToCorrelation(after)
	}
	repaired = &api.Repaired{Method: q.repair}
	for i := range after.SymmetricDim() {
		for j := range after.SymmetricDim() {
			d := math.Abs(after.At(i, j) - before.At(i, j))
			repaired.Distance += d * d
			repaired.Largest = math.Max(repaired.Largest, d)
		}
	}
	repaired.Distance = math.Sqrt(repaired.Distance)
	e.matrix = after
	return &is, repaired, nil
}

// hasUndefined reports whether a cell is NaN or infinite.
func hasUndefined(m *mat.SymDense) bool {
	for i := range m.SymmetricDim() {
		for j := range i + 1 {
			if v := m.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return true
			}
		}
	}
	return false
}

// order returns the symbols in the leaf order of a clustering, which puts similar ones next to each other.
func (e *estimate) order(q query, symbols []string) ([]string, error) {
	correlation := e.matrix
	if q.kind == kindCovariance {
		correlation = quant.CovarianceToCorrelation(correlation)
	}
	merges, err := quant.Linkage(quant.CorrelationDistance(correlation), q.linkage)
	if err != nil {
		return nil, err
	}
	order := make([]string, len(symbols))
	for at, i := range quant.LeafOrder(merges) {
		order[at] = symbols[i]
	}
	return order, nil
}

// maxReasons bounds the reasons of an answer: a thousand symbols have half a million pairs.
const maxReasons = 100

// reasons returns the reasons of the first undefined cells and the number of all. A symbol that is undefined by itself
// has one reason, and its pairs have none.
func (e *estimate) reasons(q query, symbols []string) (out []api.Undefined, count int) {
	out = []api.Undefined{}
	add := func(observations int, symbols ...string) {
		if count++; count <= maxReasons {
			out = append(out, reason(q, observations, symbols...))
		}
	}
	undefined := make([]bool, len(symbols))
	n := e.matrix.SymmetricDim()
	for i := range n {
		if v := e.matrix.At(i, i); math.IsNaN(v) || math.IsInf(v, 0) {
			undefined[i] = true
			add(e.observations(i, i), symbols[i])
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			if v := e.matrix.At(i, j); !undefined[i] && !undefined[j] && (math.IsNaN(v) || math.IsInf(v, 0)) {
				add(e.observations(i, j), symbols[i], symbols[j])
			}
		}
	}
	return out, count
}

// reason returns the reason for which a symbol or a pair with a number of observations is undefined.
func reason(q query, observations int, symbols ...string) api.Undefined {
	common, advice := "", ""
	if len(symbols) > 1 {
		common = " that they have over the same days"
		if q.frequency == series.Daily {
			advice = "; there may be more with frequency=weekly or monthly"
		}
	}
	if observations < 2 {
		detail := fmt.Sprintf("the number of returns%s is %d, and two are needed%s", common, observations, advice)
		return api.Undefined{Symbols: symbols, Code: "too_few", Detail: detail}
	}
	if len(symbols) == 1 {
		return api.Undefined{
			Symbols: symbols,
			Code:    "constant",
			Detail:  fmt.Sprintf("its %d returns do not vary", observations),
		}
	}
	return api.Undefined{
		Symbols: symbols,
		Code:    "constant",
		Detail:  fmt.Sprintf("over the %d returns%s, one does not vary", observations, common),
	}
}
