package optimize

import (
	"fmt"
	"math"
	"strconv"

	"stega/quant/optimize/internal/conic"
)

// assetNames holds the names of the assets.
type assetNames []string

func (n assetNames) of(i int) string {
	if i < len(n) && n[i] != "" {
		return n[i]
	}
	return "asset " + strconv.Itoa(i)
}

// limit is one row of the constraints: row·w ≤ bound, or = bound.
type limit struct {
	name  string
	row   conic.Row
	bound float64
	asset bool // bound of one asset
}

// feasible is the set of weights that the constraints allow.
type feasible struct {
	n           int
	names       assetNames
	budget      float64
	bounds      []Bound
	equal, less []limit
}

// newFeasible checks constraints over n assets and detects simple contradictions.
func newFeasible(n int, names assetNames, c Constraints) (*feasible, error) {
	f := &feasible{n: n, names: names, budget: 1}
	if c.MarketNeutral {
		f.budget = 0
	}
	if n == 0 {
		return nil, invalid("assets", "there are none")
	}
	if len(names) != 0 && len(names) != n {
		return nil, invalid("names", "%d for %d assets", len(names), n)
	}
	if err := f.setBounds(c); err != nil {
		return nil, err
	}
	var all conic.Row
	for i := range n {
		all.Index, all.Value = append(all.Index, i), append(all.Value, 1)
	}
	f.equal = append(f.equal, limit{name: "budget", row: all, bound: f.budget})
	if err := f.addBounds(); err != nil {
		return nil, err
	}
	for _, g := range c.Groups {
		if err := f.addGroup(g); err != nil {
			return nil, err
		}
	}
	for i, l := range c.Linear {
		name := l.Name
		if name == "" {
			name = "linear constraint " + strconv.Itoa(i)
		}
		if len(l.Coefficients) != n {
			return nil, invalid(name, "%d coefficients for %d assets", len(l.Coefficients), n)
		}
		for k, v := range l.Coefficients {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, &InvalidError{
					Field:  name,
					Asset:  k,
					Name:   names.of(k),
					Detail: fmt.Sprint("the coefficient is ", v),
				}
			}
		}
		if err := f.add(name, conic.Dense(l.Coefficients), l.Lower, l.Upper); err != nil {
			return nil, err
		}
	}
	return f, f.independent()
}

func (f *feasible) setBounds(c Constraints) error {
	b := c.Bounds
	if len(b) == 0 {
		b = []Bound{{0, 1}}
		if c.MarketNeutral {
			b = []Bound{{-1, 1}}
		}
	}
	if len(b) == 1 {
		for range f.n {
			f.bounds = append(f.bounds, b[0])
		}
	} else {
		f.bounds = b
	}
	if len(f.bounds) != f.n {
		return invalid("bounds", "%d for %d assets", len(f.bounds), f.n)
	}
	for i, b := range f.bounds {
		if math.IsNaN(b.Lower) || math.IsNaN(b.Upper) || math.IsInf(b.Lower, 1) || math.IsInf(b.Upper, -1) {
			return &InvalidError{Field: "bounds", Asset: i, Name: f.names.of(i),
				Detail: fmt.Sprintf("[%v, %v]", b.Lower, b.Upper)}
		}
		if b.Lower > b.Upper {
			return infeasible([]string{"bounds of " + f.names.of(i)},
				"the lower bound of %s, %v, is above its upper bound, %v",
				f.names.of(i), b.Lower, b.Upper)
		}
	}
	return nil
}

// span returns the least and the largest sum that the weights of some assets can have.
func (f *feasible) span(assets []int) (lower, upper float64) {
	for _, i := range assets {
		lower += f.bounds[i].Lower
		upper += f.bounds[i].Upper
	}
	return lower, upper
}

// slack is the tolerance for rounded sums.
const slack = 1e-10

func (f *feasible) addBounds() error {
	all := f.equal[0].row.Index
	lower, upper := f.span(all)
	short := make([]string, 0, 2)
	switch {
	case lower > f.budget+slack && f.budget == 0:
		return infeasible(append(short, "budget", "lower bounds"),
			"weights that sum to zero need short positions, and the lower bounds sum to %.6g", lower)
	case lower > f.budget+slack:
		return infeasible(append(short, "budget", "lower bounds"),
			"the lower bounds sum to %.6g, more than the budget of %v", lower, f.budget)
	case upper < f.budget-slack:
		return infeasible(append(short, "budget", "upper bounds"),
			"the upper bounds sum to %.6g, less than the budget of %v", upper, f.budget)
	case f.budget == 0 && lower >= 0:
		return infeasible(append(short, "budget", "lower bounds"),
			"weights that sum to zero need short positions, and no lower bound is below zero")
	}
	fixed := lower >= f.budget-1e-13 || upper <= f.budget+1e-13 // only one portfolio is feasible
	for i, b := range f.bounds {
		name := f.names.of(i)
		row := conic.Row{Index: []int{i}, Value: []float64{1}}
		switch {
		case fixed && f.n > 1:
			v := b.Lower
			if upper <= f.budget+1e-13 {
				v = b.Upper
			}
			f.equal = append(f.equal, limit{name: "bounds of " + name, row: row, bound: v, asset: true})
			continue
		case b.Lower == b.Upper:
			f.equal = append(f.equal, limit{name: "bounds of " + name, row: row, bound: b.Lower, asset: true})
			continue
		}
		if !math.IsInf(b.Lower, 0) {
			f.less = append(f.less,
				limit{name: "lower bound of " + name, row: conic.Row{Index: []int{i}, Value: []float64{-1}},
					bound: -b.Lower, asset: true})
		}
		// An upper bound that the other lower bounds imply would only slow down the solver.
		if !math.IsInf(b.Upper, 0) && !(b.Upper >= f.budget-(lower-b.Lower)) {
			f.less = append(f.less, limit{name: "upper bound of " + name, row: row, bound: b.Upper, asset: true})
		}
	}
	return nil
}

