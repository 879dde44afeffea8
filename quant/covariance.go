package quant

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Missing says what an estimator does with values that are not there.
type Missing string

// What to do with missing values.
const (
	MissingComplete Missing = "complete" // only periods in which every asset is observed count
	MissingPairwise Missing = "pairwise" // each pair has its own common periods
	// a missing return is 0, as PyPortfolioOpt takes it: it draws risk towards 0, and is there to compare with
	MissingZero Missing = "zero"
)

// ErrOption says that an option has a value that the function does not know.
var ErrOption = errors.New("this function does not know the option")

// fill prepares series for an estimator that needs a value in each period.
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

// Semicovariance is the matrix of periods·mean of d(x)·d(y) with d(r) = min(r−benchmark, 0) and a benchmark per
// period, over the common periods of each pair (MissingPairwise), or over all periods with 0 for what is missing
// (MissingZero, as PyPortfolioOpt, whose benchmark is 0.000079). Source: Estrada, Mean-semivariance optimization: a
// heuristic approach (2008). ErrLength, ErrOption. It is NaN for a pair without a common period.
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

// Semicorrelation is the matrix of Σ d(x)·d(y)/√(Σ d(x)²·Σ d(y)²) of Semicovariance's d, all three over the common
// periods of the pair.
func Semicorrelation(ctx context.Context, returns [][]float64, benchmark float64,
	missing Missing) (*mat.SymDense, error) {
	m, err := shortfalls(ctx, returns, benchmark, missing)
	if err != nil {
		return nil, err
	}
	return m.cosines(), nil
}

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

// around0 makes products of the values as they are.
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

// Span180 is the span of exponential weights of covariances that is in use, and Span500 that of returns.
const (
	Span180 = 180.0
	Span500 = 500.0
)

// ExponentialCovariance is the matrix of periods·Σ w(t)·(x(t)−x̄)(y(t)−ȳ) / Σ w(t) over the common periods of each
// pair, with w(t) = (1−α)^age(t), α = 2/(span+1), and means without weights over all observations of each series, as
// PyPortfolioOpt's exp_cov. ages are in periods; without them (nil), each row is a period, and age(t) = T−1−t.
// ErrLength; ErrOption for a span below 1. It is NaN for a pair without a common period.
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

// ExponentialCorrelation is the matrix of the covariances of ExponentialCovariance over the deviations by the same
// weights and means, all three over the common periods of the pair: not over those that each series has on its own,
// which may be of another time.
func ExponentialCorrelation(ctx context.Context, returns [][]float64, ages []float64,
	span float64) (*mat.SymDense, error) {
	m, _, err := exponential(ctx, returns, ages, span)
	if err != nil {
		return nil, err
	}
	return m.cosines(), nil
}

// exponential makes the co-moments of deviations that are weighted by the roots of the weights, and these roots where
// there is an observation.
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
			if weighted[i][t] = (v - mean) * root[t]; math.Abs(v-mean) < apart {
				weighted[i][t] = 0 // one that does not vary
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

// Shrink draws a covariance matrix towards the mean of its variances: (1−δ)·S + δ·(tr S/N)·I. ErrOption for a δ
// outside [0, 1].
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
