package pricefile

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"

	"github.com/govalues/decimal"
)

// number is an exact decimal, coef / 10^scale, without trailing zeros in its fraction.
type number struct {
	coef  uint64
	scale uint8
	neg   bool
}

// problem is the reason why a text is not a valid number; "" is none.
type problem string

const (
	notNumber   problem = "which is not a number"
	hasComma    problem = "which has a comma; write a decimal point and no thousands separators"
	otherMark   problem = "which has a comma where other numbers of the file have a point, or the other way round"
	tooPrecise  problem = "which has more than 19 digits"
	tooLarge    problem = "which is too large"
	maxDigits           = 19
	maxExponent         = 1000
)

// parseNumber parses digits with a decimal point. Unusual forms go to parseSlow.
func parseNumber(b []byte) (number, problem) {
	var n number
	i, digits, scale, dot, some := 0, 0, 0, false, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		n.neg = b[0] == '-'
		i = 1
	}
	for ; i < len(b); i++ {
		c := b[i]
		if d := c - '0'; d <= 9 {
			if digits == maxDigits || scale == maxDigits {
				return parseSlow(b)
			}
			n.coef = n.coef*10 + uint64(d)
			if n.coef != 0 {
				digits++
			}
			if dot {
				scale++
			}
			some = true
			continue
		}
		if c != '.' || dot {
			return parseSlow(b)
		}
		dot = true
	}
	if !some {
		return n, notNumber
	}
	for scale > 0 && n.coef%10 == 0 {
		n.coef /= 10
		scale--
	}
	n.scale = uint8(scale)
	n.neg = n.neg && n.coef != 0
	return n, ""
}

// parseSlow parses numbers with an exponent, with more digits than matter, or with a dollar sign, as some vendors write
// prices.
func parseSlow(b []byte) (number, problem) {
	var n number
	rest := bytes.TrimPrefix(b, []byte("$"))
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		n.neg = rest[0] == '-'
		rest = rest[1:]
	}
	exponent := 0
	if i := bytes.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.Atoi(string(rest[i+1:]))
		if err != nil || i == 0 {
			return n, notNumber
		}
		exponent = max(-maxExponent, min(maxExponent, e))
		rest = rest[:i]
	}
	whole, fraction, _ := bytes.Cut(rest, []byte{'.'})
	if len(whole)+len(fraction) == 0 {
		return n, notNumber
	}
	digits := make([]byte, 0, len(rest))
	for _, part := range [][]byte{whole, fraction} {
		for _, c := range part {
			if c < '0' || c > '9' {
				if bytes.IndexByte(b, ',') >= 0 && len(bytes.Trim(b, "+-0123456789.,")) == 0 {
					return n, hasComma
				}
				return n, notNumber
			}
		}
		digits = append(digits, part...)
	}
	exponent -= len(fraction)
	trimmed := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if trimmed = bytes.TrimLeft(trimmed, "0"); len(trimmed) == 0 {
		return number{}, ""
	}
	switch {
	case len(trimmed) > maxDigits, exponent < -maxDigits:
		return n, tooPrecise
	case exponent > 0 && len(trimmed)+exponent > maxDigits:
		return n, tooLarge
	}
	for _, c := range trimmed {
		n.coef = n.coef*10 + uint64(c-'0')
	}
	for ; exponent > 0; exponent-- {
		n.coef *= 10
	}
	n.scale = uint8(-exponent)
	return n, ""
}

// fractions parses the numbers of a file, whose fractions all follow a point or all follow a comma.
type fractions struct {
	mark  byte // '.' or ','; 0 as long as no number has one
	text  []byte
	doubt int  // the line of the first comma that may be one between thousands
	sure  bool // another cannot be
}

func (f *fractions) parse(cell []byte, line int) (number, problem) {
	comma, point := bytes.IndexByte(cell, ','), bytes.IndexByte(cell, '.')
	if comma < 0 && point < 0 {
		return parseNumber(cell)
	}
	mark := byte('.')
	if comma >= 0 {
		mark = ','
	}
	switch {
	case comma >= 0 && point >= 0:
		return number{}, hasComma
	case f.mark == 0:
		f.mark = mark
	case f.mark != mark:
		return number{}, otherMark
	}
	if mark == '.' {
		return parseNumber(cell)
	}
	f.text = append(f.text[:0], cell...)
	f.text[comma] = '.'
	n, wrong := parseNumber(f.text)
	switch whole := bytes.TrimLeft(cell[:comma], "+-$"); {
	case wrong != "":
	case len(cell)-comma != 4 || len(whole) > 3 || len(whole) == 0 || whole[0] == '0':
		f.sure = true
	case f.doubt == 0:
		f.doubt = line
	}
	return n, wrong
}

// doubtful returns a line whose comma is ambiguous when no other line decides, else 0.
func (f *fractions) doubtful() int {
	if f.sure {
		return 0
	}
	return f.doubt
}

// less reports whether n is less than o; neither is negative.
func (n number) less(o number) bool {
	if n.scale == o.scale {
		return n.coef < o.coef
	}
	nh, nl := bits.Mul64(n.coef, power10(int(o.scale)-int(n.scale)))
	oh, ol := bits.Mul64(o.coef, power10(int(n.scale)-int(o.scale)))
	return nh < oh || nh == oh && nl < ol
}

// power10 returns 10^n for n up to 19, and 1 for negative n.
func power10(n int) uint64 {
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}

// exact returns the decimal of a coefficient and a scale.
func exact(coef uint64, scale uint8) (decimal.Decimal, error) {
	if coef <= math.MaxInt64 {
		return decimal.New(int64(coef), int(scale))
	}
	text := strconv.FormatUint(coef, 10) + "e-" + strconv.Itoa(int(scale))
	return decimal.Parse(text)
}

// Exact returns the decimal of digits and a scale from 0 to 19.
func Exact(coef uint64, scale int) (decimal.Decimal, error) {
	if scale < 0 || scale > maxDigits {
		return decimal.Decimal{}, strconv.ErrRange
	}
	return exact(coef, uint8(scale))
}
