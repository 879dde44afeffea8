package quant

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// What keeps a day from being counted.
var (
	ErrRange       = errors.New("a return is too large to be counted")
	ErrNotIncluded = errors.New("what is to be removed was never added")
	ErrSymbols     = errors.New("the number of symbols does not fit")
)

// MaxSymbols is how many symbols Running takes.
const MaxSymbols = 1 << 13

// Running holds the co-moments of N symbols so that a new day costs one product for each pair, and that a day which
// was counted can be corrected or removed: days may come late and in any order, symbols may have gaps, and new ones
// may join with a history. A day is the row of the returns of all symbols, NaN where one is missing.
//
// All sums are exact. A return is counted in quanta of 2⁻⁵³ ≈ 1.1e-16, of which simple returns of prices between −50
// % and 100 % are whole numbers, and sums of them and of their products are kept in integers of 128 bits, so nothing
// drifts or cancels: the state depends on the days that are counted alone, and not on the way it came to be. What
// grew day by day, with corrections, is equal byte for byte to what is rebuilt (see MarshalBinary). Covariances are
// rounded once, from integers.
//
// Whoever uses it keeps the returns, and gives the row that is to be corrected or removed. Reading is safe at the
// same time, changing is not.
type Running struct {
	n        int
	count    []int64
	sums     []wide
	products []wide // of i and j ≥ i, by rows
	gaps     []gap  // [j·n+i]: what i has in days that j misses; nil as long as nobody misses one
	values   []int64
	there    []bool
}

// gap is a part of the sums of a symbol.
type gap struct {
	count        int64
	sum, squares wide
}

// NewRunning is for a number of symbols without any day. ErrSymbols if it is negative or more than MaxSymbols.
func NewRunning(symbols int) (*Running, error) {
	if symbols < 0 || symbols > MaxSymbols {
		return nil, fmt.Errorf("%w: %d", ErrSymbols, symbols)
	}
	return newRunning(symbols), nil
}

func newRunning(n int) *Running {
	return &Running{
		n: n, count: make([]int64, n), sums: make([]wide, n), products: make([]wide, n*(n+1)/2), values: make([]int64, n),
		there: make([]bool, n),
	}
}

// Symbols is how many symbols there are.
func (m *Running) Symbols() int { return m.n }

// at is where the row of products of i starts, less i: that of i and j ≥ i is at at(i)+j.
func (m *Running) at(i int) int { return i * (2*m.n - i - 1) / 2 }

// Add counts a day. Errors, ErrSymbols or ErrRange for a return of 512 (51,200 %) or more or when the squares of a
// symbol's returns sum up to a million, leave all as it was.
func (m *Running) Add(day []float64) error { return m.apply(day, 1) }

// Remove takes a day out that was counted, as it was given. Errors leave all as it was; ErrNotIncluded is one of them
// where it can be seen.
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
		m.own(i, x, sign)
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

// fits says whether a value of a symbol can be added or removed.
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

func (m *Running) own(i int, x int64, sign int) {
	m.count[i] += int64(sign)
	if sign < 0 {
		x = -x
	}
	m.sums[i] = m.sums[i].plus(widen(x))
}

// gapsOfDay adds what those that are there have while others have nothing.
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

// gap adds, for a day, what i has while j has nothing.
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

// Correct makes value, or nothing if it is NaN, of the return of symbol i in a day that was counted as given, which
// may be a day of NaN alone. It costs one product for each other symbol, and is how a symbol that joins brings its
// history. day itself is not changed. Errors are those of Add and Remove.
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
		m.turn(i, quanta(old), -1)
	}
	if value == value {
		if err := m.fits(i, value, 1); err != nil {
			if old == old {
				m.turn(i, quanta(old), 1)
			}
			return err
		}
		m.turn(i, quanta(value), 1)
	}
	return nil
}

// turn makes symbol i appear with x in a day where it was missing, or vanish; the day's others are in values and there.
func (m *Running) turn(i int, x int64, sign int) {
	m.own(i, x, sign)
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

// Join adds a symbol that is missing from all days so far, and gives its index. Its history comes by Correct.
// ErrSymbols beyond MaxSymbols.
func (m *Running) Join() (int, error) {
	if m.n == MaxSymbols {
		return 0, fmt.Errorf("%w: there are %d", ErrSymbols, m.n)
	}
	order := make([]int, m.n+1)
	for i := range order {
		order[i] = i
	}
	order[m.n] = -1
	*m = *m.choose(order)
	return m.n - 1, nil
}

// Select is a copy with some of the symbols, in the order given: for a part of them, another order, or what is left
// when one leaves. ErrSymbols for an index that is not there.
func (m *Running) Select(symbols ...int) (*Running, error) {
	for _, i := range symbols {
		if i < 0 || i >= m.n {
			return nil, fmt.Errorf("%w: symbol %d of %d", ErrSymbols, i, m.n)
		}
	}
	if len(symbols) > MaxSymbols {
		return nil, fmt.Errorf("%w: %d", ErrSymbols, len(symbols))
	}
	return m.choose(slices.Clone(symbols)), nil
}

// choose makes a copy of the symbols given, of which −1 is one that has never been seen.
func (m *Running) choose(order []int) *Running {
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

// part is what i has in days that j misses.
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

// Observations is the number of days that have both i and j; that of i alone for i = j.
func (m *Running) Observations(i, j int) int { return int(m.count[i] - m.part(j, i).count) }

// variance is n² times that of symbol i over the n days that it has in common with j, in quanta; 0 when it is only
// rounding.
func (m *Running) variance(i, j int) float64 {
	g := m.part(j, i)
	sum := m.sums[i].minus(g.sum)
	n := m.count[i] - g.count
	v := spread(n, m.products[m.at(i)+i].minus(g.squares), sum, sum)
	if n > 0 && still(float64(n), v*power(-2*quantumBits)/float64(n)) {
		return 0
	}
	return v
}

// covariance is n² times that of i and j ≥ i over the n days that have both, in quanta.
func (m *Running) covariance(i, j int) (n, xy float64) {
	if i == j {
		return float64(m.count[i]), m.variance(i, i)
	}
	gi, gj := m.part(j, i), m.part(i, j)
	count := m.count[i] - gi.count
	return float64(count), spread(count, m.products[m.at(i)+j], m.sums[i].minus(gi.sum), m.sums[j].minus(gj.sum))
}

// Mean is the mean return of a symbol over its own days; NaN without any.
func (m *Running) Mean(i int) float64 {
	return spread(1, m.sums[i], wide{}, wide{}) / float64(m.count[i]) * power(-quantumBits)
}

// Covariance is as that of CoMoments.
func (m *Running) Covariance(periods float64) *mat.SymDense {
	return symmetric(m.n, func(i, j int) float64 {
		n, xy := m.covariance(i, j)
		if n < 2 {
			return math.NaN()
		}
		return xy * power(-2*quantumBits) / (n * (n - 1)) * periods
	})
}

// Correlation is as that of CoMoments.
func (m *Running) Correlation() *mat.SymDense {
	own := make([]float64, m.n)
	for i := range own {
		own[i] = m.variance(i, i)
	}
	return symmetric(m.n, func(i, j int) float64 {
		n, xy := m.covariance(i, j)
		xx, yy := own[i], own[j]
		if n != float64(m.count[i]) {
			xx = m.variance(i, j)
		}
		if n != float64(m.count[j]) {
			yy = m.variance(j, i)
		}
		return pearson(i == j, n, xy, xx, yy)
	})
}
