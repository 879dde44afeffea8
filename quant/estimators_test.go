package quant_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

func TestWeightedCovariancesAgainstTheirFormulas(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	returns := gappy(r, 12, 150, .1)
	t.Run("exponential covariance", func(t *testing.T) {
		m, err := quant.ExponentialCovariance(t.Context(), returns, nil, 20, 252)
		require.NoError(t, err)
		for i, x := range returns {
			for j, y := range returns {
				mx, my, sum, weights := quant.Mean(x), quant.Mean(y), 0.0, 0.0
				for d := range x {
					if z := (x[d] - mx) * (y[d] - my); !math.IsNaN(z) {
						w := math.Pow(1-2.0/21, float64(149-d))
						sum, weights = sum+w*z, weights+w
					}
				}
				same(t, 252*sum/weights, m.At(i, j), 1e-14)
			}
		}
	})
	t.Run("semicovariance over the common periods, and with 0 for what is missing", func(t *testing.T) {
		for _, missing := range []quant.Missing{quant.MissingPairwise, quant.MissingZero} {
			m, err := quant.Semicovariance(t.Context(), returns, .001, missing, 252)
			require.NoError(t, err)
			for i, x := range returns {
				for j, y := range returns {
					sum, n := 0.0, 0.0
					for d := range x {
						a, b := x[d], y[d]
						if missing == quant.MissingZero {
							a, b = orZero(a), orZero(b)
						}
						if z := math.Min(a-.001, 0) * math.Min(b-.001, 0); !math.IsNaN(z) {
							sum, n = sum+z, n+1
						}
					}
					same(t, 252*sum/n, m.At(i, j), 1e-14)
				}
			}
		}
	})
	t.Run("an exponential mean", func(t *testing.T) {
		assert.InDelta(t, (.1*.25+.3)/1.25*12,
			quant.ExponentialReturn([]float64{.1, nan, .3, nan}, 3, quant.Arithmetic, 12), 1e-15)
		assert.InDelta(t, math.Pow(1.2, 12)-1, quant.ExponentialReturn([]float64{nan, .2}, 3, quant.Geometric, 12),
			1e-12)
	})
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

func TestCAPMFollowsBeta(t *testing.T) {
	t.Parallel()
	market := []float64{.01, -.02, .03, .005, nan}
	double := make([]float64, 5)
	for i, m := range market {
		double[i] = 2*m + .001
	}
	for _, c := range []quant.Compounding{quant.Geometric, quant.Arithmetic} {
		expected := quant.ArithmeticReturn(market, 252)
		if c == quant.Geometric {
			expected = quant.GeometricReturn(market, 252)
		}
		got, err := quant.CAPMReturns([][]float64{double, market, {nan, nan, 1, nan, nan}}, market, .02, c, 252)
		require.NoError(t, err)
		assert.InDelta(t, .02+2*(expected-.02), got[0], 1e-9)
		assert.InDelta(t, expected, got[1], 1e-9)
		assert.True(t, math.IsNaN(got[2]))
	}
	addOwn, err := quant.CAPMReturns([][]float64{{.01, .02, -.01}, {.03, nan, .01}}, nil, 0, quant.Arithmetic, 252)
	require.NoError(t, err)
	assert.Len(t, addOwn, 2)
	_, err = quant.CAPMReturns([][]float64{{.01, .02}}, []float64{1}, 0, quant.Arithmetic, 252)
	require.ErrorIs(t, err, quant.ErrLength)
}

func TestShrinkageIsBetweenItsTargetAndTheSample(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 6))
	for _, share := range []float64{0, .05} {
		for _, missing := range []quant.Missing{quant.MissingComplete, quant.MissingZero} {
			returns := gappy(r, 9, 200, 0)
			for i := range returns {
				for d := range returns[i] {
					if r.Float64() < share {
						returns[i][d] = nan
					}
				}
			}
			order := r.Perm(9)
			shuffled := make([][]float64, 9)
			for to, from := range order {
				shuffled[to] = returns[from]
			}
			for _, target := range []quant.ShrinkageTarget{quant.ConstantVariance, quant.SingleFactor,
				quant.ConstantCorrelation} {
				a, err := quant.LedoitWolf(t.Context(), returns, target, missing, 252)
				require.NoError(t, err, "%s %s", target, missing)
				assert.True(t, a.Intensity >= 0 && a.Intensity <= 1)
				if missing == quant.MissingComplete {
					assert.True(t, quant.PositiveSemidefinite(a.Covariance))
				}
				b, err := quant.LedoitWolf(t.Context(), shuffled, target, missing, 252)
				require.NoError(t, err)
				assert.InDelta(t, a.Intensity, b.Intensity, 1e-11)
				for i := range order {
					for j := range order {
						assert.InDelta(t, a.Covariance.At(order[i], order[j]), b.Covariance.At(i, j), 1e-13)
					}
				}
			}
			o, err := quant.OAS(t.Context(), returns, missing, 252)
			require.NoError(t, err)
			assert.True(t, o.Intensity > 0 && o.Intensity <= 1)
		}
	}
	one, err := quant.LedoitWolf(t.Context(), [][]float64{{.1, .2, .4}}, quant.ConstantVariance, quant.MissingComplete,
		1)
	require.NoError(t, err)
	assert.InDelta(t, .07/4.5, one.Covariance.At(0, 0), 1e-15, "one asset is its own target")
	for _, bad := range [][][]float64{nil, {{}}, {{.1}}, {{nan, nan}, {1, 2}}, {{math.Inf(1), 1, 2}}} {
		_, err = quant.LedoitWolf(t.Context(), bad, quant.SingleFactor, quant.MissingComplete, 1)
		require.ErrorIs(t, err, quant.ErrUndefined)
		_, err = quant.OAS(t.Context(), bad, quant.MissingComplete, 1)
		require.ErrorIs(t, err, quant.ErrUndefined)
	}
	flat := [][]float64{fill(5, .01), fill(5, .02)}
	for _, target := range []quant.ShrinkageTarget{quant.ConstantVariance, quant.SingleFactor} {
		s, err := quant.LedoitWolf(t.Context(), flat, target, quant.MissingComplete, 1)
		require.NoError(t, err)
		assert.Equal(t, 0.0, s.Covariance.At(0, 0))
	}
	_, err = quant.LedoitWolf(t.Context(), flat, quant.ConstantCorrelation, quant.MissingComplete, 1)
	require.ErrorIs(t, err, quant.ErrUndefined, "what does not move has no correlation")
	_, err = quant.LedoitWolf(t.Context(), flat, "mean", quant.MissingComplete, 1)
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.LedoitWolf(t.Context(), flat, quant.SingleFactor, quant.MissingPairwise, 1)
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.Semicovariance(t.Context(), flat, 0, "some", 1)
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.ExponentialCovariance(t.Context(), flat, nil, 0, 1)
	require.ErrorIs(t, err, quant.ErrOption)
	_, err = quant.Shrink(mat.NewSymDense(1, nil), 1.5)
	require.ErrorIs(t, err, quant.ErrOption)
}

