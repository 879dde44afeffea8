package optimization

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"stega/civil"
	"stega/fault"
	"stega/quant"
)

// window is the returns of some symbols between two days: returns[a][t] is that of symbol a on day t, NaN where it has none. Each day has one at least.
type window struct {
	symbols []string
	days    []civil.Date
	returns [][]float64
}

// load reads a window. The first price of each symbol in it has no return there: that would look at a price from before.
func load(ctx context.Context, db bun.IDB, symbols []string, from, to *civil.Date) (*window, error) {
	all, err := loadSeries(ctx, db, symbols, from, to)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, s := range symbols {
		if _, known := all[s]; !known {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		return nil, fault.NotFound("symbol_unknown", "there are no prices of %s", brief(missing)).
			WithHint("import some with POST /v1/prices, or list what there is with GET /v1/symbols; what was just imported is known here once its operation is settled")
	}
	w := &window{symbols: symbols, returns: make([][]float64, len(symbols))}
	first, last := civil.Date(math.MaxInt32), civil.Date(math.MinInt32)
	for _, s := range symbols {
		points := all[s]
		if len(points) < 3 {
			return nil, fault.Invalid("observations_too_few", "the window has %d days with a price of %s, and a deviation needs two returns, which are three", len(points), s).
				WithHint("choose another from and to; GET /v1/symbols says from when to when there are prices")
		}
		all[s] = points[1:]
		first, last = min(first, points[1].day), max(last, points[len(points)-1].day)
	}
	at := make([]int, last-first+1)
	for _, points := range all {
		for _, p := range points {
			at[p.day-first] = 1
		}
	}
	for d, has := range at {
		if at[d] = len(w.days); has > 0 {
			w.days = append(w.days, first+civil.Date(d))
		}
	}
	for a, s := range symbols {
		w.returns[a] = slices.Repeat([]float64{math.NaN()}, len(w.days))
		for _, p := range all[s] {
			w.returns[a][at[p.day-first]] = p.value
		}
	}
	return w, nil
}

// complete are the returns of the days on which every symbol has one.
func (w *window) complete() ([][]float64, error) {
	out := make([][]float64, len(w.returns))
days:
	for t := range w.days {
		for _, r := range w.returns {
			if math.IsNaN(r[t]) {
				continue days
			}
		}
		for a, r := range w.returns {
			out[a] = append(out[a], r[t])
		}
	}
	if len(out[0]) < 2 {
		return nil, w.apart()
	}
	return out, nil
}

// apart is the fault of symbols that have too few days in common.
func (w *window) apart() error {
	late, early := 0, 0
	begin, end := make([]int, len(w.returns)), make([]int, len(w.returns))
	for a, r := range w.returns {
		begin[a] = slices.IndexFunc(r, func(v float64) bool { return !math.IsNaN(v) })
		for t, v := range r {
			if !math.IsNaN(v) {
				end[a] = t
			}
		}
		if begin[a] > begin[late] {
			late = a
		}
		if end[a] < end[early] {
			early = a
		}
	}
	return fault.Invalid("observations_too_few", "there are fewer than two days on which all %d symbols have a return: %s begins on %s, and %s ends on %s",
		len(w.symbols), w.symbols[late], w.days[begin[late]], w.symbols[early], w.days[end[early]]).
		WithHint("leave one of them out, or choose another from and to")
}

// still lists the symbols whose returns are all the same in the window, so that they bear no risk.
func (w *window) still() []string {
	var still []string
	for a, r := range w.returns {
		if quant.Deviation(r) == 0 {
			still = append(still, w.symbols[a])
		}
	}
	return still
}

// brief is a list of symbols, the first few of many.
func brief(symbols []string) string {
	const most = 6
	if len(symbols) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(symbols[:most], ", "), len(symbols)-most)
	}
	return strings.Join(symbols, ", ")
}
