package pricefile

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"
)

// number is an exact decimal, coef / 10^scale, without trailing zeros in its fraction.
type number struct {
	coef  uint64
	scale uint8
	neg   bool
	open  byte // the mark that may be decimal or between thousands, as in 1,234; 0 when there is none
}

// problem is the reason why a text is not a valid number; "" is none.
type problem string

const (
	notNumber    problem = "which is not a number"
	hasThousands problem = "whose marks between thousands are not where they belong"
	otherMark    problem = "which has a comma where other numbers of the file have a point, or the other way round"
	tooPrecise   problem = "which has more than 19 digits"
	tooSmall     problem = "which is too small to be kept with 19 decimals"
	tooLarge     problem = "which is too large"
	otherSign    problem = "whose currency is not that of the price before"
	maxDigits            = 19
	floatDigits          = 17 // digits that a program writes of a binary number at most
	leastDigits          = 10 // digits that rounding to 19 decimals leaves at least
	maxExponent          = 1000
)

// plain parses digits with at most one point. It returns false for any other form.
func plain(b []byte) (n number, dot, ok bool) {
	i, digits, scale, some := 0, 0, 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		n.neg = b[0] == '-'
		i = 1
	}
	for ; i < len(b); i++ {
		c := b[i]
		if d := c - '0'; d <= 9 {
			if digits == maxDigits || scale == maxDigits {
				return n, dot, false
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
			return n, dot, false
		}
		dot = true
	}
	if !some {
		return n, dot, false
	}
	for scale > 0 && n.coef%10 == 0 {
		n.coef /= 10
		scale--
	}
	n.scale = uint8(scale)
	n.neg = n.neg && n.coef != 0
	return n, dot, true
}

// marks parses the numbers of one file. Fractions follow a point or follow a comma, the same in the whole file. A
// number such as 1,234 stays open until another shows which.
type marks struct {
	decimal byte // '.' or ','; 0 as long as no number shows it
	loose   byte // what a volume shows, which counts when no price shows it
	always  bool // a single mark is decimal: there are no thousands
	comma   doubt
	point   doubt
	sign    string // the currency of the number before; empty without one
	text    []byte
}

// doubt is the first number that can be read in two ways.
type doubt struct {
	line int
	text string
}

// slow parses numbers with marks between thousands, an exponent, a currency, or more digits than matter. A loose
// number neither shows the decimal mark of the file nor contradicts it.
func (m *marks) slow(cell []byte, line int, loose bool) (number, problem) {
	var n number
	var rest []byte
	rest, n.neg, m.sign = bare(cell)
	exponent := 0
	if i := bytes.IndexAny(rest, "eE"); i > 0 {
		e, err := strconv.Atoi(string(rest[i+1:]))
		if err != nil {
			return n, notNumber
		}
		exponent = max(-maxExponent, min(maxExponent, e))
		rest = rest[:i]
	}
	var wrong problem
	if m.text, wrong = digitsAndMarks(m.text[:0], rest); wrong != "" {
		return n, wrong
	}
	whole, fraction, wrong := m.cut(&n, line, loose)
	if wrong != "" {
		return n, wrong
	}
	digits := append(whole, fraction...) //nolint:gocritic // both are parts of m.text, and whole is the first
	wrong = n.set(digits, exponent-len(fraction))
	return n, wrong
}

