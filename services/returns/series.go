package returns

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
	spans "stega/series"
)

// series holds returns with their days: returns[i] ends on days[i+1], and days[0] is the day of the first price.
type series struct {
	days    []civil.Date
	returns []float64
}

// seriesOf returns the series of two or more points.
func seriesOf(points []point) series {
	s := series{days: daysOf(points), returns: make([]float64, len(points)-1)}
	for i := range s.returns {
		s.returns[i] = returnBetween(points[i], points[i+1])
	}
	return s
}

// onDays returns the series on some of its days, with the returns between two of them compounded.
func (s series) onDays(keep func(day civil.Date) bool) series {
	var out series
	since := 0 // index of the last day that was kept
	for i, day := range s.days {
		if !keep(day) {
			continue
		}
		switch {
		case len(out.days) == 0:
		case s.days[i-1] == out.days[len(out.days)-1]:
			out.returns = append(out.returns, s.returns[i-1]) // unchanged to the last bit
		default:
			out.returns = append(out.returns, quant.CumulativeReturn(s.returns[since:i]))
		}
		out.days = append(out.days, day)
		since = i
	}
	return out
}

// asset returns the daily returns of a symbol in a window.
func asset(ctx context.Context, db bun.IDB, symbol string, from, to *civil.Date) (series, error) {
	points, err := window(ctx, db, symbol, from, to)
	if err != nil {
		return series{}, err
	}
	if len(points) == 0 {
		known, err := priced(ctx, db, symbol)
		if err != nil {
			return series{}, err
		}
		if !known {
			return series{}, fault.NotFound("symbol_unknown", "there are no prices of %s", symbol).
				WithHint("import prices with POST /v1/prices, or list the symbols with GET /v1/symbols")
		}
	}
	if len(points) < 2 {
		return series{}, tooFew(len(points), symbol)
	}
	return seriesOf(points), nil
}

// tooFew returns the fault of a window with fewer than two days with a price; name names the assets.
func tooFew(n int, name string) error {
	return fault.Invalid("window_empty", "the window has %d days with a price of %s, and a return needs two", n, name).
		WithHint("choose another from and to; GET /v1/symbols lists the first and the last day of each symbol")
}

// daysOf returns the days of points.
func daysOf(points []point) []civil.Date {
	days := make([]civil.Date, len(points))
	for i, p := range points {
		days[i] = p.day
	}
	return days
}

// portfolio returns the daily returns of a portfolio, over the days on which each of its assets has a price.
func portfolio(
	ctx context.Context, db bun.IDB, p events.Portfolio, from, to *civil.Date, rebalance quant.Rebalance,
) (series, error) {
	missing, err := unpriced(ctx, db, p.Assets)
	if err != nil {
		return series{}, err
	}
	if len(missing) > 0 {
		return series{}, fault.Conflict("prices_missing", "there are no prices yet of %s", strings.Join(missing, ", ")).
			WithHint("import them with POST /v1/prices")
	}
	all := make([][]point, len(p.Assets))
	weights := make([]float64, len(p.Assets))
	counts := map[civil.Date]int{}
	for i, a := range p.Assets {
		if all[i], err = window(ctx, db, a.Symbol, from, to); err != nil {
			return series{}, err
		}
		weights[i], _ = a.Weight.Float64()
		for _, point := range all[i] {
			counts[point.day]++
		}
	}
	var days []civil.Date
	for day, n := range counts {
		if n == len(all) {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	if len(days) < 2 {
		return series{}, tooFew(len(days), "all assets of the portfolio")
	}
	rows := make([][]float64, len(all))
	for i, points := range all {
		if ctx.Err() != nil {
			return series{}, context.Cause(ctx)
		}
		rows[i] = seriesOf(points).onDays(func(day civil.Date) bool { return counts[day] == len(all) }).returns
	}
	returns, err := quant.PortfolioReturns(rows, weights, func(t int) bool {
		switch rebalance {
		case quant.RebalanceNone:
			return false
		case quant.RebalanceMonthly:
			y1, m1, _ := days[t].Civil()
			y2, m2, _ := days[t+1].Civil()
			return y1 != y2 || m1 != m2
		default:
			return true
		}
	})
	if errors.Is(err, quant.ErrRuined) {
		return series{}, fault.Conflict("portfolio_ruined", "the portfolio has lost everything by %s",
			days[len(returns)]).
			WithHint("the losses of its short positions exceed its value; choose a window that ends before")
	}
	return series{days, returns}, err
}

// every compounds daily returns to weeks, which end on Sunday, or to months.
func (s series) every(frequency spans.Frequency) series {
	if frequency == spans.Daily {
		return s
	}
	out := series{days: []civil.Date{s.days[0]}}
	since := 0
	for i := range s.returns {
		if i+1 < len(s.returns) && frequency.End(s.days[i+1]) == frequency.End(s.days[i+2]) {
			continue
		}
		out.days = append(out.days, s.days[i+1])
		out.returns = append(out.returns, quant.CumulativeReturn(s.returns[since:i+1]))
		since = i + 1
	}
	return out
}
