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
