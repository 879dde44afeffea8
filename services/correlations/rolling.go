package correlations

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/rest"
	"stega/series"
)

// The default and the bound of a window, in returns.
const (
	defaultRolling = 63 // a quarter
	maxRolling     = 2520
)

func readRolling(c echo.Context) (q query, days int, err error) {
	if err := q.readTarget(c); err != nil {
		return q, 0, err
	}
	if len(q.symbols) != 2 {
		return q, 0, fault.Invalid(
			"symbols_not_two", "a rolling correlation takes two symbols, and these are %d", len(q.symbols),
		).
			WithHint("give two symbols, such as symbols=AAPL,MA")
	}
	q.method, q.frequency, days = rest.Arg[string](c, "method"), rest.Word[series.Frequency](c,
		"frequency"), rest.Arg[int](c, "window")
	w, err := rest.Windowed(c)
	q.kind, q.window = kindCorrelation, window{w.From, w.To}
	return q, days, err
}

func (s *Service) rolling(c echo.Context) error {
	q, days, err := readRolling(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	target, err := s.find(ctx, q)
	if err != nil {
		return err
	}
	tag := target.tag("rolling " + strconv.Itoa(days) + q.String())
	if rest.Matches(c, tag) {
		c.Response().Header().Set("ETag", tag)
		return c.NoContent(http.StatusNotModified)
	}
	all, err := s.cache.load(ctx, s.db.Read(), target.index)
	if err != nil {
		return err
	}
	var a api.RollingCorrelation
	err = s.work.Do(ctx, float64(min(all[0].days, all[1].days))*q.steps(days), func() (err error) {
		a, err = roll(ctx, q, days, all)
		return err
	})
	if err != nil {
		return err
	}
	a.Symbols = target.symbols
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", tag)
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, append(body, '\n'))
}

// roll computes the correlation of two series over all windows of the given number of returns.
func roll(ctx context.Context, q query, days int, all []*cachedSeries) (api.RollingCorrelation, error) {
	a := api.RollingCorrelation{Frequency: string(q.frequency), Method: q.method, Window: days}
	dates, x, y, err := commonReturns(all, q)
	if err != nil {
		return a, err
	}
	if len(dates) < days {
		return a, fault.Invalid(
			"window_empty", "the two symbols have %d %s returns over the same days, and a window takes %d", len(dates),
			q.frequency, days,
		).
			WithHint("choose another from and to, or a smaller window")
	}
	if most := len(dates) - days + 1; float64(most)*float64(days) > q.bound() {
		return a, fault.Invalid("window_long", "%d windows of %d returns are too many for method=%s", most, days,
			q.method).
			WithHint("choose a smaller window, or a later from")
	}
	correlate := map[string]func(x, y []float64) float64{
		"pearson": quant.PairCorrelation, "spearman": quant.Spearman, "kendall": quant.Kendall,
	}[q.method]
	a.Dates, a.Values = dates[days-1:], make(events.Floats, len(dates)-days+1)
	for i := range a.Values {
		if ctx.Err() != nil {
			return a, context.Cause(ctx)
		}
		a.Values[i] = correlate(x[i:i+days], y[i:i+days])
		if math.IsInf(a.Values[i], 0) {
			a.Values[i] = math.NaN()
		}
	}
	return a, nil
}

// commonReturns returns the returns that two symbols have over the same days.
func commonReturns(all []*cachedSeries, q query) (days []civil.Date, x, y []float64, err error) {
	f, err := frame(all, q.window, q.frequency)
	if err != nil {
		return nil, nil, nil, tooLarge(err)
	}
	for t, r := range f.Rows {
		if a, b := f.Values[0][t], f.Values[1][t]; a == a && b == b {
			days, x, y = append(days, r.Day), append(x, a), append(y, b)
		}
	}
	return days, x, y, nil
}
