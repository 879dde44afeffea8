package quant

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// RepairMethod says how a matrix is made positive semidefinite.
type RepairMethod string

// The ways of Repair.
const (
	RepairSpectral RepairMethod = "spectral" // negative eigenvalues become 0
	RepairDiagonal RepairMethod = "diagonal" // 1.1 times the lowest eigenvalue is taken from the diagonal
)

// ErrUndefined says that a matrix has entries that are not finite, such as the covariance of two series that have no
// period in common.
var ErrUndefined = errors.New("an entry of the matrix is not a finite number")

func finite(m *mat.SymDense) error {
	for i, n := 0, m.SymmetricDim(); i < n; i++ {
		for j := i; j < n; j++ {
			if v := m.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: %v of %d and %d", ErrUndefined, v, i, j)
			}
		}
	}
	return nil
}

// PositiveSemidefinite says whether a symmetric matrix is, within rounding: that it has a Cholesky decomposition
// after 1e-16 is added to its diagonal (the test of PyPortfolioOpt), or that no eigenvalue is below −(n+10)·1e-15
// times the largest. A matrix with entries that are not finite is not.
func PositiveSemidefinite(m *mat.SymDense) bool {
	if finite(m) != nil {
		return false
	}
	n := m.SymmetricDim()
	if n == 0 {
		return true
	}
	lifted := mat.NewSymDense(n, nil)
	lifted.CopySym(m)
	for i := range n {
		lifted.SetSym(i, i, lifted.At(i, i)+1e-16)
	}
	var cholesky mat.Cholesky
	if cholesky.Factorize(lifted) {
		return true
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(m, false) {
		return false
	}
	values := eigen.Values(nil)
	return values[0] >= -1e-15*float64(n+10)*values[n-1]
}

// Repair makes a symmetric matrix positive semidefinite, in the units that it has: with RepairSpectral Q·max(Λ,
// 0)·Qᵀ, the nearest such matrix in Frobenius' norm (Higham 1988), and with RepairDiagonal M − 1.1·λmin·I. repaired
// is false, and the result is a copy, if it was positive semidefinite already. Covariances that are complete by pairs
// can need it. ErrUndefined for entries that are not finite, which no repair can invent.
func Repair(m *mat.SymDense, method RepairMethod) (result *mat.SymDense, repaired bool, err error) {
	if err := finite(m); err != nil {
		return nil, false, err
	}
	n := m.SymmetricDim()
	if n == 0 {
		return &mat.SymDense{}, false, nil
	}
	result = mat.NewSymDense(n, nil)
	result.CopySym(m)
	if PositiveSemidefinite(m) {
		return result, false, nil
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(m, method == RepairSpectral) {
		return nil, false, fmt.Errorf("%w: no eigenvalues are found", ErrUndefined)
	}
	values := eigen.Values(nil)
	switch method {
	case RepairSpectral:
		var vectors mat.Dense
		eigen.VectorsTo(&vectors)
		scaled := mat.NewDense(n, n, nil)
		scaled.Apply(func(_, k int, v float64) float64 { return v * math.Sqrt(math.Max(0, values[k])) }, &vectors)
		result.SymOuterK(1, scaled)
	case RepairDiagonal:
		for i := range n {
			result.SetSym(i, i, result.At(i, i)-1.1*values[0])
		}
	default:
		return nil, false, fmt.Errorf("repair %q is none of spectral, diagonal", string(method))
	}
	return result, true, nil
}

// ConditionNumber is the ratio of the largest to the smallest eigenvalue in absolute value, +Inf for a singular
// matrix. Beyond about 1e10, weights that come of an inverse are noise. NaN for an empty matrix or one with entries
// that are not finite.
func ConditionNumber(m *mat.SymDense) float64 {
	if m.SymmetricDim() == 0 || finite(m) != nil {
		return math.NaN()
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(m, false) {
		return math.NaN()
	}
	low, high := math.Inf(1), 0.0
	for _, v := range eigen.Values(nil) {
		low, high = math.Min(low, math.Abs(v)), math.Max(high, math.Abs(v))
	}
	if low == 0 {
		return math.Inf(1)
	}
	return high / low
}

// Scale is a matrix times a factor: 252 makes daily covariances annual.
func Scale(m *mat.SymDense, factor float64) *mat.SymDense {
	return symmetric(m.SymmetricDim(), func(i, j int) float64 { return m.At(i, j) * factor })
}

// CovarianceToCorrelation makes ρ(i,j) = S(i,j)/√(S(i,i)·S(j,j)), within ±1, and NaN where a variance is not
// positive. Of covariances that are complete by pairs this is not the correlation of the pairs, whose deviations are
// over the common periods; see CoMoments.Correlation.
func CovarianceToCorrelation(covariance *mat.SymDense) *mat.SymDense {
	return symmetric(covariance.SymmetricDim(), func(i, j int) float64 {
		return pearson(i == j, 2, covariance.At(i, j), covariance.At(i, i), covariance.At(j, j))
	})
}

// CorrelationToCovariance makes S(i,j) = ρ(i,j)·σ(i)·σ(j). ErrLength when there is not one deviation for each row.
func CorrelationToCovariance(correlation *mat.SymDense, deviations []float64) (*mat.SymDense, error) {
	if len(deviations) != correlation.SymmetricDim() {
		return nil, fmt.Errorf("%w: %d deviations for %d correlations", ErrLength, len(deviations),
			correlation.SymmetricDim())
	}
	return symmetric(len(deviations),
		func(i, j int) float64 { return correlation.At(i, j) * deviations[i] * deviations[j] }), nil
}
