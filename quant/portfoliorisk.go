package quant

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// PortfolioVariance is wᵀ·S·w. With the differences of two portfolios for weights it is the square of the ex-ante
// tracking error. ErrLength when there is not one weight for each row.
func PortfolioVariance(covariance *mat.SymDense, weights []float64) (float64, error) {
	marginal, err := marginals(covariance, weights)
	if err != nil {
		return math.NaN(), err
	}
	return dot(weights, marginal), nil
}

// marginals is S·w.
func marginals(covariance *mat.SymDense, weights []float64) ([]float64, error) {
	n := covariance.SymmetricDim()
	if len(weights) != n {
		return nil, fmt.Errorf("%w: %d weights for %d rows", ErrLength, len(weights), n)
	}
	out := make([]float64, n)
	for i := range n {
		for j, w := range weights {
			out[i] += covariance.At(i, j) * w
		}
	}
	return out, nil
}

// RiskContributions splits the volatility σ = √(wᵀSw) of a portfolio among its assets: w(i)·(S·w)(i)/σ, which sum up
// to σ (Euler's theorem; Litterman 1996). ErrLength. They are NaN for a portfolio without volatility.
func RiskContributions(covariance *mat.SymDense, weights []float64) ([]float64, error) {
	marginal, err := marginals(covariance, weights)
	if err != nil {
		return nil, err
	}
	sigma := math.Sqrt(dot(weights, marginal))
	for i, w := range weights {
		marginal[i] *= w / sigma
	}
	return marginal, nil
}

// ComponentVaR splits the Gaussian value at risk of a portfolio among its assets, as returns that are negative when
// they are losses: w(i)·(μ(i) + z·(S·w)(i)/σ), with z the quantile of the normal distribution at cutoff, 0.05 for 95
// %. The parts sum up to the whole. means and covariance are per the same period, and the covariance is over n or n−1
// as the whole shall be (Boudt, Peterson and Croux, Estimation and decomposition of downside risk for portfolios with
// non-normal returns, 2008). ErrLength.
func ComponentVaR(means []float64, covariance *mat.SymDense, weights []float64, cutoff float64) ([]float64, error) {
	parts, err := RiskContributions(covariance, weights)
	if err != nil {
		return nil, err
	}
	if len(means) != len(weights) {
		return nil, fmt.Errorf("%w: %d means for %d weights", ErrLength, len(means), len(weights))
	}
	z := normalQuantile(cutoff)
	for i, w := range weights {
		parts[i] = w*means[i] + z*parts[i]
	}
	return parts, nil
}
