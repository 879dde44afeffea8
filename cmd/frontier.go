package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/internal/plot"
)

func newFrontier(g *globals) *cobra.Command {
	var w waiting
	var f problemFlags
	var onInterrupt string
	c := &cobra.Command{
		Use: "frontier SYMBOL…", Short: "Compute the efficient frontier of symbols or a portfolio",
		ValidArgsFunction: g.many(symbolNames), Args: cobra.ArbitraryArgs,
		Long: `Has the server find the portfolios that have the least volatility for their return, from the least
volatility of all to the highest return. With --plot they are drawn on the terminal, and with -o svg as a picture. The
flags are those of stega optimize.`,
		Example: `  stega frontier AAPL MSFT XOM --risk-free 2%
  stega frontier --portfolio core --points 50 --plot
  stega frontier AAPL MSFT XOM --bounds 0:0.5 -o svg > frontier.svg`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := askable(&w, onInterrupt); err != nil {
				return err
			}
			r, err := f.request(ctx, g, cl, args)
			if err != nil {
				return err
			}
			r.Objective = "frontier"
			return g.optimize(ctx, c, cl, client.Optimize(r), &w, g.showFrontier)
		}),
	}
	w.flags(c)
	f.flags(c, g)
	c.Flags().IntVar(&f.r.Points, "points", 0, "number of portfolios on the frontier (default 20)")
	interruptFlag(c, &onInterrupt)
	g.plotFlag(c, "draw it on the terminal")
	return alsoAs(c, asCSV, asSVG)
}

// showOptimization shows one portfolio.
func (g *globals) showOptimization(c *cobra.Command, a client.Answer[client.Optimization]) error {
	o := a.Value
	if o.OptimalWeights == nil || o.Error != nil {
		return g.showUnfinished(c, a)
	}
	people := g.format == asTable && !g.quiet
	if people {
		printf(c.OutOrStdout(), "%s of %s\n\n", cmp.Or(o.Name, o.Objective), madeOf(o))
	}
	v := weightsView(o)
	v.raw, v.ids = a.Raw, []string{o.ID}
	if err := g.show(c, v); err != nil || !people {
		return err
	}
	if err := optimum(o).write(c.OutOrStdout()); err != nil {
		return err
	}
	for _, note := range o.Notes {
		printf(c.ErrOrStderr(), "note: %s\n", note)
	}
	return nil
}

// showUnfinished shows one that has no answer: it is still to come, or failed.
func (g *globals) showUnfinished(c *cobra.Command, a client.Answer[client.Optimization]) error {
	o := a.Value
	t := table{head: []string{"", ""}}
	t.add("optimization", o.ID)
	t.add("status", o.Status)
	if o.Progress != nil {
		t.add("progress", strings.TrimSpace(progress(*o.Progress)))
	}
	if o.Error != nil {
		t.add("error", o.Error.Detail)
		t.add("hint", o.Error.Hint)
	}
	return g.show(c, view{raw: a.Raw, ids: []string{o.ID}, table: t})
}

// madeOf says what an answer was made of.
func madeOf(o client.Optimization) string {
	periods := map[string]string{"weekly": "weeks", "monthly": "months"}[o.Inputs.Frequency]
	return fmt.Sprintf(
		"%d symbols, %s to %s, %d %s", len(o.Data.Symbols), o.Data.First, o.Data.AsOf, o.Data.Observations,
		cmp.Or(periods, "days"),
	)
}

// shown is the weight below which a table for people leaves a symbol out.
const shown = 5e-5

// weightsView shows the weights, the heaviest first. A table leaves out what is almost nothing.
func weightsView(o client.Optimization) view {
	symbols := slices.Clone(o.Data.Symbols)
	slices.SortStableFunc(
		symbols, func(a, b string) int { return cmp.Compare(math.Abs(o.Weights[b]), math.Abs(o.Weights[a])) },
	)
	weight := func(s string) float64 { return o.Weights[s] }
	cols := columns[string]{
		{head: "SYMBOL", value: func(s string) string { return s }},
		number("WEIGHT", "weight", percent, func(s string) *float64 { return new(weight(s)) }),
		number("SHARE OF RISK", "risk_contribution", percent, func(s string) *float64 {
			return of(o.RiskContributions, s)
		}),
		number("EXPECTED", "expected_return", percent, func(s string) *float64 { return of(o.AssetReturns, s) }),
	}
	trade := func(string) events.Trade { return events.Trade{} }
	if o.Distance != nil {
		trade = func(s string) events.Trade {
			t := tradeOf(o.Distance.Trades, s)
			if t.Change == 0 {
				t.From = weight(s)
			}
			return t
		}
		cols = append(cols,
			number("NOW", "from", percent, func(s string) *float64 { return new(trade(s).From) }),
			number("CHANGE", "change", percent, func(s string) *float64 { return new(trade(s).Change) }),
		)
	}
	v := cols.view(symbols, nil)
	v.note = "no weight is above 0.005 %"
	rows := v.table.rows
	v.table.rows = nil
	for i, s := range symbols {
		if math.Abs(weight(s)) >= shown || math.Abs(trade(s).Change) >= shown {
			v.table.rows = append(v.table.rows, rows[i])
		}
	}
	return v
}

