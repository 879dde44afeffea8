package quant

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Errors of Running.
var (
	ErrRange       = errors.New("a return is too large")
	ErrNotIncluded = errors.New("the removed value was never added")
	ErrSymbols     = errors.New("the number of symbols does not match")
)

// MaxSymbols is the largest number of symbols of a Running.
const MaxSymbols = 1 << 13

// Running maintains the co-moments of N symbols. A new day costs one product for each pair. A counted day can be
// corrected or removed. Days may arrive late and in any order, symbols may have gaps, and a symbol may join with a
// history. A day is the row of the returns of all symbols, NaN for a missing one.
//
// All sums are exact. A return is counted in quanta of 2⁻⁵³ ≈ 1.1e-16; simple returns of prices between −50 % and 100
// % are whole numbers of quanta. Sums and sums of products are integers of 128 bits, so nothing drifts or cancels.
// The state depends only on the counted days, not on their order: grown and corrected day by day, it equals a rebuilt
// state exactly. Covariances are rounded once, from integers.
//
// The caller keeps the returns, and passes the row that it corrects or removes. Concurrent reads are safe; changes
// need exclusive access.
type Running struct {
	n        int
	count    []int64
	sums     []wide
	products []wide // products of i and j ≥ i, by rows
	gaps     []gap  // [j·n+i]: the sums of i in the days that j misses; nil while no symbol misses a day
	values   []int64
	there    []bool
}

// gap is a part of the sums of a symbol.
type gap struct {
	count        int64
	sum, squares wide
}

// NewRunning returns the state of a number of symbols without days. Errors: ErrSymbols for a negative number or more
// than MaxSymbols.
func NewRunning(symbols int) (*Running, error) {
	if symbols < 0 || symbols > MaxSymbols {
		return nil, fmt.Errorf("%w: %d", ErrSymbols, symbols)
	}
	return newRunning(symbols), nil
}

func newRunning(n int) *Running {
	return &Running{
		n:        n,
		count:    make([]int64, n),
		sums:     make([]wide, n),
		products: make([]wide, n*(n+1)/2),
		values:   make([]int64, n),
		there:    make([]bool, n),
	}
}

// Symbols returns the number of symbols.
func (m *Running) Symbols() int { return m.n }

// at returns the offset of the row of products of i, less i: the product of i and j ≥ i is at at(i)+j.
func (m *Running) at(i int) int { return i * (2*m.n - i - 1) / 2 }

// Add counts a day. Errors leave the state unchanged: ErrSymbols for a row of another length; ErrRange for a return
// of 512 (51,200 %) or more, or when the squares of a symbol's returns sum to a million.
func (m *Running) Add(day []float64) error { return m.apply(day, 1) }

// Remove subtracts a counted day, which must equal the row that was added. Errors leave the state unchanged: those of
// Add, and ErrNotIncluded where the difference is detectable.
func (m *Running) Remove(day []float64) error { return m.apply(day, -1) }

func (m *Running) apply(day []float64, sign int) error {
	if len(day) != m.n {
		return fmt.Errorf("%w: a day of %d for %d symbols", ErrSymbols, len(day), m.n)
	}
	missing := 0
	for i, v := range day {
		m.there[i] = v == v
		m.values[i] = 0
		if !m.there[i] {
			missing++
			continue
		}
		if err := m.fits(i, v, sign); err != nil {
			return err
		}
		m.values[i] = quanta(v)
	}
	for i, x := range m.values {
		if !m.there[i] {
			continue
		}
		m.addOwn(i, x, sign)
		if x != 0 {
			at := m.at(i)
			addProducts(m.products[at+i:at+m.n], x, m.values[i:], sign)
		}
	}
	if missing > 0 && missing < m.n {
		m.gapsOfDay(sign)
	}
	return nil
}

// fits returns an error unless a value of a symbol can be added or removed.
func (m *Running) fits(i int, v float64, sign int) error {
	if !(math.Abs(v) < largest) {
		return fmt.Errorf("%w: %v of symbol %d", ErrRange, v, i)
	}
	square := times(quanta(v), quanta(v))
	now := m.products[m.at(i)+i]
	if sign < 0 && (m.count[i] < 1 || now.minus(square).negative()) {
		return fmt.Errorf("%w: %v of symbol %d", ErrNotIncluded, v, i)
	}
	if sign > 0 && now.plus(square).hi >= 1<<62 {
		return fmt.Errorf("%w: the squares of symbol %d sum up to a million", ErrRange, i)
	}
	return nil
}

