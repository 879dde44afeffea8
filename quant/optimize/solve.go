package optimize

import (
	"context"
	"math"

	"stega/quant/optimize/internal/conic"
)

// solved is the tolerance of a solution: its gap, and its residuals of constraints and gradient, relative to their
// size.
const solved = 1e-7

// task is a program under construction. The weights are the first n of its dense variables.
type task struct {
	*feasible
	program  *conic.Program
	rows     []limit // the constraints among program.Less, in order
	progress func(Progress)
}

// task returns a program of the constraints, with more dense variables after the weights. unit is the index of a
// variable of which the weights are multiples; −1: none.
func (f *feasible) task(more, unit int, progress func(Progress)) *task {
	n := f.n + more
	t := &task{feasible: f, progress: progress, program: &conic.Program{N: n, Q: make([]float64, n)}}
	for _, e := range f.equal {
		row, b := e.in(unit)
		t.program.Equal, t.program.B = append(t.program.Equal, row), append(t.program.B, b)
	}
	for _, l := range f.less {
		row, b := l.in(unit)
		t.less(l, row, b)
	}
	return t
}

// in returns the row with its bound as a multiple of the unit.
func (l limit) in(unit int) (conic.Row, float64) {
	if unit < 0 || l.bound == 0 {
		if unit >= 0 {
			return l.row, 0
		}
		return l.row, l.bound
	}
	return conic.Row{
		Index: append(append([]int(nil), l.row.Index...), unit),
		Value: append(append([]float64(nil), l.row.Value...), -l.bound),
	}, 0
}

func (t *task) less(l limit, row conic.Row, bound float64) {
	t.program.Less, t.program.H = append(t.program.Less, row), append(t.program.H, bound)
	t.rows = append(t.rows, l)
}

// require adds a constraint of the objective, such as a minimum return. The row is scaled to a largest coefficient of
// one.
func (t *task) require(name string, row conic.Row, bound float64) {
	if !t.binds(row, bound) {
		return
	}
	size := 0.0
	for _, v := range row.Value {
		size = math.Max(size, math.Abs(v))
	}
	if size == 0 {
		size = 1
	}
	scaled := conic.Row{Index: row.Index, Value: make([]float64, len(row.Value))}
	for i, v := range row.Value {
		scaled.Value[i] = v / size
	}
	t.less(limit{name: name, row: scaled, bound: bound / size}, scaled, bound/size)
}

// addBlock adds scenarios or costs to the objective and returns the index of the block.
func (t *task) addBlock(b conic.Block, cost, curvature float64) int {
	p := t.program
	p.Blocks, p.Cost, p.Curvature = append(p.Blocks, b), append(p.Cost, cost), append(p.Curvature, curvature)
	return len(p.Blocks) - 1
}

// run solves the program. For a solution that is not exact enough it returns the error of the conflict, or of why, or
// a ConvergenceError.
func (t *task) run(ctx context.Context, why func() error) (*conic.Solution, error) {
	var progress func(int, float64)
	if t.progress != nil {
		progress = func(i int, gap float64) { t.progress(Progress{Iteration: i, Gap: gap}) }
	}
	s, err := conic.Solve(ctx, t.program, progress)
	if err != nil {
		return nil, err
	}
	if s.Solved(solved) {
		return s, nil
	}
	if err := t.conflict(ctx, t.rows); err != nil {
		return nil, err
	}
	if why != nil {
		if err := why(); err != nil {
			return nil, err
		}
	}
	return nil, &ConvergenceError{Iterations: s.Iterations, Gap: s.Gap, Primal: s.Primal, Dual: s.Dual}
}

// conflict returns the constraints that contradict each other, or nil. It finds the weights within their bounds that
// break the other constraints by the least sum. The multipliers of that problem are those of Farkas' lemma, and name
// the rows of a proof.
func (f *feasible) conflict(ctx context.Context, rows []limit) error {
	var soft, hard []limit
	for _, l := range rows {
		if l.asset {
			hard = append(hard, l)
		} else {
			soft = append(soft, l)
		}
	}
	// The variables are the weights, then the violation of each soft row and of each equation.
	n := f.n + len(soft) + 2*len(f.equal)
	p := &conic.Program{N: n, Q: make([]float64, n)}
	at := f.n
	miss := func(row conic.Row, sign float64) conic.Row {
		out := conic.Row{Index: append(append([]int(nil), row.Index...), at),
			Value: append(append([]float64(nil), row.Value...), sign)}
		p.Q[at] = 1
		p.Less, p.H = append(p.Less, conic.Row{Index: []int{at}, Value: []float64{-1}}), append(p.H, 0)
		at++
		return out
	}
	for _, l := range hard {
		p.Less, p.H = append(p.Less, l.row), append(p.H, l.bound)
	}
	for _, l := range soft {
		row := miss(l.row, -1)
		p.Less, p.H = append(p.Less, row), append(p.H, l.bound)
	}
	for _, e := range f.equal {
		p.Equal, p.B = append(p.Equal, miss(miss(e.row, -1), 1)), append(p.B, e.bound)
	}
	s, err := conic.Solve(ctx, p, nil)
	if err != nil {
		return err
	}
	if !s.Solved(1e-5) || s.Objective < 1e-6 {
		return nil
	}
	var names []string
	seen := map[string]bool{}
	name := func(l limit, price float64) {
		if math.Abs(price) > 1e-4 && !seen[l.name] {
			seen[l.name] = true
			names = append(names, l.name)
		}
	}
	for i, e := range f.equal {
		name(e, s.Equal[i])
	}
	for i, l := range soft {
		name(l, s.Less[len(hard)+2*i+1])
	}
	for i, l := range hard {
		name(l, s.Less[i])
	}
	return infeasible(names, "these constraints contradict each other by at least %.3g: %s", s.Objective, list(names))
}

// highest returns the highest return that the constraints allow.
func (f *feasible) highest(ctx context.Context, returns []float64) (float64, error) {
	t := f.task(0, -1, nil)
	for i, v := range returns {
		t.program.Q[i] = -v
	}
	s, err := t.run(ctx, func() error {
		return &UnboundedError{"positions without bounds can have any return"}
	})
	if err != nil {
		return math.NaN(), err
	}
	return dot(returns, f.within(s.D)), nil
}

// negligible is the size of weights that are only the residue of an iteration, as in a market-neutral portfolio whose
// optimum is empty.
const negligible = 1e-9

// within returns the weights, moved back to the bounds that rounding has crossed.
func (f *feasible) within(d []float64) []float64 {
	w := make([]float64, f.n)
	most := 0.0
	for i, b := range f.bounds {
		w[i] = math.Min(math.Max(d[i], b.Lower), b.Upper) + 0
		most = math.Max(most, math.Abs(w[i]))
	}
	if most < negligible {
		clear(w)
	}
	return w
}

// active returns the constraints with a price.
func (t *task) active(s *conic.Solution) []Active {
	most := 0.0
	for _, v := range s.Less {
		most = math.Max(most, v)
	}
	var out []Active
	for i, l := range t.rows {
		p := t.program
		if v := s.Less[i]; v > 1e-6*most && p.H[i]-p.Less[i].Dot(s.D) < v*1e-3 {
			out = append(out, Active{l.name, v})
		}
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
