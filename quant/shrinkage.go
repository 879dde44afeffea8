package quant

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// ShrinkageTarget says towards what a covariance matrix is drawn.
type ShrinkageTarget string

// The targets of LedoitWolf.
const (
	// the mean variance times I (Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices)
	ConstantVariance ShrinkageTarget = "constant_variance"
	// the market model, of the mean of all assets (2003, Improved estimation of the covariance matrix of stock returns)
	SingleFactor ShrinkageTarget = "single_factor"
	// the mean correlation (2004, Honey, I shrunk the sample covariance matrix)
	ConstantCorrelation ShrinkageTarget = "constant_correlation"
)

// Shrunk is a covariance matrix that was drawn towards a target, and how far: Intensity is the δ of δ·target +
// (1−δ)·sample.
type Shrunk struct {
	Covariance *mat.SymDense
	Intensity  float64
}

// LedoitWolf shrinks the sample covariance of returns[a][t] towards a target by the intensity that is optimal for it,
// and multiplies by periods. Sample moments are over n, as in scikit-learn, and for ConstantCorrelation over n−1, as
// in PyPortfolioOpt. With MissingComplete all is over the periods in which every asset is observed; with MissingZero,
// PyPortfolioOpt's way, a missing return is 0, but the sample of ConstantCorrelation is complete by pairs. ErrLength,
// ErrOption; ErrUndefined with fewer than two periods or values that are not finite.
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
		intensity = 0 // the sample is the target
	}
	out := symmetric(len(c.x), func(i, j int) float64 {
		return periods * (intensity*goal.At(i, j) + (1-intensity)*sample.At(i, j))
	})
	return Shrunk{out, intensity}, finite(out)
}

// OAS is the oracle approximating shrinkage towards the mean variance times I, of the sample covariance over n, as in
// scikit-learn, times periods (Chen, Wiesel, Eldar and Hero, Shrinkage algorithms for MMSE covariance estimation,
// 2010). Missing values and errors are as for LedoitWolf.
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

// centered is series without gaps, less their means, and their covariance over n.
type centered struct {
	x      [][]float64
	t      float64 // how many periods there are
	sample *mat.SymDense
}

func center(ctx context.Context, returns [][]float64, missing Missing) (*centered, error) {
	filled, err := missing.fill(returns)
	if err != nil {
		return nil, err
	}
	if len(filled) == 0 || len(filled[0]) < 2 {
		return nil, fmt.Errorf("%w: there are fewer than two periods with values", ErrUndefined)
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

// squares is the square of Frobenius' norm.
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

func distance(a, b *mat.SymDense) float64 {
	return squares(symmetric(a.SymmetricDim(), func(i, j int) float64 { return a.At(i, j) - b.At(i, j) }))
}

// across makes, for each period, the sum over assets of f.
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

// The sums over all pairs below, of means over time of products of one factor for each asset of the pair, are
// computed as sums over time of products of two sums over assets, so that they cost O(N·T).

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
	first, third := 0.0, 0.0 // the sums over all pairs less those on the diagonal
	for t, m := range market {
		first += square[t] * m * byBeta[t] / c.t
		third += m * m * byBeta[t] * byBeta[t] / c.t
	}
	rho := 0.0
	for i, s := range c.x {
		own, fourth, cubed, mixed := c.sample.At(i, i), 0.0, 0.0, 0.0
		for t, x := range s {
			z := x * market[t]
			square := x * x
			fourth += square * square
			cubed += square * z
			mixed += z * z
		}
		fourth, cubed, mixed = fourth/c.t, cubed/c.t, mixed/c.t
		rho += fourth - own*own
		for j := range n {
			first -= betas[i] * c.sample.At(i, j) * betas[j]
			third -= variance * c.sample.At(i, j) * betas[i] * betas[j]
		}
		first -= (cubed - betas[i]*own) * betas[i]
		third -= (mixed - variance*own) * betas[i] * betas[i]
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
		own, variance, fourth := c.sample.At(i, i), sample.At(i, i), 0.0
		for _, x := range s {
			square := x * x
			fourth += square * square
		}
		fourth /= c.t
		theta -= fourth
		rho += fourth - 2*own*variance + variance*variance
		for j := range n {
			pi += sample.At(i, j) * (sample.At(i, j) - 2*c.sample.At(i, j))
			if i != j {
				theta -= sd[j] / sd[i] * ((own-variance)*sample.At(i, j) + c.sample.At(i, j)*variance)
			}
		}
	}
	return goal, (pi - rho - mean*theta) / distance(sample, goal) / c.t
}
