package optimize

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/quant/optimize/internal/conic"
)

// line follows the solutions x(λ) = x + (λ − here)·β of min ½xᵀSx − λ·μᵀx with Ax = b and bounds. The variables are
// the weights, and the slack of each inequality that is not a bound. Variables between their bounds are free. K =
// [[S, Aᵀ], [A, 0]] over the free variables gives their direction. Its inverse is kept, and updated by one row and
// column at each corner.
type line struct {
	n, m         int // variables, equations
	s            []float64
	mu           []float64
	lower, upper []float64
	rows         [][]float64
	rhs          []float64

	x, nu  []float64 // the present solution, and the multipliers of the equations
	lambda float64   // in units of unit
	unit   float64
	beta   []float64 // derivatives of both by λ
	dnu    []float64
	free   []int // the order of the free variables in the inverse
	at     []int // index of a variable in free; −1: at its lower bound; −2: at its upper bound
	inv    *mat.Dense
	age    int // corners since the inverse was recomputed
}

const (
	atLower = -1
	atUpper = -2
	renew   = 40 // corners until the inverse is recomputed
)

// newLine starts at λ = 0 with the weights of least variance of the interior point method. The active bounds are
// guessed from the prices and corrected.
func newLine(m *meanVariance, t *task, found *conic.Solution) (*line, error) {
	w := m.within(found.D)
	var slacks []limit
	for _, l := range m.less {
		if !l.asset {
			slacks = append(slacks, l)
		}
	}
	n := m.n + len(slacks)
	l := &line{n: n, s: make([]float64, n*n), mu: make([]float64, n), lower: make([]float64, n),
		upper: make([]float64, n), x: make([]float64, n), at: make([]int, n)}
	copy(l.x, w)
	// Both are in units of their largest value.
	l.unit = 1.0
	if top := largest(m.Returns); top > 0 {
		for i, v := range m.Returns {
			l.mu[i] = v / top
		}
		l.unit = 1 / top
	}
	size := largest(m.risk.gram) + m.L2
	if size == 0 {
		size = 1
	}
	l.unit *= size
	for i := range m.n {
		for j, v := range m.risk.gram[i*m.n : (i+1)*m.n] {
			l.s[i*n+j] = v / size
		}
		l.s[i*n+i] += m.L2 / size
		l.lower[i], l.upper[i] = m.bounds[i].Lower, m.bounds[i].Upper
	}
	for _, e := range m.equal {
		if e.asset && len(e.row.Index) == 1 { // a fixed weight never becomes free
			i := e.row.Index[0]
			l.lower[i], l.upper[i] = e.bound, e.bound
			continue
		}
		l.equation(e.row, e.bound, -1)
	}
	for k, s := range slacks {
		i := m.n + k
		l.upper[i] = math.Inf(1)
		l.x[i] = math.Max(0, s.bound-s.row.Dot(w))
		l.equation(s.row, s.bound, i)
	}
	l.m = len(l.rows)
	l.nu, l.beta, l.dnu = make([]float64, l.m), make([]float64, n), make([]float64, l.m)
	guess := make([]bool, n)
	k := 0
	for i, r := range t.rows {
		held := found.Less[i] > 2*size*(t.program.H[i]-t.program.Less[i].Dot(found.D))
		if r.asset {
			guess[r.row.Index[0]] = guess[r.row.Index[0]] || held
		} else {
			guess[m.n+k] = held
			k++
		}
	}
	return l, l.begin(guess)
}

func (l *line) equation(r conic.Row, bound float64, slack int) {
	row := make([]float64, l.n)
	for k, i := range r.Index {
		row[i] = r.Value[k]
	}
	if slack >= 0 {
		row[slack] = 1
	}
	l.rows, l.rhs = append(l.rows, row), append(l.rhs, bound)
}

// begin finds the free variables at λ = 0 from a guess of the others.
func (l *line) begin(guess []bool) error {
	for i := range l.n {
		low, high := l.x[i]-l.lower[i], l.upper[i]-l.x[i]
		switch {
		case l.lower[i] == l.upper[i] || (guess[i] || low < 1e-9) && low <= high:
			l.hold(i, atLower)
		case guess[i] && high < low || high < 1e-9:
			l.hold(i, atUpper)
		default:
			l.enter(i)
		}
	}
	for range 10*l.n + 100 {
		if err := l.rebuild(); err != nil {
			// Too few variables are free for the equations: free the one farthest inside.
			if !l.loosen() {
				return err
			}
			continue
		}
		l.settle()
		worst, at, where := 1e-12, -1, 0
		for _, i := range l.free {
			if d := l.lower[i] - l.x[i]; d > worst {
				worst, at, where = d, i, atLower
			}
			if d := l.x[i] - l.upper[i]; d > worst {
				worst, at, where = d, i, atUpper
			}
		}
		if at >= 0 {
			l.drop(at, where)
			continue
		}
		at, worst = -1, 1e-12
		for i := range l.n {
			if l.at[i] >= 0 || l.lower[i] == l.upper[i] {
				continue
			}
			g := l.gradient(i)
			if l.at[i] == atUpper {
				g = -g
			}
			if -g > worst {
				at, worst = i, -g
			}
		}
		if at < 0 {
			return nil
		}
		l.enter(at)
	}
	return &ConvergenceError{Iterations: l.n, Gap: math.NaN(), Primal: math.NaN(), Dual: math.NaN()}
}

