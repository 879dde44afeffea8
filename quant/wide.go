package quant

import (
	"math"
	"math/bits"
)

// wide is a 128-bit integer in two's complement. Its sums are exact, and so independent of their order.
type wide struct {
	hi int64
	lo uint64
}

// A value is counted in quanta of 2⁻⁵³, of which a simple return p/q − 1 between −½ and 1 is a whole number. A
// product is counted in quanta of 2⁻¹⁰⁶.
const (
	quantumBits = 53
	largest     = 512 // bound of a value, so that it fits 63 bits
)

// quanta returns the nearest whole number of quanta of a value below largest.
func quanta(v float64) int64 { return int64(math.RoundToEven(v * (1 << quantumBits))) }

func widen(v int64) wide { return wide{v >> 63, uint64(v)} }

func (a wide) plus(b wide) wide {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(uint64(a.hi), uint64(b.hi), carry)
	return wide{int64(hi), lo}
}

func (a wide) minus(b wide) wide {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(uint64(a.hi), uint64(b.hi), borrow)
	return wide{int64(hi), lo}
}

func (a wide) negative() bool { return a.hi < 0 }

func (a wide) magnitude() (hi, lo uint64) {
	if a.hi < 0 {
		a = wide{}.minus(a)
	}
	return uint64(a.hi), a.lo
}

func times(x, y int64) wide {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x>>63)&uint64(y) + uint64(y>>63)&uint64(x)
	return wide{int64(hi), lo}
}

// addProducts adds sign·x·y[k] to each sum[k].
func addProducts(sum []wide, x int64, y []int64, sign int) {
	if x < 0 {
		x, sign = -x, -sign
	}
	u := uint64(x)
	sum = sum[:len(y)]
	if sign > 0 {
		for k, v := range y {
			hi, lo := bits.Mul64(u, uint64(v))
			hi -= u & uint64(v>>63)
			s := &sum[k]
			low, carry := bits.Add64(s.lo, lo, 0)
			high, _ := bits.Add64(uint64(s.hi), hi, carry)
			s.lo, s.hi = low, int64(high)
		}
		return
	}
	for k, v := range y {
		hi, lo := bits.Mul64(u, uint64(v))
		hi -= u & uint64(v>>63)
		s := &sum[k]
		low, borrow := bits.Sub64(s.lo, lo, 0)
		high, _ := bits.Sub64(uint64(s.hi), hi, borrow)
		s.lo, s.hi = low, int64(high)
	}
}

// spread returns n·xy − x·y, exact in 256 bits and then rounded to a float: n² times the covariance over n of the
// sums x, y and xy, in quanta of products.
func spread(n int64, xy, x, y wide) float64 {
	if x.narrow() && y.narrow() { // true for all sums below 1024
		carried, lowest := bits.Mul64(uint64(n), xy.lo)
		a := times(n, xy.hi).plus(wide{lo: carried})
		b := times(int64(x.lo), int64(y.lo))
		var borrow uint64
		lowest, borrow = bits.Sub64(lowest, b.lo, 0)
		a = a.minus(widen(b.hi)).minus(wide{lo: borrow})
		return rounded([4]uint64{lowest, a.lo, uint64(a.hi), uint64(a.hi >> 63)})
	}
	a := multiply(wide{lo: uint64(n)}, xy)
	b := multiply(x, y)
	var borrow uint64
	for k := range a {
		a[k], borrow = bits.Sub64(a[k], b[k], borrow)
	}
	return rounded(a)
}

// narrow reports whether a fits 64 bits.
func (a wide) narrow() bool { return a.hi == int64(a.lo)>>63 }

// rounded returns the float nearest to a number in two's complement, lowest word first.
func rounded(a [4]uint64) float64 {
	negative := int64(a[3]) < 0
	if negative {
		var borrow uint64
		for k := range a {
			a[k], borrow = bits.Sub64(0, a[k], borrow)
		}
	}
	for k := 3; k >= 0; k-- { // from the first nonzero word on, two words exceed the precision of a float
		if a[k] == 0 {
			continue
		}
		v := float64(a[k]) * power(64*k)
		if k > 0 {
			shift := bits.LeadingZeros64(a[k])
			top := a[k]<<shift | a[k-1]>>(64-shift) // a shift by 64 is 0
			if k > 1 || a[k-1]<<shift != 0 {
				top |= 1 // sticky bit, for the rounding
			}
			v = float64(top) * power(64*k-shift)
		}
		if negative {
			return -v
		}
		return v
	}
	return 0
}

// power returns 2ᵉ, within the range of a float.
func power(e int) float64 { return math.Float64frombits(uint64(1023+e) << 52) }

// multiply returns the product in 256 bits, lowest word first.
func multiply(x, y wide) [4]uint64 {
	xh, xl := x.magnitude()
	yh, yl := y.magnitude()
	var p [4]uint64
	p[1], p[0] = bits.Mul64(xl, yl)
	add := func(k int, a, b uint64) {
		hi, lo := bits.Mul64(a, b)
		var carry uint64
		p[k], carry = bits.Add64(p[k], lo, 0)
		p[k+1], carry = bits.Add64(p[k+1], hi, carry)
		if k+2 < len(p) {
			p[k+2] += carry
		}
	}
	if xh|yh != 0 {
		add(1, xh, yl)
		add(1, xl, yh)
		add(2, xh, yh)
	}
	if x.negative() != y.negative() {
		var borrow uint64
		for k := range p {
			p[k], borrow = bits.Sub64(0, p[k], borrow)
		}
	}
	return p
}
