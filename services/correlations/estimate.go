package correlations

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/civil"
	"stega/fault"
	"stega/quant"
	"stega/series"
)

// estimate is a matrix with what it was made of.
type estimate struct {
	matrix       *mat.SymDense
	observations func(i, j int) int
	first, last  civil.Date // days with a return
	shrinkage    *float64
}

// exact is an estimate by the sums of the universe.
func exact(q query, sums *quant.Running) estimate {
	e := estimate{observations: sums.Observations}
	if q.method == "pearson" {
		e.matrix = sums.Correlation()
	} else {
		e.matrix = sums.Covariance(quant.Daily)
	}
	return e
}

// estimated is an estimate of the returns themselves.
func estimated(ctx context.Context, q query, f series.Frame) (e estimate, err error) {
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
	if n, alike := alike(q.missing, returns); alike {
		e.observations = func(int, int) int { return n }
	}
	return e, nil
}

func (e *estimate) shrink(ctx context.Context, q query, returns [][]float64) error {
	var shrunk quant.Shrunk
	var err error
	if q.method == "oas" {
		shrunk, err = quant.OAS(ctx, returns, q.missing, q.frequency.PerYear())
	} else {
		shrunk, err = quant.LedoitWolf(ctx, returns, q.target, q.missing, q.frequency.PerYear())
	}
	if errors.Is(err, quant.ErrUndefined) {
		n, _ := alike(q.missing, returns)
		if n > 1 {
			return fault.Invalid("matrix_undefined", "%s towards this target is not defined here: the returns of a symbol do not vary", q.method).
				WithHint("leave that symbol out, or choose another target or window")
		}
		return fault.Invalid("matrix_undefined", "%s is not defined here: there are %d %s returns that count", q.method, n, q.frequency).
			WithHint("it takes two returns at least that all symbols have between the same days; choose another window or fewer symbols, or say missing=zero")
	}
	e.matrix, e.shrinkage = shrunk.Covariance, &shrunk.Intensity
	return err
}

// alike is the number of returns behind every cell alike, when that is how missing returns are treated.
func alike(missing quant.Missing, returns [][]float64) (n int, alike bool) {
	if missing == quant.MissingPairwise {
		return 0, false
	}
	for t := range returns[0] {
		there := true
		for _, r := range returns {
			there = there && r[t] == r[t]
		}
		if there || missing == quant.MissingZero {
			n++
		}
	}
	return n, true
}

// Repaired says how a matrix was made positive semidefinite, and how far that took it.
type Repaired struct {
	Method   quant.RepairMethod `json:"method"`
	Distance float64            `json:"distance"` // in Frobenius' norm
	Largest  float64            `json:"largest"`  // of the changes of single cells
}

// repair makes a matrix positive semidefinite, unless cells are not defined: then there is nothing to be said about
// it. A correlation keeps the ones on its diagonal.
func (e *estimate) repair(q query) (semidefinite *bool, repaired *Repaired, err error) {
	before := e.matrix
	if q.repair == "none" {
		if undefined(before) {
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
	repaired = &Repaired{Method: quant.RepairMethod(q.repair)}
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

func undefined(m *mat.SymDense) bool {
	for i := range m.SymmetricDim() {
		for j := range i + 1 {
			if v := m.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return true
			}
		}
	}
	return false
}

// order is the symbols in the order in which alike ones stand side by side.
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

// Undefined says why a symbol, or a pair of them, has no figure.
type Undefined struct {
	Symbols []string `json:"symbols"`
	Code    string   `json:"code"` // too_few, constant
	Detail  string   `json:"detail"`
}

// maxReasons bounds the reasons of an answer: a thousand symbols have half a million pairs.
const maxReasons = 100

// reasons are those of the first cells that are not defined, of a symbol where it is alone to blame and else of the
// pair, and how many there are in all.
func (e *estimate) reasons(q query, symbols []string) (out []Undefined, count int) {
	out = []Undefined{}
	add := func(observations int, symbols ...string) {
		if count++; count <= maxReasons {
			out = append(out, reason(q, observations, symbols...))
		}
	}
	blamed := make([]bool, len(symbols))
	n := e.matrix.SymmetricDim()
	for i := range n {
		if v := e.matrix.At(i, i); math.IsNaN(v) || math.IsInf(v, 0) {
			blamed[i] = true
			add(e.observations(i, i), symbols[i])
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			if v := e.matrix.At(i, j); !blamed[i] && !blamed[j] && (math.IsNaN(v) || math.IsInf(v, 0)) {
				add(e.observations(i, j), symbols[i], symbols[j])
			}
		}
	}
	return out, count
}

func reason(q query, observations int, symbols ...string) Undefined {
	common, elsewhere := "", ""
	if len(symbols) > 1 {
		common = " that they have between the same days"
		if q.frequency == series.Daily {
			elsewhere = "; with frequency=weekly or monthly there may be more"
		}
	}
	if observations < 2 {
		return Undefined{symbols, "too_few", fmt.Sprintf("the number of returns%s is %d, and it takes two%s", common, observations, elsewhere)}
	}
	return Undefined{symbols, "constant", fmt.Sprintf("over the %d returns%s, one does not vary", observations, common)}
}
