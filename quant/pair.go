package quant

import "math"

// pairMoments holds the moments of two series over the periods in which both are observed.
type pairMoments struct {
	n, meanX, meanY float64
	xy, xx, yy      float64 // sums of products of deviations from these means
}

// pairMomentsOf returns the moments of two series over the length of the shorter. Sums over fewer than two common
// observations are NaN.
func pairMomentsOf(x, y []float64) pairMoments {
	var p pairMoments
	days := min(len(x), len(y))
	firstX, firstY, flatX, flatY := 0.0, 0.0, true, true
	for t := range days {
		a, b := x[t], y[t]
		if math.IsNaN(a) || math.IsNaN(b) {
			continue
		}
		if p.n == 0 {
			firstX, firstY = a, b
		}
		flatX, flatY = flatX && a == firstX, flatY && b == firstY
		p.n++
		p.meanX += a
		p.meanY += b
	}
	p.meanX /= p.n
	p.meanY /= p.n
	if flatX { // exact, so that the deviation is 0
		p.meanX = firstX
	}
	if flatY {
		p.meanY = firstY
	}
	if p.n < 2 {
		p.xy, p.xx, p.yy = math.NaN(), math.NaN(), math.NaN()
		return p
	}
	for t := range days {
		a, b := x[t]-p.meanX, y[t]-p.meanY
		if math.IsNaN(a) || math.IsNaN(b) {
			continue
		}
		p.xy += a * b
		p.xx += a * a
		p.yy += b * b
	}
	return p
}