func of(values map[string]float64, symbol string) *float64 {
	v, ok := values[symbol]
	if !ok {
		return nil
	}
	return &v
}

// optimum are the figures of a portfolio for people.
func optimum(o client.Optimization) *table {
	t := &table{head: []string{"", ">"}}
	t.add("expected return", percent(o.AnnualReturn))
	t.add("volatility", percent(o.AnnualVolatility))
	t.add("Sharpe ratio", ratio(o.Sharpe))
	if o.Risk != nil {
		t.add(o.Inputs.Measure, percent(o.Risk))
	}
	if o.Distance != nil {
		t.add("turnover from the portfolio", percent(&o.Distance.Turnover))
	}
	held := slices.DeleteFunc(
		slices.Clone(o.Active),
		func(a client.ActiveConstraint) bool { return strings.HasPrefix(a.Constraint, "lower bound") },
	)
	for i, a := range held {
		if i == 4 && len(held) > 5 {
			t.add("held back by", fmt.Sprintf("%d more", len(held)-i))
			break
		}
		t.add("held back by", a.Constraint)
	}
	if o.Follow {
		t.add("follows its portfolio", fmt.Sprintf("run %d", o.Runs))
	}
	return t
}

// showFrontier shows many portfolios.
func (g *globals) showFrontier(c *cobra.Command, a client.Answer[client.Optimization]) error {
	o := a.Value
	if o.OptimalWeights == nil || o.Error != nil {
		return g.showUnfinished(c, a)
	}
	if g.format == asTable && !g.quiet && !g.pictured() {
		printf(c.OutOrStdout(), "%s of %s\n\n", cmp.Or(o.Name, "efficient frontier"), madeOf(o))
	}
	v := view{
		raw:   a.Raw,
		ids:   []string{o.ID},
		table: table{head: []string{">RETURN", ">VOLATILITY", ">SHARPE", "", "WEIGHTS"}},
		csv:   &table{head: append([]string{"annual_return", "annual_volatility", "sharpe"}, o.Data.Symbols...)},
	}
	for _, p := range o.Points {
		v.table.add(percent(p.AnnualReturn), percent(p.AnnualVolatility), ratio(p.Sharpe), "", heaviest(p.Weights))
		row := []string{exactly(p.AnnualReturn), exactly(p.AnnualVolatility), exactly(p.Sharpe)}
		for _, s := range o.Data.Symbols {
			row = append(row, exactly(of(p.Weights, s)))
		}
		v.csv.add(row...)
	}
	if best := o.MaxSharpe; best != nil {
		v.table.add(
			percent(best.AnnualReturn), percent(best.AnnualVolatility), ratio(best.Sharpe), "highest Sharpe ratio",
			heaviest(best.Weights),
		)
	}
	v.draw = func(w io.Writer, opts plot.Options) error { return drawFrontier(w, opts, o) }
	if err := g.show(c, v); err != nil {
		return err
	}
	if g.format == asTable && !g.quiet {
		for _, note := range o.Notes {
			printf(c.ErrOrStderr(), "note: %s\n", note)
		}
	}
	return nil
}

func drawFrontier(w io.Writer, opts plot.Options, o client.Optimization) error {
	opts.Title, opts.XLabel, opts.YLabel = cmp.Or(o.Name, "efficient frontier")+" of "+madeOf(o), "volatility", "return"
	opts.XPercent, opts.YPercent = true, true
	series := []plot.Series{{Name: "efficient frontier", Line: true}}
	add := func(s *plot.Series, p client.FrontierPoint) {
		if p.AnnualReturn != nil && p.AnnualVolatility != nil {
			s.X, s.Y = append(s.X, *p.AnnualVolatility), append(s.Y, *p.AnnualReturn)
		}
	}
	for _, p := range o.Points {
		add(&series[0], p)
	}
	for _, one := range []struct {
		name string
		p    *client.FrontierPoint
	}{{"least volatility", o.MinVolatility}, {"highest Sharpe ratio", o.MaxSharpe}} {
		if one.p != nil {
			s := plot.Series{Name: one.name}
			add(&s, *one.p)
			series = append(series, s)
		}
	}
	return plot.Points(w, opts, series...)
}

// heaviest are the largest weights in a few words.
func heaviest(weights map[string]float64) string {
	var symbols []string
	for s, w := range weights {
		if math.Abs(w) >= .005 {
			symbols = append(symbols, s)
		}
	}
	slices.SortFunc(symbols, func(a, b string) int {
		return cmp.Or(cmp.Compare(math.Abs(weights[b]), math.Abs(weights[a])), cmp.Compare(a, b))
	})
	var parts []string
	for i, s := range symbols {
		if i == 4 && len(symbols) > 5 {
			parts = append(parts, fmt.Sprintf("… %d more", len(symbols)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %.0f %%", s, weights[s]*100))
	}
	return strings.Join(parts, ", ")
}
