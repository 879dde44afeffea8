package quant_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

func entries(m *mat.SymDense) []float64 {
	n := m.SymmetricDim()
	out := make([]float64, 0, n*n)
	for i := range n {
		for j := range n {
			out = append(out, m.At(i, j))
		}
	}
	return out
}

func prices(rows [][]float64) (returns [][]float64) {
	for _, p := range across(rows) {
		returns = append(returns, quant.Simple(p))
	}
	return returns
}

var (
	toy = prices([][]float64{{4, 2, .6, -12}, {4.2, 2.1, .59, -13.2}, {3.9, 2, .58, -11.3}, {4.3, 2.1, .62, -11.7},
		{4.1, 2.2, .63, -10.1}})
	ten = toy[:3]
)

// PyPortfolioOpt tests/test_expected_returns.py.
func TestExpectedReturnsOfPyPortfolioOpt(t *testing.T) {
	t.Parallel()
	t.Run("A2 geometric returns of the toy prices", func(t *testing.T) {
		for i, want := range []float64{.0061922, .0241137, .0122722, -.0421775} {
			assert.InEpsilon(t, want, quant.GeometricReturn(toy[i], 1), 1e-3)
		}
	})
	t.Run("A3 arithmetic returns of the toy prices", func(t *testing.T) {
		for i, want := range []float64{.0086560, .0250000, .0128697, -.03632333} {
			assert.InEpsilon(t, want, quant.ArithmeticReturn(toy[i], 1), 1e-3)
		}
	})
	names, returns := d20(t)
	t.Run("A1 7125 days of returns of 20 stocks, none above 1", func(t *testing.T) {
		require.Len(t, returns, 20)
		require.Len(t, returns[0], 7125)
		for _, r := range returns {
			for _, v := range r {
				assert.False(t, v > 1)
			}
		}
	})
	t.Run("A4 geometric returns of the twenty stocks", func(t *testing.T) {
		for i, want := range []float64{
			.247967, .294304, .284037, .1923164, .371327, .1360093, .0328503, .1200115, .105540, .0423457, .1002559,
			.1442237,
			-.0792602, .1430506, .0736356,
			.238835, .388665, .226717, .1561701, .2318153,
		} {
			assert.InDelta(t, want, quant.GeometricReturn(returns[i], 252), 1e-6, names[i])
		}
	})
	t.Run("A5 the last log return of SBUX", func(t *testing.T) {
		assert.InDelta(t, .0001682740081102576, quant.Log(returns[19])[7124], 1e-12)
	})
	t.Run("A6 exponential weights of an endless span are none", func(t *testing.T) {
		for _, r := range returns {
			assert.InDelta(t, quant.ArithmeticReturn(r, 252), quant.ExponentialReturn(r, 1e10, quant.Arithmetic, 252),
				1e-6)
		}
	})
}

