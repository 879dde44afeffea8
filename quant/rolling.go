package quant

// Rolling makes f of each window of consecutive values: n−window+1 results, the first of them of the first window.
// Without a whole window there are none.
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

// rollingPair is Rolling of two aligned series; none for series of different lengths.
func rollingPair(x, y []float64, window int, f func(x, y []float64)) {
	if window < 1 || len(x) != len(y) {
		return
	}
	for i := 0; i+window <= len(x); i++ {
		f(x[i:i+window], y[i:i+window])
	}
}

// RollingSharpe is Sharpe over each window.
func RollingSharpe(returns []float64, window int, rf, periods float64) []float64 {
	return Rolling(returns, window, func(w []float64) float64 { return Sharpe(w, rf, periods) })
}

// RollingVolatility is AnnualVolatility over each window.
func RollingVolatility(returns []float64, window int, periods float64) []float64 {
	return Rolling(returns, window, func(w []float64) float64 { return AnnualVolatility(w, periods) })
}

// RollingReturn is CumulativeReturn over each window.
func RollingReturn(returns []float64, window int) []float64 {
	return Rolling(returns, window, CumulativeReturn)
}

// RollingMaxDrawdown is the depth of MaxDrawdown over each window.
func RollingMaxDrawdown(returns []float64, window int) []float64 {
	return Rolling(returns, window, func(w []float64) float64 {
		depth, _, _, _ := MaxDrawdown(w)
		return depth
	})
}

// RollingAlphaBeta is AlphaBeta over each window.
func RollingAlphaBeta(returns, benchmark []float64, window int, rf, periods float64) (alphas, betas []float64) {
	alphas, betas = []float64{}, []float64{}
	rollingPair(returns, benchmark, window, func(x, y []float64) {
		alpha, beta := AlphaBeta(x, y, rf, periods)
		alphas, betas = append(alphas, alpha), append(betas, beta)
	})
	return alphas, betas
}

// RollingCorrelation is PairCorrelation over each window.
func RollingCorrelation(x, y []float64, window int) []float64 {
	out := []float64{}
	rollingPair(x, y, window, func(x, y []float64) { out = append(out, PairCorrelation(x, y)) })
	return out
}