func largest(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		most = math.Max(most, math.Abs(x))
	}
	return most
}

// loosen frees the fixed variable that is farthest from its other bound.
func (l *line) loosen() bool {
	best, at := 0.0, -1
	for i := range l.n {
		if width := l.upper[i] - l.lower[i]; l.at[i] < 0 && width > best {
			best, at = width, i
		}
	}
	if at < 0 {
		return false
	}
	l.at[at] = len(l.free)
	l.free = append(l.free, at)
	return true
}

// hold sets a variable to a bound.
func (l *line) hold(i, where int) {
	l.at[i] = where
	if l.x[i] = l.lower[i]; where == atUpper {
		l.x[i] = l.upper[i]
	}
}

// drop removes a variable from the free ones, without updating the inverse.
func (l *line) drop(i, where int) {
	k := l.at[i]
	l.free = append(l.free[:k], l.free[k+1:]...)
	for ; k < len(l.free); k++ {
		l.at[l.free[k]] = k
	}
	l.hold(i, where)
}

// enter frees a variable, without updating the inverse.
func (l *line) enter(i int) {
	l.at[i] = len(l.free)
	l.free = append(l.free, i)
}

// settle recomputes the solution at λ, and its direction.
func (l *line) settle() {
	f := len(l.free)
	b, d := make([]float64, l.m+f), make([]float64, l.m+f)
	for r := range l.m {
		b[r] = l.rhs[r]
		for i := range l.n {
			if l.at[i] < 0 && l.x[i] != 0 {
				b[r] -= l.rows[r][i] * l.x[i]
			}
		}
	}
	for a, i := range l.free {
		v := l.lambda * l.mu[i]
		for j := range l.n {
			if l.at[j] < 0 && l.x[j] != 0 {
				v -= l.s[i*l.n+j] * l.x[j]
			}
		}
		b[l.m+a], d[l.m+a] = v, l.mu[i]
	}
	var x, dx mat.VecDense
	if l.m+f > 0 {
		l.solve(&x, b)
		l.solve(&dx, d)
	}
	clear(l.beta)
	for r := range l.m {
		l.nu[r], l.dnu[r] = x.AtVec(r), dx.AtVec(r)
	}
	for a, i := range l.free {
		l.x[i], l.beta[i] = x.AtVec(l.m+a), dx.AtVec(l.m+a)
	}
}

// wrong returns the largest violation of equations and bounds, relative to the largest weight or to one.
func (l *line) wrong() float64 {
	most := 0.0
	for r := range l.m {
		most = math.Max(most, math.Abs(dot(l.rows[r], l.x)-l.rhs[r]))
	}
	for i, v := range l.x {
		most = math.Max(most, math.Max(l.lower[i]-v, v-l.upper[i]))
	}
	return most / math.Max(1, largest(l.x))
}

// gradient returns the gradient of the Lagrangian at a fixed variable: not negative at a lower bound, not positive at
// an upper bound.
func (l *line) gradient(i int) float64 {
	g := -l.lambda * l.mu[i]
	g += dot(l.s[i*l.n:(i+1)*l.n], l.x)
	for r := range l.m {
		g += l.rows[r][i] * l.nu[r]
	}
	return g
}

// slope returns the size of the direction over the first variables.
func (l *line) slope(n int) float64 {
	return largest(l.beta[:n])
}

// next advances to the next corner; false without one.
func (l *line) next() (bool, error) {
	step, at, where := math.Inf(1), -1, 0
	for _, i := range l.free {
		b := l.beta[i]
		var d float64
		var w int
		switch {
		case b < -1e-12 && !math.IsInf(l.lower[i], 0):
			d, w = (l.lower[i]-l.x[i])/b, atLower
		case b > 1e-12 && !math.IsInf(l.upper[i], 0):
			d, w = (l.upper[i]-l.x[i])/b, atUpper
		default:
			continue
		}
		if d = math.Max(d, 0); d < step {
			step, at, where = d, i, w
		}
	}
	for i := range l.n {
		if l.at[i] >= 0 || l.lower[i] == l.upper[i] {
			continue
		}
		g := l.gradient(i)
		d := -l.mu[i]
		for _, j := range l.free {
			d += l.s[i*l.n+j] * l.beta[j]
		}
		for r := range l.m {
			d += l.rows[r][i] * l.dnu[r]
		}
		if l.at[i] == atUpper {
			g, d = -g, -d
		}
		if d < -1e-12 {
			if t := math.Max(g, 0) / -d; t < step {
				step, at, where = t, i, 0
			}
		}
	}
	if at < 0 {
		return false, nil
	}
	l.lambda += step
	for _, i := range l.free {
		l.x[i] += step * l.beta[i]
	}
	if l.age++; where == 0 {
		l.grow(at)
	} else {
		l.shrink(at, where)
	}
	if l.age > renew || l.inv == nil {
		if err := l.rebuild(); err != nil {
			return false, err
		}
	}
	l.settle()
	if l.age > 0 && l.wrong() > 1e-10 { // rounding of the inverse
		if err := l.rebuild(); err != nil {
			return false, err
		}
		l.settle()
	}
	return true, nil
}
