package quant

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Missing names how an estimator treats missing values.
type Missing string

// The treatments of missing values.
const (
	MissingComplete Missing = "complete" // use only the periods in which every asset is observed
	MissingPairwise Missing = "pairwise" // use the common periods of each pair
	// MissingZero counts a missing return as 0, as PyPortfolioOpt does. That underestimates risk; it exists for
	// comparison.
	MissingZero Missing = "zero"
)

// ErrOption reports an option value that the function does not support.
var ErrOption = errors.New("unsupported option")

// fill returns the series without gaps, for an estimator that needs a value in each period.
func (missing Missing) fill(returns [][]float64) ([][]float64, error) {
	days, err := sameLength(returns)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(returns))
	switch missing {
	case MissingZero:
		for i, r := range returns {
			out[i] = make([]float64, days)
			for t, v := range r {
				if v == v {
					out[i][t] = v
				}
			}
		}
	case MissingComplete:
		for i := range out {
			out[i] = make([]float64, 0, days)
		}
	period:
		for t := range days {
			for _, r := range returns {
				if r[t] != r[t] {
					continue period
				}
			}
			for i, r := range returns {
				out[i] = append(out[i], r[t])
			}
		}
	default:
		return nil, fmt.Errorf("%w: missing %q", ErrOption, string(missing))
	}
	return out, nil
}

// Semicovariance returns the N×N matrix periods·mean(d(x)·d(y)) of returns[a][t], with d(r) = min(r−benchmark, 0).
// The benchmark is per period. MissingPairwise averages over the common periods of each pair. MissingZero averages
// over all periods with 0 for missing values, as PyPortfolioOpt does with a benchmark of 0.000079. A pair without a
// common period is NaN. Errors: ErrLength, ErrOption.
//
// Source: Estrada, Mean-semivariance optimization: a heuristic approach (2008).
func Semicovariance(ctx context.Context, returns [][]float64, benchmark float64, missing Missing,
	periods float64) (*mat.SymDense, error) {
	m, err := shortfalls(ctx, returns, benchmark, missing)
	if err != nil {
		return nil, err
	}
	return symmetric(m.series, func(i, j int) float64 {
		n := m.Observations(i, j)
		if n == 0 || !m.defined[i] || !m.defined[j] {
			return math.NaN()
		}
		return m.products[i*m.stride+j] / float64(n) * periods
	}), nil
}

// Semicorrelation returns the N×N matrix Σ d(x)·d(y)/√(Σ d(x)²·Σ d(y)²), with d as in Semicovariance and all sums
// over the common periods of the pair. Errors: ErrLength, ErrOption.
func Semicorrelation(ctx context.Context, returns [][]float64, benchmark float64,
	missing Missing) (*mat.SymDense, error) {
	m, err := shortfalls(ctx, returns, benchmark, missing)
	if err != nil {
		return nil, err
	}
	return m.cosines(), nil
}

// shortfalls returns the co-moments of min(r−benchmark, 0) about 0.
func shortfalls(ctx context.Context, returns [][]float64, benchmark float64, missing Missing) (*CoMoments, error) {
	if missing == MissingZero || missing == MissingComplete {
		var err error
		if returns, err = missing.fill(returns); err != nil {
			return nil, err
		}
	} else if missing != MissingPairwise {
		return nil, fmt.Errorf("%w: missing %q", ErrOption, string(missing))
	}
	drops := make([][]float64, len(returns))
	for i, r := range returns {
		drops[i] = make([]float64, len(r))
		for t, v := range r {
			drops[i][t] = math.Min(v-benchmark, 0) // NaN stays
		}
	}
	return newCoMoments(ctx, drops, around0)
}

// around0 centres the deviations on 0: products are of the values themselves.
func around0(values []float64) (from float64, n int) {
	for _, v := range values {
		if math.IsInf(v, 0) {
			from = math.NaN()
		}
		if v == v {
			n++
		}
	}
	return from, n
}

// Span180 is the usual span of exponential weights for covariances, Span500 that for returns, both in periods.
const (
	Span180 = 180.0
	Span500 = 500.0
)