// addOwn adds a value to, or removes it from, the count and sum of symbol i.
func (m *Running) addOwn(i int, x int64, sign int) {
	m.count[i] += int64(sign)
	if sign < 0 {
		x = -x
	}
	m.sums[i] = m.sums[i].plus(widen(x))
}

// gapsOfDay adds the values of the observed symbols to the gaps of the missing ones.
func (m *Running) gapsOfDay(sign int) {
	if m.gaps == nil {
		m.gaps = make([]gap, m.n*m.n)
	}
	type part struct {
		i int
		gap
	}
	parts := make([]part, 0, m.n)
	for i, x := range m.values {
		if m.there[i] {
			parts = append(parts, part{i, gap{int64(sign), widen(int64(sign) * x), times(x, int64(sign)*x)}})
		}
	}
	for j, there := range m.there {
		if there {
			continue
		}
		row := m.gaps[j*m.n : (j+1)*m.n]
		for k := range parts {
			p := &parts[k]
			g := &row[p.i]
			g.count += p.count
			g.sum, g.squares = g.sum.plus(p.sum), g.squares.plus(p.squares)
		}
	}
}

// gap adds the value of i on a day that j misses.
func (m *Running) gap(j, i int, x int64, sign int) {
	if m.gaps == nil {
		m.gaps = make([]gap, m.n*m.n)
	}
	g := &m.gaps[j*m.n+i]
	g.count += int64(sign)
	if sign > 0 {
		g.sum, g.squares = g.sum.plus(widen(x)), g.squares.plus(times(x, x))
	} else {
		g.sum, g.squares = g.sum.minus(widen(x)), g.squares.minus(times(x, x))
	}
}

// Correct replaces the return of symbol i in a counted day by value; NaN removes it. day is the row as it was
// counted, possibly all NaN, and stays unchanged. It costs one product for each other symbol, and brings the history
// of a symbol that joins. Errors are those of Add and Remove.
func (m *Running) Correct(day []float64, i int, value float64) error {
	if len(day) != m.n || i < 0 || i >= m.n {
		return fmt.Errorf("%w: symbol %d of a day of %d for %d symbols", ErrSymbols, i, len(day), m.n)
	}
	for j, v := range day {
		m.there[j], m.values[j] = v == v, 0
		if v != v || j == i {
			continue
		}
		if !(math.Abs(v) < largest) {
			return fmt.Errorf("%w: %v of symbol %d was never added", ErrNotIncluded, v, j)
		}
		m.values[j] = quanta(v)
	}
	old := day[i]
	if old == old {
		if err := m.fits(i, old, -1); err != nil {
			return err
		}
		m.toggle(i, quanta(old), -1)
	}
	if value == value {
		if err := m.fits(i, value, 1); err != nil {
			if old == old {
				m.toggle(i, quanta(old), 1)
			}
			return err
		}
		m.toggle(i, quanta(value), 1)
	}
	return nil
}

// toggle adds symbol i with value x to a day without it, or removes it. values and there hold the day's other symbols.
func (m *Running) toggle(i int, x int64, sign int) {
	m.addOwn(i, x, sign)
	diagonal := &m.products[m.at(i)+i]
	if sign > 0 {
		*diagonal = diagonal.plus(times(x, x))
	} else {
		*diagonal = diagonal.minus(times(x, x))
	}
	for j, there := range m.there {
		switch {
		case j == i:
		case !there:
			m.gap(j, i, x, sign)
		default:
			a, b := min(i, j), max(i, j)
			at := m.at(a) + b
			addProducts(m.products[at:at+1], x, m.values[j:j+1], sign)
			m.gap(i, j, m.values[j], -sign)
		}
	}
}

// Join adds a symbol that is missing from all days so far and returns its index. Correct adds its history. Errors:
// ErrSymbols beyond MaxSymbols.
func (m *Running) Join() (int, error) {
	if m.n == MaxSymbols {
		return 0, fmt.Errorf("%w: %d is the largest", ErrSymbols, m.n)
	}
	order := make([]int, m.n+1)
	for i := range order {
		order[i] = i
	}
	order[m.n] = -1
	*m = *m.project(order)
	return m.n - 1, nil
}

