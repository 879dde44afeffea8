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

// window holds the returns of symbols between two days: Values[a][t] is the return of symbol a in Rows[t].
type window struct {
	symbols []string
	series.Frame
	series.Frequency
}

// load reads a window. The first price of each symbol in the window has no return there, since that depends on an
// earlier price. When missing returns count as 0, rows are days; else a return over several days is in the row of
// returns over the same days.
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
			WithHint("import prices with POST /v1/prices, or list the symbols with GET /v1/symbols; " +
				"new prices are available once their operation is settled")
	}
	aligned := make([]iter.Seq[[]series.Point], len(symbols))
	for i, s := range symbols {
		points := all[s]
		if len(points) < 3 {
			return nil, fault.Invalid("observations_too_few",
				"the window has %d days with a price of %s, and three are needed, for two returns", len(points), s).
				WithHint("choose another from and to; GET /v1/symbols lists the first and the last day of each symbol")
		}
		series.Link(points, points[0].Day)
		aligned[i] = slices.Values([][]series.Point{points[1:]})
	}
	w := &window{symbols: symbols, Frequency: series.Frequency(r.Frequency)}
	if w.Frame, err = w.Align(aligned); errors.Is(err, series.ErrTooLarge) {
		return nil, fault.Invalid("symbols_too_many", "the %d symbols have too many different days", len(symbols)).
			WithHint("name fewer symbols, or choose a shorter window or a lower frequency")
	}
	if err != nil {
		return nil, err
	}
	for a, symbol := range symbols {
		if n := countObserved(w.Values[a]); n < 2 {
			return nil, fault.Invalid("observations_too_few",
				"the number of %s returns of %s in the window is %d, and two are needed", r.Frequency, symbol, n).
				WithHint("choose a longer window, or daily returns")
		}
	}
	if quant.Missing(r.Missing) == quant.MissingZero {
		w.Frame = w.ByDay()
	}
	return w, nil
}

// complete returns the returns of the rows in which every symbol has one.
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
		return nil, w.tooFewCommon()
	}
	return out, nil
}

// tooFewCommon returns the fault of symbols with fewer than two common rows.
func (w *window) tooFewCommon() error {
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
		return fault.Invalid("observations_too_few",
			"the %d symbols have fewer than two returns over the same days: their prices are of different days",
			len(w.symbols)).
			WithHint("leave out symbols with few prices (GET /v1/symbols lists their days), " +
				"or use weekly or monthly returns (frequency)")
	}
	return fault.Invalid("observations_too_few",
		"there are fewer than two days on which all %d symbols have a return: %s begins on %s, and %s ends on %s",
		len(w.symbols), w.symbols[late], w.Rows[begin[late]].Day, w.symbols[early], w.Rows[end[early]].Day).
		WithHint("leave one of them out, or choose another from and to")
}

// constant lists the symbols whose returns are all equal in the window, so that they bear no risk.
func (w *window) constant() (symbols []string) {
	for a, r := range w.Values {
		if quant.Deviation(r) == 0 {
			symbols = append(symbols, w.symbols[a])
		}
	}
	return symbols
}

// brief joins symbols, and shortens a long list.
func brief(symbols []string) string {
	const most = 6
	if len(symbols) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(symbols[:most], ", "), len(symbols)-most)
	}
	return strings.Join(symbols, ", ")
}
