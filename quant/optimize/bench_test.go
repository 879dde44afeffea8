package optimize_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/quant"
	"stega/quant/optimize"
)

// market returns the returns of n assets over days, with a common factor and sectors, and expected annual returns.
func market(n, days int, seed uint64) (returns [][]float64, mu []float64) {
	r := rand.New(rand.NewPCG(seed, 7))
	const sectors = 10
	returns, mu = make([][]float64, n), make([]float64, n)
	common := make([][]float64, sectors+1)
	for k := range common {
		common[k] = make([]float64, days)
		for t := range days {
			common[k][t] = r.NormFloat64()
		}
	}
	for i := range n {
		beta, own := .005+.01*r.Float64(), .005+.02*r.Float64()
		mu[i] = -.05 + .3*r.Float64()
		returns[i] = make([]float64, days)
		for t := range days {
			returns[i][t] = mu[i]/252 + beta*common[0][t] + .006*common[1+i%sectors][t] + own*r.NormFloat64()
		}
	}
	return returns, mu
}

func large(b testing.TB, n int) optimize.Problem {
	b.Helper()
	returns, mu := market(n, 1260, 1)
	s, err := quant.Covariance(b.Context(), returns, quant.Daily)
	require.NoError(b, err)
	return optimize.Problem{Returns: mu, Covariance: s, RiskFree: .02}
}

func BenchmarkMaxSharpe500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		_, err := optimize.MaxSharpe(context.Background(), p)
		require.NoError(b, err)
	}
}

func BenchmarkMinVolatility500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		_, err := optimize.MinVolatility(context.Background(), p)
		require.NoError(b, err)
	}
}

func BenchmarkMaxSharpe20(b *testing.B) {
	p := problem(b)
	for b.Loop() {
		_, err := optimize.MaxSharpe(context.Background(), p)
		require.NoError(b, err)
	}
}

func BenchmarkFrontier500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		f, err := optimize.TraceFrontier(context.Background(), p)
		require.NoError(b, err)
		b.ReportMetric(float64(len(f.Corners)), "corners")
	}
}

func BenchmarkEfficientRisk500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		_, err := optimize.EfficientRisk(context.Background(), p, .12)
		require.NoError(b, err)
	}
}

func BenchmarkHierarchicalRiskParity500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		_, err := optimize.HierarchicalRiskParity(p.Covariance, nil, quant.SingleLinkage, nil)
		require.NoError(b, err)
	}
}

func BenchmarkRiskParity500(b *testing.B) {
	p := large(b, 500)
	for b.Loop() {
		_, err := optimize.RiskParity(context.Background(), p, nil)
		require.NoError(b, err)
	}
}

func benchmarkDownside(b *testing.B, measure optimize.Measure, n, days int) {
	returns, mu := market(n, days, 1)
	s := optimize.Scenarios{Scenarios: returns, Returns: mu, Measure: measure}
	iterations := 0
	for b.Loop() {
		p, err := optimize.MinRisk(context.Background(), s)
		require.NoError(b, err)
		iterations = p.Iterations
	}
	b.ReportMetric(float64(iterations), "iterations")
}

func BenchmarkMinCVaR20x1400(b *testing.B)  { benchmarkDownside(b, optimize.CVaR, 20, 1400) }
func BenchmarkMinCVaR100x7000(b *testing.B) { benchmarkDownside(b, optimize.CVaR, 100, 7000) }
func BenchmarkMinCDaR20x1400(b *testing.B)  { benchmarkDownside(b, optimize.CDaR, 20, 1400) }
func BenchmarkMinCDaR50x5000(b *testing.B)  { benchmarkDownside(b, optimize.CDaR, 50, 5000) }
func BenchmarkMinSemideviation20x1400(b *testing.B) {
	benchmarkDownside(b, optimize.Semideviation, 20, 1400)
}

func BenchmarkAllocateExactly500(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	o := optimize.Order{Weights: make([]float64, 500), Prices: make([]float64, 500), Money: 1e6}
	for i := range o.Weights {
		o.Weights[i] = 1. / 500
		o.Prices[i] = math.Round(100*math.Exp(4+r.NormFloat64())) / 100
	}
	for b.Loop() {
		a, err := optimize.AllocateExactly(context.Background(), o)
		require.NoError(b, err)
		if !a.Exact {
			b.ReportMetric(0, "exact")
		}
	}
}