// Select returns a copy with the given symbols in the given order. Errors: ErrSymbols for an unknown index.
func (m *Running) Select(symbols ...int) (*Running, error) {
	for _, i := range symbols {
		if i < 0 || i >= m.n {
			return nil, fmt.Errorf("%w: symbol %d of %d", ErrSymbols, i, m.n)
		}
	}
	if len(symbols) > MaxSymbols {
		return nil, fmt.Errorf("%w: %d", ErrSymbols, len(symbols))
	}
	return m.project(slices.Clone(symbols)), nil
}

// project returns a copy with the given symbols; −1 stands for a symbol that was never observed.
func (m *Running) project(order []int) *Running {
	c := newRunning(len(order))
	for a, i := range order {
		if i < 0 {
			continue
		}
		c.count[a], c.sums[a] = m.count[i], m.sums[i]
		row := c.products[c.at(a):]
		for b, j := range order[a:] {
			if j >= 0 {
				row[a+b] = m.products[m.at(min(i, j))+max(i, j)]
			}
		}
	}
	for b, j := range order {
		for a, i := range order {
			if g := m.part(j, i); g != (gap{}) {
				if c.gaps == nil {
					c.gaps = make([]gap, c.n*c.n)
				}
				c.gaps[b*c.n+a] = g
			}
		}
	}
	return c
}

// part returns the sums of i in the days that j misses.
func (m *Running) part(j, i int) gap {
	switch {
	case i < 0 || i == j:
		return gap{}
	case j < 0:
		return gap{m.count[i], m.sums[i], m.products[m.at(i)+i]}
	case m.gaps == nil:
		return gap{}
	}
	return m.gaps[j*m.n+i]
}

// Observations returns the number of days with both i and j; for i = j, those of i alone.
func (m *Running) Observations(i, j int) int { return int(m.count[i] - m.part(j, i).count) }

// variance returns n² times the variance of symbol i over its n common days with j, in quanta; 0 when it is only
// rounding.
func (m *Running) variance(i, j int) float64 {
	g := m.part(j, i)
	sum := m.sums[i].minus(g.sum)
	n := m.count[i] - g.count
	v := spread(n, m.products[m.at(i)+i].minus(g.squares), sum, sum)
	if n > 0 && isConstant(float64(n), v*power(-2*quantumBits)/float64(n)) {
		return 0
	}
	return v
}

// covariance returns the number n of common days of i and j ≥ i, and n² times their covariance, in quanta.
func (m *Running) covariance(i, j int) (n, xy float64) {
	if i == j {
		return float64(m.count[i]), m.variance(i, i)
	}
	gi, gj := m.part(j, i), m.part(i, j)
	count := m.count[i] - gi.count
	return float64(count), spread(count, m.products[m.at(i)+j], m.sums[i].minus(gi.sum), m.sums[j].minus(gj.sum))
}

// Mean returns the mean return of a symbol over its own days; NaN without any.
func (m *Running) Mean(i int) float64 {
	return spread(1, m.sums[i], wide{}, wide{}) / float64(m.count[i]) * power(-quantumBits)
}

// Covariance returns the N×N matrix of CoMoments.Covariance.
func (m *Running) Covariance(periods float64) *mat.SymDense {
	return symmetric(m.n, func(i, j int) float64 {
		n, xy := m.covariance(i, j)
		if n < 2 {
			return math.NaN()
		}
		return xy * power(-2*quantumBits) / (n * (n - 1)) * periods
	})
}

// Correlation returns the N×N matrix of CoMoments.Correlation.
func (m *Running) Correlation() *mat.SymDense {
	addOwn := make([]float64, m.n)
	for i := range addOwn {
		addOwn[i] = m.variance(i, i)
	}
	return symmetric(m.n, func(i, j int) float64 {
		n, xy := m.covariance(i, j)
		xx, yy := addOwn[i], addOwn[j]
		if n != float64(m.count[i]) {
			xx = m.variance(i, j)
		}
		if n != float64(m.count[j]) {
			yy = m.variance(j, i)
		}
		return pearson(i == j, n, xy, xx, yy)
	})
}
