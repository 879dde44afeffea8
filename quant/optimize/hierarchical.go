package optimize

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

// HierarchicalRiskParity returns weights without expected returns and without the inverse of a matrix (López de
// Prado, Building diversified portfolios that outperform out of sample, 2016). Assets are ordered by a hierarchical
// clustering of the distances √((1−ρ)/2). The order is halved again and again. Each halving divides the weight in
// inverse proportion to the variances of the halves, each with weights 1/σ² inside.
//
// correlation should be the correlation of returns over the common periods of each pair. Nil derives it from the
// covariance, which is the same only when all series have the same days. The usual method is quant.SingleLinkage. It
// takes O(N²) time.
//
// Errors: *InvalidError for values that are not finite, sizes that differ, and assets without variance.
func HierarchicalRiskParity(covariance, correlation *mat.SymDense, method quant.LinkageMethod,
	names []string) ([]float64, error) {
	named := assetNames(names)
	if covariance == nil || covariance.IsEmpty() {
		return nil, invalid("covariance", "there is none")
	}
	n := covariance.SymmetricDim()
	if correlation == nil {
		correlation = correlationOf(covariance)
	}
	if correlation.SymmetricDim() != n {
		return nil, invalid("correlation", "%d assets, and %d in the covariance", correlation.SymmetricDim(), n)
	}
	for i := range n {
		for j := i; j < n; j++ {
			if v := covariance.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, &InvalidError{Field: "covariance", Asset: i, Name: named.of(i),
					Detail: fmt.Sprintf("%v with %s", v, named.of(j))}
			}
			if v := correlation.At(i, j); i != j && (math.IsNaN(v) || math.IsInf(v, 0)) && covariance.At(i, i) > 0 &&
				covariance.At(j, j) > 0 {
				return nil, &InvalidError{Field: "correlation", Asset: i, Name: named.of(i),
					Detail: fmt.Sprintf("%v with %s", v, named.of(j))}
			}
		}
		if v := covariance.At(i, i); v <= 0 {
			return nil, &InvalidError{Field: "covariance", Asset: i, Name: named.of(i),
				Detail: fmt.Sprintf("the variance is %v: leave out assets that do not move", v)}
		}
	}
	merges, err := quant.Linkage(quant.CorrelationDistance(correlation), method)
	if err != nil {
		return nil, invalid("linkage", "%v", err)
	}
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = 1
	}
	bisect(covariance.RawSymmetric().Data, covariance.RawSymmetric().Stride, quant.LeafOrder(merges), weights)
	return weights, nil
}

// bisect divides the weight of a cluster between its halves.
func bisect(covariance []float64, stride int, order []int, weights []float64) {
	if len(order) < 2 {
		return
	}
	left, right := order[:len(order)/2], order[len(order)/2:]
	a, b := clusterVariance(covariance, stride, left), clusterVariance(covariance, stride, right)
	share := .5
	if a+b > 0 {
		share = b / (a + b)
	}
	for _, i := range left {
		weights[i] *= share
	}
	for _, i := range right {
		weights[i] *= 1 - share
	}
	bisect(covariance, stride, left, weights)
	bisect(covariance, stride, right, weights)
}

// clusterVariance returns the variance of the weights 1/σ² over some assets, from the upper triangle of the
// covariance.
func clusterVariance(covariance []float64, stride int, assets []int) float64 {
	w := make([]float64, len(assets))
	sum := 0.0
	for k, i := range assets {
		w[k] = 1 / covariance[i*stride+i]
		sum += w[k]
	}
	total := 0.0
	for k, i := range assets {
		row := 0.0
		for l, j := range assets[:k] {
			row += w[l] * covariance[min(i, j)*stride+max(i, j)]
		}
		total += w[k] * (2*row + w[k]*covariance[i*stride+i])
	}
	return math.Max(0, total/sum/sum)
}

// correlationOf returns Σᵢⱼ/(σᵢσⱼ).
func correlationOf(covariance *mat.SymDense) *mat.SymDense {
	n := covariance.SymmetricDim()
	out := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			out.SetSym(i, j, covariance.At(i, j)/math.Sqrt(covariance.At(i, i)*covariance.At(j, j)))
		}
	}
	return out
}