func TestRepairedMatricesAreSemidefinite(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 9))
	repairs := 0
	for range 60 {
		n := 1 + r.IntN(25)
		m := mat.NewSymDense(n, nil)
		for i := range n {
			m.SetSym(i, i, r.Float64()*2)
			for j := range i {
				m.SetSym(i, j, r.NormFloat64()*.4)
			}
		}
		for _, method := range []quant.RepairMethod{quant.RepairSpectral, quant.RepairDiagonal} {
			good, repaired, err := quant.Repair(m, method)
			require.NoError(t, err)
			assert.Equal(t, !quant.PositiveSemidefinite(m), repaired)
			assert.True(t, quant.PositiveSemidefinite(good))
			if !repaired {
				assert.Equal(t, m, good)
			}
			again, twice, err := quant.Repair(good, method)
			require.NoError(t, err)
			assert.False(t, twice, "once is enough")
			assert.Equal(t, good, again)
			if repaired {
				repairs++
			}
		}
	}
	assert.Positive(t, repairs)
	_, _, err := quant.Repair(mat.NewSymDense(2, []float64{1, nan, nan, 1}), quant.RepairSpectral)
	require.ErrorIs(t, err, quant.ErrUndefined)
	_, _, err = quant.Repair(mat.NewSymDense(1, []float64{-1}), "hope")
	require.Error(t, err)
	empty, repaired, err := quant.Repair(&mat.SymDense{}, quant.RepairSpectral)
	require.NoError(t, err)
	assert.False(t, repaired)
	assert.Equal(t, 0, empty.SymmetricDim())
}

func TestConversions(t *testing.T) {
	t.Parallel()
	s := mat.NewSymDense(2, []float64{4, 1, 1, 9})
	c := quant.CovarianceToCorrelation(s)
	assert.InDeltaSlice(t, []float64{1, 1.0 / 6, 1.0 / 6, 1}, entries(c), 1e-15)
	assert.InDeltaSlice(t, []float64{8, 2, 2, 18}, entries(quant.Scale(s, 2)), 1e-15)
	_, err := quant.PortfolioVariance(s, []float64{1})
	require.ErrorIs(t, err, quant.ErrLength)
	assert.True(t, math.IsNaN(quant.CovarianceToCorrelation(mat.NewSymDense(2, []float64{0, 0, 0, 1})).At(0, 1)))
}

func BenchmarkShrinkage500x2520(b *testing.B) {
	returns := gappy(rand.New(rand.NewPCG(1, 1)), 500, 2520, 0)
	for _, target := range []quant.ShrinkageTarget{quant.ConstantVariance, quant.SingleFactor,
		quant.ConstantCorrelation} {
		b.Run(string(target), func(b *testing.B) {
			for b.Loop() {
				_, _ = quant.LedoitWolf(b.Context(), returns, target, quant.MissingComplete, 252)
			}
		})
	}
	b.Run("exponential", func(b *testing.B) {
		for b.Loop() {
			_, _ = quant.ExponentialCovariance(b.Context(), returns, nil, quant.Span180, 252)
		}
	})
}