// set sets the digits of a number, which are followed by so many zeros or decimals.
func (n *number) set(digits []byte, exponent int) problem {
	trimmed := bytes.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if trimmed = bytes.TrimLeft(trimmed, "0"); len(trimmed) == 0 {
		*n = number{}
		return ""
	}
	up := false
	if drop := -maxDigits - exponent; drop > 0 && len(trimmed) <= floatDigits {
		if len(trimmed)-drop < leastDigits {
			return tooSmall
		}
		up = trimmed[len(trimmed)-drop] >= '5'
		trimmed, exponent = trimmed[:len(trimmed)-drop], -maxDigits
	}
	switch {
	case len(trimmed) > maxDigits, exponent < -maxDigits:
		return tooPrecise
	case exponent > 0 && len(trimmed)+exponent > maxDigits:
		return tooLarge
	}
	for _, c := range trimmed {
		n.coef = n.coef*10 + uint64(c-'0')
	}
	if up {
		n.coef++
	}
	for ; exponent < 0 && n.coef%10 == 0; exponent++ {
		n.coef /= 10
	}
	for ; exponent > 0; exponent-- {
		n.coef *= 10
	}
	n.scale = uint8(-exponent)
	return ""
}

// bare returns a number without its sign and its currency.
func bare(cell []byte) (rest []byte, neg bool, currency string) {
	rest = bytes.TrimSpace(cell)
	signed := false
	sign := func() {
		for _, s := range [...]string{"-", "+", "−"} {
			if after, ok := bytes.CutPrefix(rest, []byte(s)); ok && !signed {
				rest, neg, signed = bytes.TrimSpace(after), s != "+", true
			}
		}
	}
	sign()
	for i := 0; i < len(rest); {
		r, size := utf8.DecodeRune(rest[i:])
		if r >= '0' && r <= '9' || strings.ContainsRune(".,-+−", r) {
			if currency = string(bytes.TrimSpace(rest[:i])); knownCurrency(currency) {
				rest = rest[i:]
			}
			break
		}
		i += size
	}
	sign()
	end := len(rest)
	for end > 0 {
		r, size := utf8.DecodeLastRune(rest[:end])
		if r >= '0' && r <= '9' || r == '.' || r == ',' {
			break
		}
		end -= size
	}
	if after := string(bytes.TrimSpace(rest[end:])); end > 0 && after != "" && knownCurrency(after) {
		rest, currency = rest[:end], after
	}
	if !knownCurrency(currency) {
		currency = ""
	}
	return rest, neg, currency
}

// knownCurrency reports whether a text stands for a currency: a sign, or a code of three letters.
func knownCurrency(s string) bool {
	switch s {
	case "zł", "kr", "kr.", "R$", "US$", "A$", "C$", "HK$", "S$", "NZ$", "NT$", "Fr.", "SFr.", "p", "Kč", "Ft":
		return true
	}
	if r, size := utf8.DecodeRuneInString(s); size == len(s) && unicode.Is(unicode.Sc, r) {
		return true
	}
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" || s == "GBp"
}

// digitsAndMarks appends digits, points and commas as they are, and all apostrophes and spaces each as one byte.
func digitsAndMarks(to, b []byte) ([]byte, problem) {
	some := false
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		switch {
		case r >= '0' && r <= '9':
			some = true
			to = append(to, byte(r))
		case r == '.' || r == ',':
			to = append(to, byte(r))
		case r == '\'' || r == '’' || r == '`':
			to = append(to, '\'')
		case unicode.IsSpace(r):
			to = append(to, ' ')
		default:
			return to, notNumber
		}
		i += size
	}
	if !some {
		return to, notNumber
	}
	return to, ""
}

// cut divides m.text at the decimal mark, and removes the marks between thousands.
func (m *marks) cut(n *number, line int, loose bool) (whole, fraction []byte, wrong problem) {
	t := m.text
	last := bytes.LastIndexAny(t, "., '")
	if last < 0 {
		return t, nil, ""
	}
	mark := t[last]
	if mark == ' ' || mark == '\'' || bytes.IndexByte(t, mark) < last {
		if mark == '.' || mark == ',' {
			wrong = m.shown('.'+','-mark, loose)
		}
		if whole, ok := ungroup(t, mark); ok {
			return whole, nil, wrong
		}
		return nil, nil, hasThousands
	}
	whole, fraction = t[:last], t[last+1:]
	if i := bytes.IndexAny(whole, "., '"); i >= 0 {
		var ok bool
		if whole, ok = ungroup(whole, whole[i]); !ok {
			return nil, nil, hasThousands
		}
		return whole, fraction, m.shown(mark, loose)
	}
	if len(fraction) != 3 || len(whole) > 3 || len(whole) == 0 || whole[0] == '0' || m.always {
		return whole, fraction, m.shown(mark, loose)
	}
	switch {
	case m.decimal == mark:
		return whole, fraction, ""
	case m.decimal != 0:
		return append(whole, fraction...), nil, "" //nolint:gocritic // closes the gap within m.text
	}
	d := &m.comma
	if mark == '.' {
		d = &m.point
	}
	if d.line == 0 && !loose {
		*d = doubt{line, string(t)}
	}
	n.open = mark
	return whole, fraction, ""
}

