package quant

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// PortfolioVariance returns wᵀ·S·w for an N×N covariance S and N weights. For the weight differences of two
// portfolios it is the squared ex-ante tracking error. Errors: ErrLength unless each row has one weight.
func PortfolioVariance(covariance *mat.SymDense, weights []float64) (float64, error) {
	marginal, err := marginals(covariance, weights)
	if err != nil {
		return math.NaN(), err
	}
	return dot(weights, marginal), nil
}

// marginals returns S·w. Errors: ErrLength.
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

// RiskContributions returns the share of each asset in the volatility σ = √(wᵀSw) of a portfolio: w(i)·(S·w)(i)/σ.
// The shares sum to σ (Euler's theorem; Litterman 1996), and are NaN without volatility. Errors: ErrLength.
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

// ComponentVaR returns the share of each asset in the Gaussian value at risk of a portfolio, as a return: negative
// for a loss. The formula is w(i)·(μ(i) + z·(S·w)(i)/σ), with z the normal quantile at cutoff, 0.05 for 95 %. The
// shares sum to the whole. means and covariance are per the same period; the covariance is over n or n−1, as the
// whole is. Errors: ErrLength.
//
// Source: Boudt, Peterson and Croux, Estimation and decomposition of downside risk for portfolios with non-normal
// returns (2008).
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