func (f *feasible) addGroup(g Group) error {
	name := "group " + g.Name
	var row conic.Row
	seen := map[int]bool{}
	for _, i := range g.Assets {
		if i < 0 || i >= f.n {
			return invalid(name, "there is no asset %d", i)
		}
		if seen[i] {
			return invalid(name, "%s is there twice", f.names.of(i))
		}
		seen[i] = true
		row.Index, row.Value = append(row.Index, i), append(row.Value, 1)
	}
	lower, upper := f.span(g.Assets)
	switch {
	case g.Lower > upper+slack:
		return infeasible([]string{name, "upper bounds"},
			"%s must be at least %v, and the upper bounds of its assets sum to %.6g", name, g.Lower, upper)
	case g.Upper < lower-slack:
		return infeasible([]string{name, "lower bounds"},
			"%s may be at most %v, and the lower bounds of its assets sum to %.6g", name, g.Upper, lower)
	}
	return f.add(name, row, g.Lower, g.Upper)
}

// add adds lower ≤ row·w ≤ upper.
func (f *feasible) add(name string, row conic.Row, lower, upper float64) error {
	switch {
	case math.IsNaN(lower) || math.IsNaN(upper) || math.IsInf(lower, 1) || math.IsInf(upper, -1):
		return invalid(name, "limits [%v, %v]", lower, upper)
	case lower > upper:
		return infeasible([]string{name}, "%s: the lower limit, %v, is above the upper one, %v", name, lower, upper)
	case len(row.Index) == 0:
		if lower > 0 || upper < 0 {
			return infeasible([]string{name}, "%s has no assets, and its limits are [%v, %v]", name, lower, upper)
		}
		return nil
	case lower == upper:
		f.equal = append(f.equal, limit{name: name, row: row, bound: lower})
		return nil
	}
	if !math.IsInf(lower, 0) && f.binds(negative(row), -lower) {
		f.less = append(f.less, limit{name: name + " (lower)", row: negative(row), bound: -lower})
	}
	if !math.IsInf(upper, 0) && f.binds(row, upper) {
		f.less = append(f.less, limit{name: name + " (upper)", row: row, bound: upper})
	}
	return nil
}

// binds reports whether weights within their bounds can break row·w ≤ bound. A row that never binds would only widen
// the range of the solver's numbers.
func (f *feasible) binds(row conic.Row, bound float64) bool {
	most := 0.0
	for k, i := range row.Index {
		v := row.Value[k]
		most += math.Max(v*f.bounds[i].Lower, v*f.bounds[i].Upper)
	}
	return !(most <= bound)
}

func negative(r conic.Row) conic.Row {
	out := conic.Row{Index: r.Index, Value: make([]float64, len(r.Value))}
	for i, v := range r.Value {
		out.Value[i] = -v
	}
	return out
}

// independent drops equations that follow from others. An equation that contradicts others is an error.
func (f *feasible) independent() error {
	var kept []limit
	var basis [][]float64
	var rhs []float64
	var names []string
	for _, e := range f.equal {
		v := make([]float64, f.n)
		size := 0.0
		for k, i := range e.row.Index {
			v[i] = e.row.Value[k]
			size += v[i] * v[i]
		}
		size = math.Sqrt(size)
		b := e.bound
		for range 2 { // twice is enough
			for k, u := range basis {
				dot := 0.0
				for i := range v {
					dot += u[i] * v[i]
				}
				for i := range v {
					v[i] -= dot * u[i]
				}
				b -= dot * rhs[k]
			}
		}
		rest := 0.0
		for _, x := range v {
			rest += x * x
		}
		rest = math.Sqrt(rest)
		if rest > 1e-9*size {
			for i := range v {
				v[i] /= rest
			}
			basis, rhs = append(basis, v), append(rhs, b/rest)
			kept, names = append(kept, e), append(names, e.name)
			continue
		}
		if math.Abs(b) > 1e-8*math.Max(size, math.Abs(e.bound)) {
			return infeasible(append([]string{e.name}, names...), "%s contradicts %s", e.name, list(names))
		}
	}
	f.equal = kept
	return nil
}

// Check reports errors of constraints that need neither returns nor a covariance: an invalid limit, or contradictory
// limits, budget and groups. Errors: *InvalidError, *InfeasibleError.
func Check(names []string, c Constraints) error {
	_, err := newFeasible(len(names), names, c)
	return err
}
