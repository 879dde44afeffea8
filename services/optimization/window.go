package optimization

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"stega/fault"
	"stega/quant"
	"stega/series"
)

// window is the returns of some symbols between two days: Values[a][t] is that of symbol a in Rows[t].
type window struct {
	symbols []string
	series.Frame
	series.Frequency
}

// load reads a window. The first price of each symbol in it has no return there: that would look at a price from
// before. Missing returns that are taken for 0 are those of days; else a return that spans days stands beside others
// that span them.
func load(ctx context.Context, db bun.IDB, symbols []string, r *Request) (*window, error) {
	all, err := loadSeries(ctx, db, symbols, r.From, r.To)
	if err != nil {
		return nil, err
	}
	unknown, err := unknownSymbols(ctx, db, symbols)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, fault.NotFound("symbol_unknown", "there are no prices of %s", brief(unknown)).
			WithHint("import some with POST /v1/prices, or list what there is with GET /v1/symbols; what was just imported is known here once its operation is settled")
	}
	aligned := make([]iter.Seq[[]series.Point], len(symbols))
	for i, s := range symbols {
		points := all[s]
		if len(points) < 3 {
			return nil, fault.Invalid("observations_too_few", "the window has %d days with a price of %s, and a deviation needs two returns, which are three", len(points), s).
				WithHint("choose another from and to; GET /v1/symbols says from when to when there are prices")
		}
		series.Link(points, points[0].Day)
		aligned[i] = slices.Values([][]series.Point{points[1:]})
	}
	w := &window{symbols: symbols, Frequency: series.Frequency(r.Frequency)}
	if w.Frame, err = w.Align(aligned); errors.Is(err, series.ErrTooLarge) {
		return nil, fault.Invalid("symbols_too_many", "these %d symbols have too many different days", len(symbols)).
			WithHint("name fewer symbols, or choose a shorter window or a lower frequency")
	}
	if err != nil {
		return nil, err
	}
	for a, symbol := range symbols {
		if n := observed(w.Values[a]); n < 2 {
			return nil, fault.Invalid("observations_too_few", "the number of %s returns of %s in the window is %d, and a deviation needs two", r.Frequency, symbol, n).
				WithHint("choose a longer window, or daily returns")
		}
	}
	if quant.Missing(r.Missing) == quant.MissingZero {
		w.Frame = w.ByDay()
	}
	return w, nil
}

// complete are the returns of the rows in which every symbol has one.
func (w *window) complete() ([][]float64, error) {
	out := make([][]float64, len(w.Values))
days:
	for t := range w.Rows {
		for _, r := range w.Values {
			if math.IsNaN(r[t]) {
				continue days
			}
		}
		for a, r := range w.Values {
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
	begin, end := make([]int, len(w.Values)), make([]int, len(w.Values))
	for a, r := range w.Values {
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
	if begin[late] < end[early] {
		return fault.Invalid("observations_too_few", "there are fewer than two days on which all %d symbols have a return since the same day: their prices are of different days", len(w.symbols)).
			WithHint("leave out those that have few prices (GET /v1/symbols says how many each has), or take weekly or monthly returns (frequency)")
	}
	return fault.Invalid("observations_too_few", "there are fewer than two days on which all %d symbols have a return: %s begins on %s, and %s ends on %s",
		len(w.symbols), w.symbols[late], w.Rows[begin[late]].Day, w.symbols[early], w.Rows[end[early]].Day).
		WithHint("leave one of them out, or choose another from and to")
}

// still lists the symbols whose returns are all the same in the window, so that they bear no risk.
func (w *window) still() []string {
	var still []string
	for a, r := range w.Values {
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