// ExponentialCovariance returns the N×N matrix periods·Σ w(t)·(x(t)−x̄)(y(t)−ȳ) / Σ w(t), over the common periods of
// each pair. The weights are w(t) = (1−α)^age(t), with α = 2/(span+1). The means are unweighted, over all
// observations of each series, as in PyPortfolioOpt's exp_cov. ages are in periods; nil means age(t) = T−1−t. A pair
// without a common period is NaN. Errors: ErrLength; ErrOption for a span below 1.
func ExponentialCovariance(ctx context.Context, returns [][]float64, ages []float64, span,
	periods float64) (*mat.SymDense, error) {
	m, seen, err := exponential(ctx, returns, ages, span)
	if err != nil {
		return nil, err
	}
	weights, err := newCoMoments(ctx, seen, around0)
	if err != nil {
		return nil, err
	}
	return symmetric(m.series, func(i, j int) float64 {
		if !m.defined[i] || !m.defined[j] {
			return math.NaN()
		}
		return m.products[i*m.stride+j] / weights.products[i*weights.stride+j] * periods // 0/0 without a common period
	}), nil
}

// ExponentialCorrelation returns the N×N correlations by the weights and means of ExponentialCovariance. Covariance
// and deviations are over the common periods of the pair; a series' own periods may lie at another time. Errors are
// those of ExponentialCovariance.
func ExponentialCorrelation(ctx context.Context, returns [][]float64, ages []float64,
	span float64) (*mat.SymDense, error) {
	m, _, err := exponential(ctx, returns, ages, span)
	if err != nil {
		return nil, err
	}
	return m.cosines(), nil
}

// exponential returns the co-moments of deviations times the square roots of the weights, and these roots for each
// observation.
func exponential(ctx context.Context, returns [][]float64, ages []float64,
	span float64) (m *CoMoments, seen [][]float64, err error) {
	days, err := sameLength(returns)
	if err != nil {
		return nil, nil, err
	}
	if !(span >= 1) {
		return nil, nil, fmt.Errorf("%w: span %v", ErrOption, span)
	}
	if ages != nil && len(returns) > 0 && len(ages) != days {
		return nil, nil, fmt.Errorf("%w: %d ages of %d periods", ErrLength, len(ages), days)
	}
	root := make([]float64, days)
	for t := range root {
		age := float64(days - 1 - t)
		if ages != nil {
			age = ages[t]
		}
		root[t] = math.Pow(1-2/(span+1), age/2)
	}
	weighted, means := make([][]float64, len(returns)), make([]float64, len(returns))
	seen = make([][]float64, len(returns))
	for i, r := range returns {
		mean, _ := meanOf(r)
		means[i] = mean
		weighted[i], seen[i] = make([]float64, days), make([]float64, days)
		for t, v := range r {
			if weighted[i][t] = (v - mean) * root[t]; math.Abs(v-mean) < minDifference {
				weighted[i][t] = 0 // the series is constant
			}
			if v == v {
				seen[i][t] = root[t]
			}
		}
	}
	if m, err = newCoMoments(ctx, weighted, around0); err != nil {
		return nil, nil, err
	}
	for i := range means {
		m.defined[i] = !math.IsNaN(means[i])
	}
	return m, seen, nil
}

// Shrink returns (1−δ)·S + δ·(tr S/N)·I: the covariance S, shrunk towards its mean variance. Errors: ErrOption for a
// δ outside [0, 1].
func Shrink(covariance *mat.SymDense, delta float64) (*mat.SymDense, error) {
	if !(delta >= 0 && delta <= 1) {
		return nil, fmt.Errorf("%w: shrinkage of %v", ErrOption, delta)
	}
	n := covariance.SymmetricDim()
	mean := 0.0
	for i := range n {
		mean += covariance.At(i, i) / float64(n)
	}
	return symmetric(n, func(i, j int) float64 {
		v := (1 - delta) * covariance.At(i, j)
		if i == j {
			v += delta * mean
		}
		return v
	}), nil
}
