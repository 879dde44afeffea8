package quant

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// RepairMethod names how a matrix is made positive semidefinite.
type RepairMethod string

// The repair methods.
const (
	RepairSpectral RepairMethod = "spectral" // negative eigenvalues become 0
	RepairDiagonal RepairMethod = "diagonal" // 1.1 times the lowest eigenvalue is subtracted from the diagonal
)

// ErrUndefined reports a matrix with an entry that is not finite, such as the covariance of two series without a
// common period.
var ErrUndefined = errors.New("an entry of the matrix is not a finite number")

// finite returns ErrUndefined if an entry of m is not finite.
func finite(m *mat.SymDense) error {
	for i, n := 0, m.SymmetricDim(); i < n; i++ {
		for j := i; j < n; j++ {
			if v := m.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: %v at %d, %d", ErrUndefined, v, i, j)
			}
		}
	}
	return nil
}

// PositiveSemidefinite reports whether a symmetric matrix is positive semidefinite within rounding. It is if it has a
// Cholesky decomposition after 1e-16 is added to its diagonal (the test of PyPortfolioOpt), or if no eigenvalue is
// below −(n+10)·1e-15 times the largest. A matrix with an entry that is not finite is not.
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

// Repair returns a positive semidefinite matrix close to a symmetric matrix, in the same units. RepairSpectral
// returns Q·max(Λ, 0)·Qᵀ, the nearest one in the Frobenius norm (Higham 1988). RepairDiagonal returns M − 1.1·λmin·I.
// A matrix that is positive semidefinite already is copied, and repaired is false. Pairwise complete covariances may
// need a repair. Errors: ErrUndefined for entries that are not finite, and an unknown method.
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
		return nil, false, fmt.Errorf("%w: the eigenvalues do not converge", ErrUndefined)
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
		return nil, false, fmt.Errorf("unsupported repair %q: use spectral or diagonal", string(method))
	}
	return result, true, nil
}

// Scale returns a matrix times a factor: 252 makes daily covariances annual.
func Scale(m *mat.SymDense, factor float64) *mat.SymDense {
	return symmetric(m.SymmetricDim(), func(i, j int) float64 { return m.At(i, j) * factor })
}

// CovarianceToCorrelation returns ρ(i,j) = S(i,j)/√(S(i,i)·S(j,j)), within ±1, and NaN where a variance is not
// positive. For pairwise complete covariances it differs from CoMoments.Correlation, whose deviations are over the
// common periods of the pair.
func CovarianceToCorrelation(covariance *mat.SymDense) *mat.SymDense {
	return symmetric(covariance.SymmetricDim(), func(i, j int) float64 {
		return pearson(i == j, 2, covariance.At(i, j), covariance.At(i, i), covariance.At(j, j))
	})
}