// shown records that a mark is decimal.
func (m *marks) shown(mark byte, loose bool) problem {
	switch {
	case loose:
		m.loose = mark
	case m.decimal == 0:
		m.decimal = mark
	case m.decimal != mark:
		return otherMark
	}
	return ""
}

// ungroup removes the marks between thousands: three digits follow the last one, and two (in India) or three any other.
func ungroup(t []byte, mark byte) ([]byte, bool) {
	groups := bytes.Split(t, []byte{mark})
	var all []byte
	for i, g := range groups {
		fits := len(g) == 3 || len(g) == 2 && i < len(groups)-1 || i == 0 && len(g) == 1
		if !fits || bytes.ContainsAny(g, "., '") {
			return nil, false
		}
		all = append(all, g...)
	}
	return all, true
}

// settle returns the decimal mark of the file, or a number that leaves it open. Dotted dates are those of countries
// where 1.234 is more than a thousand.
func (m *marks) settle(dotted bool) (byte, doubt) {
	switch {
	case m.decimal != 0:
		return m.decimal, doubt{}
	case m.loose != 0:
		return m.loose, doubt{}
	case m.comma.line > 0:
		return 0, m.comma
	case m.point.line > 0 && dotted:
		return 0, m.point
	}
	return '.', doubt{}
}

// settled returns a number after the decimal mark of its file is known.
func (n number) settled(decimal byte) number {
	if n.open != 0 && n.open != decimal {
		n.coef *= power10(3 - int(n.scale))
		n.scale = 0
	}
	n.open = 0
	return n
}

// unit cuts what multiplies a volume, as in 55.47M. It returns the power of ten.
func unit(cell []byte) ([]byte, int) {
	for _, u := range [...]struct {
		name  string
		power int
	}{{"mrd", 9}, {"mio", 6}, {"tsd", 3}, {"mln", 6}, {"bn", 9}, {"k", 3}, {"m", 6}, {"b", 9}, {"t", 12}} {
		if i := len(cell) - len(u.name); i > 0 && strings.EqualFold(string(cell[i:]), u.name) {
			return bytes.TrimSpace(cell[:i]), u.power
		}
	}
	if rest, ok := bytes.CutSuffix(cell, []byte(".")); ok { // Mio. and Mrd.
		if r, power := unit(rest); power > 0 {
			return r, power
		}
	}
	return cell, 0
}

// volume parses a volume, which no figure rests on: a text that is no volume is none.
func (m *marks) volume(cell []byte, line int) (number, bool) {
	rest, power := unit(cell)
	n, wrong := m.slow(rest, line, true)
	if wrong != "" || n.neg {
		return n, false
	}
	if n.open == ',' && power == 0 && m.decimal == 0 {
		n = n.settled('.') // a volume is a count
	}
	if power == 0 {
		return n, true
	}
	n.open = 0 // 1.234M is more than a million
	for ; power > 0 && n.scale > 0; power-- {
		n.scale--
	}
	for ; power > 0; power-- {
		if n.coef > math.MaxUint64/100 {
			return n, false
		}
		n.coef *= 10
	}
	return n, true
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
