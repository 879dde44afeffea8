package quant

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ShrinkageTarget names the target towards which a covariance matrix is shrunk.
type ShrinkageTarget string

// The targets of LedoitWolf.
const (
	// ConstantVariance is the mean variance times I (Ledoit and Wolf 2004, A well-conditioned estimator for
	// large-dimensional covariance matrices).
	ConstantVariance ShrinkageTarget = "constant_variance"
	// SingleFactor is the market model, whose market is the mean of all assets (Ledoit and Wolf 2003, Improved
	// estimation of the covariance matrix of stock returns).
	SingleFactor ShrinkageTarget = "single_factor"
	// ConstantCorrelation is the mean correlation (Ledoit and Wolf 2004, Honey, I shrunk the sample covariance
	// matrix).
	ConstantCorrelation ShrinkageTarget = "constant_correlation"
)

// Shrunk is a shrunk covariance matrix δ·target + (1−δ)·sample; Intensity is its δ.
type Shrunk struct {
	Covariance *mat.SymDense
	Intensity  float64
}

// LedoitWolf returns the N×N sample covariance of returns[a][t], shrunk towards a target by the optimal intensity,
// times periods. Sample moments are over n, as in scikit-learn; for ConstantCorrelation over n−1, as in
// PyPortfolioOpt. MissingComplete uses the periods in which every asset is observed. MissingZero, the way of
// PyPortfolioOpt, counts a missing return as 0, with a pairwise complete sample for ConstantCorrelation. Errors:
// ErrLength, ErrOption; ErrUndefined for fewer than two periods or values that are not finite.
func LedoitWolf(ctx context.Context, returns [][]float64, target ShrinkageTarget, missing Missing,
	periods float64) (Shrunk, error) {
	c, err := center(ctx, returns, missing)
	if err != nil {
		return Shrunk{}, err
	}
	var goal *mat.SymDense
	var intensity float64
	sample := c.sample
	switch target {
	case ConstantVariance:
		goal, intensity = c.constantVariance()
	case SingleFactor:
		goal, intensity = c.singleFactor()
	case ConstantCorrelation:
		filled := returns
		if missing == MissingComplete {
			filled = c.x
		}
		if sample, err = Covariance(ctx, filled, 1); err != nil {
			return Shrunk{}, err
		}
		goal, intensity = c.constantCorrelation(sample)
	default:
		return Shrunk{}, fmt.Errorf("%w: target %q", ErrOption, string(target))
	}
	intensity = math.Max(0, math.Min(1, intensity))
	if math.IsNaN(intensity) {
		intensity = 0 // the sample equals the target
	}
	out := symmetric(len(c.x), func(i, j int) float64 {
		return periods * (intensity*goal.At(i, j) + (1-intensity)*sample.At(i, j))
	})
	return Shrunk{out, intensity}, finite(out)
}

// OAS returns the oracle approximating shrinkage of the N×N sample covariance over n towards the mean variance times
// I, times periods, as in scikit-learn. Missing values and errors are as in LedoitWolf.
//
// Source: Chen, Wiesel, Eldar and Hero, Shrinkage algorithms for MMSE covariance estimation (2010).
func OAS(ctx context.Context, returns [][]float64, missing Missing, periods float64) (Shrunk, error) {
	c, err := center(ctx, returns, missing)
	if err != nil {
		return Shrunk{}, err
	}
	n := float64(len(c.x))
	mean, alpha := c.meanVariance(), squares(c.sample)/(n*n)
	intensity := 1.0
	if rest := (c.t + 1) * (alpha - mean*mean/n); rest != 0 {
		intensity = math.Min(1, (alpha+mean*mean)/rest)
	}
	out, err := Shrink(c.sample, intensity)
	if err != nil {
		return Shrunk{}, fmt.Errorf("%w: %w", ErrUndefined, err)
	}
	return Shrunk{Scale(out, periods), intensity}, nil
}

// centered holds series without gaps, less their means, and their covariance over n.
type centered struct {
	x      [][]float64
	t      float64 // number of periods
	sample *mat.SymDense
}

// center returns the centered series of returns. Errors: those of LedoitWolf.
func center(ctx context.Context, returns [][]float64, missing Missing) (*centered, error) {
	filled, err := missing.fill(returns)
	if err != nil {
		return nil, err
	}
	if len(filled) == 0 || len(filled[0]) < 2 {
		return nil, fmt.Errorf("%w: fewer than two periods have values", ErrUndefined)
	}
	t := float64(len(filled[0]))
	sample, err := Covariance(ctx, filled, (t-1)/t)
	if err != nil {
		return nil, err
	}
	if err := finite(sample); err != nil {
		return nil, err
	}
	for i, s := range filled {
		mean, _ := meanOf(s)
		filled[i] = Over(s, mean)
	}
	return &centered{filled, t, sample}, nil
}

func (c *centered) meanVariance() float64 {
	sum := 0.0
	for i := range c.x {
		sum += c.sample.At(i, i)
	}
	return sum / float64(len(c.x))
}

