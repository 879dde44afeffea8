package quant

import "slices"

// State is what a Running has counted, exactly, for comparison.
type State struct {
	counts         []int64
	sums, products []wide
	gaps           []gap
}

// StateOf returns a copy of the state. One without gaps equals one whose gaps were filled.
func StateOf(m *Running) State {
	s := State{slices.Clone(m.count), slices.Clone(m.sums), slices.Clone(m.products), make([]gap, m.n*m.n)}
	copy(s.gaps, m.gaps)
	return s
}
