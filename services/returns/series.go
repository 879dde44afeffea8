package returns

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
)

// series is returns with their days: returns[i] is that of the period that ends on days[i+1]; days[0] is the first price's.
type series struct {
	days    []civil.Date
	returns []float64
}

// levels are prices that returns can be made of. The return between two days is that of the adjusted closes when both days have one, and else
// that of the closes, so that a file without adjusted closes beside one with them makes no jump.
func levels(points []point) []float64 {
	out := make([]float64, len(points))
	adjusted := 0
	for i, p := range points {
		out[i] = p.close
		if !math.IsNaN(p.adjusted) {
			adjusted++
		}
	}
	if adjusted == 0 {
		return out
	}
	for i, p := range points {
		switch {
		case adjusted == len(points):
			out[i] = p.adjusted
		case i > 0 && !math.IsNaN(p.adjusted) && !math.IsNaN(points[i-1].adjusted):
			out[i] = out[i-1] * (p.adjusted / points[i-1].adjusted)
		case i > 0:
			out[i] = out[i-1] * (p.close / points[i-1].close)
		}
	}
	return out
}

// between is the return from one point to the next, by the rule of levels.
func between(a, b point) float64 {
	if !math.IsNaN(a.adjusted) && !math.IsNaN(b.adjusted) {
		return b.adjusted/a.adjusted - 1
	}
	return b.close/a.close - 1
}

// asset is the daily returns of a symbol in a window.
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
				WithHint("import some with POST /v1/prices, or list what there is with GET /v1/symbols")
		}
	}
	if len(points) < 2 {
		return series{}, tooFew(len(points), symbol)
	}
	return series{daysOf(points), quant.Simple(levels(points))}, nil
}

func tooFew(n int, what string) error {
	return fault.Invalid("window_empty", "the window has %d days with a price of %s, and a return needs two", n, what).
		WithHint("choose another from and to; GET /v1/symbols says from when to when there are prices")
}

func daysOf(points []point) []civil.Date {
	days := make([]civil.Date, len(points))
	for i, p := range points {
		days[i] = p.day
	}
	return days
}

// portfolio is the daily returns of a portfolio, over the days on which each of its assets has a price.
func portfolio(ctx context.Context, db bun.IDB, p events.Portfolio, from, to *civil.Date, rebalance quant.Rebalance) (series, error) {
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
		level := levels(points)
		common := make([]float64, 0, len(days))
		for j, point := range points {
			if counts[point.day] == len(all) {
				common = append(common, level[j])
			}
		}
		rows[i] = quant.Simple(common)
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
		return series{}, fault.Conflict("portfolio_ruined", "the portfolio has lost everything by %s", days[len(returns)]).
			WithHint("its short positions cost more than it was worth; choose a window that ends before")
	}
	return series{days, returns}, err
}

// every compounds daily returns to weeks (which end on Sunday) or months.
func (s series) every(frequency string) series {
	if frequency == "daily" {
		return s
	}
	out := series{days: []civil.Date{s.days[0]}}
	wealth := 1.0
	for i, r := range s.returns {
		wealth *= 1 + r
		if i+1 < len(s.returns) && samePeriod(frequency, s.days[i+1], s.days[i+2]) {
			continue
		}
		out.days = append(out.days, s.days[i+1])
		out.returns = append(out.returns, wealth-1)
		wealth = 1
	}
	return out
}

func samePeriod(frequency string, a, b civil.Date) bool {
	if frequency == "weekly" {
		return (int(a)+3)/7 == (int(b)+3)/7 // 1970-01-01 was a Thursday; weeks begin on Monday
	}
	y1, m1, _ := a.Civil()
	y2, m2, _ := b.Civil()
	return y1 == y2 && m1 == m2
}
