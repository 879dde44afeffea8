package quant

// Rolling returns f of each window of consecutive values: n−window+1 results, oldest window first. Fewer values than
// a window give none.
func Rolling(values []float64, window int, f func(window []float64) float64) []float64 {
	if window < 1 || len(values) < window {
		return []float64{}
	}
	out := make([]float64, len(values)-window+1)
	for i := range out {
		out[i] = f(values[i : i+window])
	}
	return out
}

// rollingPair calls f with each window of two aligned series; never for series of different lengths.
func rollingPair(x, y []float64, window int, f func(x, y []float64)) {
	if window < 1 || len(x) != len(y) {
		return
	}
	for i := 0; i+window <= len(x); i++ {
		f(x[i:i+window], y[i:i+window])
	}
}

// RollingSharpe returns Sharpe over each window.
func RollingSharpe(returns []float64, window int, rf, periods float64) []float64 {
	return Rolling(returns, window, func(w []float64) float64 { return Sharpe(w, rf, periods) })
}

// RollingVolatility returns AnnualVolatility over each window.
func RollingVolatility(returns []float64, window int, periods float64) []float64 {
	return Rolling(returns, window, func(w []float64) float64 { return AnnualVolatility(w, periods) })
}

// RollingReturn returns CumulativeReturn over each window.
func RollingReturn(returns []float64, window int) []float64 {
	return Rolling(returns, window, CumulativeReturn)
}

// RollingMaxDrawdown returns the depth of MaxDrawdown over each window.
func RollingMaxDrawdown(returns []float64, window int) []float64 {
	return Rolling(returns, window, func(w []float64) float64 {
		depth, _, _, _ := MaxDrawdown(w)
		return depth
	})
}

// RollingAlphaBeta returns AlphaBeta over each window.
func RollingAlphaBeta(returns, benchmark []float64, window int, rf, periods float64) (alphas, betas []float64) {
	alphas, betas = []float64{}, []float64{}
	rollingPair(returns, benchmark, window, func(x, y []float64) {
		alpha, beta := AlphaBeta(x, y, rf, periods)
		alphas, betas = append(alphas, alpha), append(betas, beta)
	})
	return alphas, betas
}

// RollingCorrelation returns PairCorrelation over each window.
func RollingCorrelation(x, y []float64, window int) []float64 {
	out := []float64{}
	rollingPair(x, y, window, func(x, y []float64) { out = append(out, PairCorrelation(x, y)) })
	return out
}