// squares returns the square of the Frobenius norm.
func squares(m *mat.SymDense) float64 {
	sum := 0.0
	for i, n := 0, m.SymmetricDim(); i < n; i++ {
		for j := i + 1; j < n; j++ {
			sum += 2 * m.At(i, j) * m.At(i, j)
		}
		sum += m.At(i, i) * m.At(i, i)
	}
	return sum
}

// distance returns the square of the Frobenius norm of a − b.
func distance(a, b *mat.SymDense) float64 {
	return squares(symmetric(a.SymmetricDim(), func(i, j int) float64 { return a.At(i, j) - b.At(i, j) }))
}

// across returns, for each period, the sum of f over the assets.
func (c *centered) across(f func(i int, x float64) float64) []float64 {
	out := make([]float64, len(c.x[0]))
	for i, s := range c.x {
		for t, v := range s {
			out[t] += f(i, v)
		}
	}
	return out
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for t, v := range x {
		sum += v * y[t]
	}
	return sum
}

// The sums over all pairs below are of means over time, of products with one factor for each asset of the pair. They
// are computed as sums over time of products of two sums over assets, in O(N·T).

func (c *centered) constantVariance() (*mat.SymDense, float64) {
	n := float64(len(c.x))
	mean, all := c.meanVariance(), squares(c.sample)
	square := c.across(func(_ int, x float64) float64 { return x * x })
	beta := (dot(square, square)/c.t - all) / (n * c.t)
	delta := all/n - mean*mean
	goal := symmetric(len(c.x), func(i, j int) float64 {
		if i == j {
			return mean
		}
		return 0
	})
	return goal, math.Min(beta, delta) / delta
}

func (c *centered) singleFactor() (*mat.SymDense, float64) {
	n := len(c.x)
	market := c.across(func(_ int, x float64) float64 { return x / float64(n) })
	variance := dot(market, market) / c.t
	betas := make([]float64, n) // times the variance
	for i, s := range c.x {
		betas[i] = dot(s, market) / c.t
	}
	goal := symmetric(n, func(i, j int) float64 {
		if i == j || variance == 0 {
			return c.sample.At(i, j)
		}
		return betas[i] * betas[j] / variance
	})
	square := c.across(func(_ int, x float64) float64 { return x * x })
	pi := dot(square, square)/c.t - squares(c.sample)
	byBeta := c.across(func(i int, x float64) float64 { return betas[i] * x })
	first, third := 0.0, 0.0 // sums over all pairs, less the diagonal
	for t, m := range market {
		first += square[t] * m * byBeta[t] / c.t
		third += m * m * byBeta[t] * byBeta[t] / c.t
	}
	rho := 0.0
	for i, s := range c.x {
		addOwn, fourth, cubed, mixed := c.sample.At(i, i), 0.0, 0.0, 0.0
		for t, x := range s {
			z := x * market[t]
			square := x * x
			fourth += square * square
			cubed += square * z
			mixed += z * z
		}
		fourth, cubed, mixed = fourth/c.t, cubed/c.t, mixed/c.t
		rho += fourth - addOwn*addOwn
		for j := range n {
			first -= betas[i] * c.sample.At(i, j) * betas[j]
			third -= variance * c.sample.At(i, j) * betas[i] * betas[j]
		}
		first -= (cubed - betas[i]*addOwn) * betas[i]
		third -= (mixed - variance*addOwn) * betas[i] * betas[i]
	}
	if variance > 0 {
		rho += 2*first/variance - third/(variance*variance)
	}
	return goal, (pi - rho) / distance(c.sample, goal) / c.t
}

func (c *centered) constantCorrelation(sample *mat.SymDense) (*mat.SymDense, float64) {
	n := len(c.x)
	sd := make([]float64, n)
	for i := range sd {
		sd[i] = math.Sqrt(sample.At(i, i))
	}
	mean := 0.0
	for i := range n {
		for j := i + 1; j < n; j++ {
			mean += 2 * sample.At(i, j) / (sd[i] * sd[j])
		}
	}
	mean /= float64(n) * float64(n-1)
	goal := symmetric(n, func(i, j int) float64 {
		if i == j {
			return sample.At(i, i)
		}
		return mean * sd[i] * sd[j]
	})
	square := c.across(func(_ int, x float64) float64 { return x * x })
	pi := dot(square, square) / c.t
	theta := dot(c.across(func(i int, x float64) float64 { return x * x * x / sd[i] }),
		c.across(func(i int, x float64) float64 { return sd[i] * x })) / c.t
	rho := 0.0
	for i, s := range c.x {
		addOwn, variance, fourth := c.sample.At(i, i), sample.At(i, i), 0.0
		for _, x := range s {
			square := x * x
			fourth += square * square
		}
		fourth /= c.t
		theta -= fourth
		rho += fourth - 2*addOwn*variance + variance*variance
		for j := range n {
			pi += sample.At(i, j) * (sample.At(i, j) - 2*c.sample.At(i, j))
			if i != j {
				theta -= sd[j] / sd[i] * ((addOwn-variance)*sample.At(i, j) + c.sample.At(i, j)*variance)
			}
		}
	}
	return goal, (pi - rho - mean*theta) / distance(sample, goal) / c.t
}