// PyPortfolioOpt tests/test_risk_models.py and tests/test_objective_functions.py.
func TestCovariancesOfPyPortfolioOpt(t *testing.T) {
	t.Parallel()
	t.Run("A9 covariance of simple returns", func(t *testing.T) {
		s, err := quant.Covariance(t.Context(), ten, 1)
		require.NoError(t, err)
		a, b, c := .00264970955585574, .0020849735375206195, .00096770864287974
		assert.InDeltaSlice(t,
			[]float64{.006661687937656102, a, b, a, .0023450491307634215, c, b, c, .0016396416271856837},
			entries(s), 1e-14)
	})
	t.Run("A10 covariance of log returns", func(t *testing.T) {
		s, err := quant.Covariance(t.Context(), [][]float64{quant.Log(ten[0]), quant.Log(ten[1]), quant.Log(ten[2])}, 1)
		require.NoError(t, err)
		assert.InDeltaSlice(t,
			[]float64{.006507, .002652, .001965, .002652, .002345, .000950, .001965, .000950, .001561},
			entries(s), 1e-5)
	})
	t.Run("A11 both repairs make a matrix positive semidefinite, and say so", func(t *testing.T) {
		bad := mat.NewSymDense(2, []float64{.03818144, .04182824, .04182824, .04149209})
		assert.False(t, quant.PositiveSemidefinite(bad))
		for _, method := range []quant.RepairMethod{quant.RepairSpectral, quant.RepairDiagonal} {
			good, repaired, err := quant.Repair(bad, method)
			require.NoError(t, err)
			assert.True(t, repaired)
			assert.True(t, quant.PositiveSemidefinite(good))
		}
	})
	_, returns := d20(t)
	sample, err := quant.Covariance(t.Context(), returns, 252)
	require.NoError(t, err)
	equal := make([]float64, 20)
	for i := range equal {
		equal[i] = 1.0 / 20
	}
	t.Run("A12 semicovariance falls with its benchmark", func(t *testing.T) {
		sum := map[float64]float64{}
		for _, benchmark := range []float64{-.5, 0, 1} {
			s, err := quant.Semicovariance(t.Context(), returns, benchmark, quant.MissingZero, 252)
			require.NoError(t, err)
			for _, v := range entries(s) {
				if benchmark == -.5 {
					assert.InDelta(t, 0, v, 1e-4)
				}
				sum[benchmark] += v
			}
		}
		assert.Greater(t, sum[1], sum[0])
	})
	t.Run("A13 exponential weights of an endless span give the sample covariance", func(t *testing.T) {
		s, err := quant.ExponentialCovariance(t.Context(), returns, nil, 1e20, 252)
		require.NoError(t, err)
		assert.InDeltaSlice(t, entries(sample), entries(s), 1e-3)
	})
	t.Run("A14 variance of equal weights", func(t *testing.T) {
		v, err := quant.PortfolioVariance(sample, equal)
		require.NoError(t, err)
		assert.InDelta(t, .04498224489292057, v, 1e-12)
	})
	t.Run("A15 tracking error of five stocks", func(t *testing.T) {
		active := make([]float64, 20)
		for i := range active {
			active[i] = -1.0 / 20
			if i < 5 {
				active[i] += .2
			}
		}
		v, err := quant.PortfolioVariance(sample, active)
		require.NoError(t, err)
		assert.InDelta(t, .028297778946639436, v, 1e-12)
	})
	t.Run("A16 variance of a diagonal", func(t *testing.T) {
		v, err := quant.PortfolioVariance(mat.NewSymDense(3, []float64{.5, 0, 0, 0, .8, 0, 0, 0, .9}),
			[]float64{.4, .4, .2})
		require.NoError(t, err)
		assert.InDelta(t, .244, v, 1e-15)
	})
	t.Run("A17 tracking error over the identity", func(t *testing.T) {
		identity := mat.NewSymDense(5, nil)
		for i := range 5 {
			identity.SetSym(i, i, 1)
		}
		v, err := quant.PortfolioVariance(identity, []float64{.2, .2, -.2, -.2, -.2})
		require.NoError(t, err)
		assert.InDelta(t, .2, v, 1e-15)
	})
	t.Run("A18 shrinkage goes from the sample to the mean variance", func(t *testing.T) {
		none, err := quant.Shrink(sample, 0)
		require.NoError(t, err)
		assert.InDeltaSlice(t, entries(sample), entries(none), 1e-16)
		all, err := quant.Shrink(sample, 1)
		require.NoError(t, err)
		assert.InDelta(t, mat.Trace(sample)/20, all.At(7, 7), 1e-15)
		assert.Equal(t, 0.0, all.At(1, 2))
		part, err := quant.Shrink(sample, .2)
		require.NoError(t, err)
		for k, v := range entries(part) {
			assert.InDelta(t, .8*entries(none)[k]+.2*entries(all)[k], v, 1e-15)
		}
	})
	t.Run("intensities of shrinkage are those of scikit-learn and PyPortfolioOpt", func(t *testing.T) {
		for target, want := range map[quant.ShrinkageTarget]float64{quant.ConstantVariance: .00625610336754,
			quant.SingleFactor: .0185068889541} {
			s, err := quant.LedoitWolf(t.Context(), returns, target, quant.MissingZero, 252)
			require.NoError(t, err)
			assert.InEpsilon(t, want, s.Intensity, 1e-9, string(target))
		}
		s, err := quant.OAS(t.Context(), returns, quant.MissingZero, 252)
		require.NoError(t, err)
		assert.InEpsilon(t, .00206396151386, s.Intensity, 1e-9)
	})
	mean := make([]float64, 20)
	for i, r := range returns {
		mean[i] = quant.GeometricReturn(r, 252)
	}
	t.Run("B23 minimum volatility over constant correlation", func(t *testing.T) {
		s, err := quant.LedoitWolf(t.Context(), returns, quant.ConstantCorrelation, quant.MissingZero, 252)
		require.NoError(t, err)
		w := minimum(s.Covariance, 1)
		v, err := quant.PortfolioVariance(s.Covariance, w)
		require.NoError(t, err)
		assert.InEpsilon(t, .19563960638632416, math.Sqrt(v), 1e-5)
		assert.InEpsilon(t, .17358178582309983, dot(mean, w), 1e-4)
	})
	t.Run("C11 the quasi-diagonal order of single linkage", func(t *testing.T) {
		correlation, err := quant.Correlation(t.Context(), returns)
		require.NoError(t, err)
		merges, err := quant.Linkage(quant.CorrelationDistance(correlation), quant.SingleLinkage)
		require.NoError(t, err)
		assert.Equal(t, []int{12, 6, 15, 14, 2}, quant.LeafOrder(merges)[:5])
	})
}

func dot(x, y []float64) (sum float64) {
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

// minimum returns long-only weights that sum to one with the least wᵀSw + γ·wᵀw. It moves weight between the pair of
// assets that gains most.
func minimum(s *mat.SymDense, gamma float64) []float64 {
	n := s.SymmetricDim()
	w, gradient := make([]float64, n), make([]float64, n)
	for i := range w {
		w[i] = 1 / float64(n)
	}
	for range 100000 {
		for i := range gradient {
			gradient[i] = 2 * gamma * w[i]
			for j := range w {
				gradient[i] += 2 * s.At(i, j) * w[j]
			}
		}
		from, to := -1, 0
		for i, g := range gradient {
			if w[i] > 0 && (from < 0 || g > gradient[from]) {
				from = i
			}
			if g < gradient[to] {
				to = i
			}
		}
		gap := gradient[from] - gradient[to]
		if gap < 1e-12 {
			break
		}
		step := math.Min(w[from], gap/(2*(s.At(from, from)+s.At(to, to)-2*s.At(from, to)+2*gamma)))
		w[from], w[to] = w[from]-step, w[to]+step
	}
	return w
}
