package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/internal/plot"
)

// returnsFlags are what a person asks of returns.
type returnsFlags struct {
	q         client.ReturnsQuery
	series    bool
	drawdowns bool
	table     string // monthly or yearly
	rolling   string // a figure
	length    int
	limit     int
	benchmark string
	as        string
}

func newReturns(g *globals) *cobra.Command {
	var f returnsFlags
	c := alsoAs(&cobra.Command{
		Use: "returns SYMBOL|PORTFOLIO", Short: "Returns and risk of a symbol or a portfolio", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(portfolioNames, symbolNames),
		Long: `Shows what a symbol or a portfolio, which is named by its name or id, has returned, and at what risk. For people the figures are percents
a year where that makes sense; -o json has the ratios that the server answers, and -o csv the same in columns. With --benchmark it compares with
another symbol or portfolio, on the days that both have.

In place of the figures it shows the returns themselves, or log returns, cumulative returns or drawdowns (--series, --kind), the deepest
drawdowns (--drawdowns), the returns of calendar months or years (--table), or a figure of each window of days (--rolling, --window-days).
With --plot it draws on the terminal, and with -o svg as a picture: the cumulative returns, or what was asked for.`,
		Example: `  stega returns core
  stega returns AAPL --from 2025-01-01 --risk-free 0.02 --benchmark SPY
  stega returns core --rebalance none --series --kind drawdown -o json
  stega returns core --drawdowns --limit 5
  stega returns core --table monthly
  stega returns core --rolling beta --window-days 126 --benchmark SPY --plot
  stega returns core --benchmark SPY -o svg > core.svg`,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := f.check(g); err != nil {
				return err
			}
			who, err := whose(ctx, cl, g.at, args[0], f.as)
			if err != nil {
				return err
			}
			if f.benchmark != "" {
				rival, err := whose(ctx, cl, g.at, f.benchmark, "")
				if err != nil {
					return err
				}
				f.q.Benchmark = rival.id()
				f.benchmark = rival.name()
			}
			return g.showReturnsOf(ctx, c, cl, who, f)
		}),
	}, asCSV, asSVG)
	f.flags(c, g)
	return c
}

func (f *returnsFlags) flags(c *cobra.Command, g *globals) {
	g.windowFlags(c, &f.q.Window)
	flags := c.Flags()
	flags.StringVar(&f.q.Frequency, "frequency", "", "daily, weekly or monthly (default: daily)")
	flags.StringVar(&f.q.Rebalance, "rebalance", "", "a portfolio's: daily, monthly or none (default: daily)")
	flags.StringVar(&f.q.RiskFree, "risk-free", "", "the risk-free rate a year, 0.02 is 2 % (default: 0)")
	flags.StringVar(&f.q.Required, "required", "", "the least acceptable return a year, for Sortino, Omega and the like (default: the risk-free rate)")
	flags.StringVar(&f.q.Confidence, "confidence", "", "of values at risk (default: 0.95)")
	flags.StringVar(&f.benchmark, "benchmark", "", "a symbol or portfolio to compare with")
	flags.BoolVar(&f.series, "series", false, "the returns themselves")
	flags.StringVar(&f.q.Kind, "kind", "", "of a series: simple, log, cumulative or drawdown (default: simple, and cumulative of a plot)")
	flags.BoolVar(&f.drawdowns, "drawdowns", false, "the deepest drawdowns")
	flags.IntVar(&f.limit, "limit", 10, "of drawdowns: at most so many")
	flags.StringVar(&f.table, "table", "", "the returns of calendar months or years: monthly or yearly")
	flags.StringVar(&f.rolling, "rolling", "", "a figure of each window, such as volatility, sharpe, return or beta")
	flags.IntVar(&f.length, "window-days", 63, "of rolling figures: how many returns each is of")
	flags.StringVar(&f.as, "as", "", "symbol or portfolio, when a name is both")
	g.plotFlag(c, "draw it on the terminal")
	c.MarkFlagsMutuallyExclusive("series", "drawdowns", "table", "rolling")
	for name, values := range map[string][]string{
		"frequency": {"daily", "weekly", "monthly"}, "rebalance": {"daily", "monthly", "none"}, "kind": {"simple", "log", "cumulative", "drawdown"},
		"table": {"monthly", "yearly"}, "rolling": {"return", "volatility", "sharpe", "sortino", "max_drawdown", "beta", "alpha", "correlation", "tracking_error"},
		"as": {"symbol", "portfolio"}, "risk-free": nil, "required": nil, "confidence": nil, "limit": nil, "window-days": nil,
	} {
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	_ = c.RegisterFlagCompletionFunc("benchmark", g.many(portfolioNames, symbolNames))
}

// check finds flags that do not go together.
func (f *returnsFlags) check(g *globals) error {
	switch {
	case f.q.Kind != "" && !f.series && (!g.pictured() || f.drawdowns || f.rolling != ""):
		return fault.Usage("kind_unused", "--kind is for --series").WithHint("say --series too")
	case f.table != "" && g.pictured():
		return fault.Usage("plot_missing", "there is no picture of a table").WithHint("leave out --plot, or say --rolling return --plot")
	}
	return nil
}

// showReturnsOf shows what the flags ask for.
func (g *globals) showReturnsOf(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	switch {
	case f.rolling != "":
		return g.showRolling(ctx, c, cl, who, f)
	case f.drawdowns && !g.pictured():
		return g.showDrawdowns(ctx, c, cl, who, f)
	case f.table != "":
		return g.showTable(ctx, c, cl, who, f)
	case f.series || g.pictured():
		return g.showSeries(ctx, c, cl, who, f)
	}
	return g.showReturns(ctx, c, cl, who, f)
}

// owner is whose returns are asked for; one of the two is set.
type owner struct {
	symbol    string
	portfolio events.Portfolio
}

// id is what the server knows it by.
func (o owner) id() string {
	if o.symbol != "" {
		return o.symbol
	}
	return o.portfolio.ID
}

// name is what people call it.
func (o owner) name() string {
	if o.symbol != "" {
		return o.symbol
	}
	return o.portfolio.Name
}

func (o owner) whose() client.Whose {
	return client.Whose{Symbol: o.symbol, PortfolioID: o.portfolio.ID}
}

// whose finds out what a word names.
func whose(ctx context.Context, cl *client.Client, at place, word, as string) (owner, error) {
	if as != "" && as != "symbol" && as != "portfolio" {
		return owner{}, fault.Usage("as_unknown", "there is nothing that is called a %s", as).WithHint("say --as symbol or --as portfolio")
	}
	symbol, notSymbol := events.Symbol(word)
	if as == "portfolio" || as == "" && (uuid.Validate(word) == nil || notSymbol != nil || strings.Contains(word, " ")) {
		p, err := resolvePortfolio(ctx, at, cl, word)
		return owner{portfolio: p}, err
	}
	if as == "symbol" {
		_, err := cl.Symbol(ctx, symbol)
		return owner{symbol: symbol}, err
	}
	return either(ctx, cl, at, word, symbol)
}

// either decides between the portfolio and the symbol of a name. What nobody can be asked for is taken from what was
// seen of names, so that the daemon's answers can be had while the server is away.
func either(ctx context.Context, cl *client.Client, at place, word, symbol string) (owner, error) {
	k := readKnown(at)
	portfolioSeen, symbolSeen := k.names(word, symbol)
	_, err := cl.Symbol(ctx, symbol)
	if err != nil && !missing(err, portfolioSeen && !symbolSeen) {
		return owner{}, err
	}
	priced := err == nil
	p, err := findPortfolio(ctx, at, cl, word)
	switch {
	case err == nil && priced:
		return owner{}, fault.Usage("name_ambiguous", "%s is a symbol, and a portfolio has that name", word).WithHint("say --as symbol or --as portfolio")
	case err == nil:
		return owner{portfolio: p}, nil
	case !missing(err, priced && !portfolioSeen):
		return owner{}, err
	case priced:
		return owner{symbol: symbol}, nil
	}
	if p, err = resolvePortfolio(ctx, at, cl, word); err == nil {
		return owner{portfolio: p}, nil
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "portfolio_ambiguous" {
		return owner{}, err
	}
	return owner{}, k.nothing(word)
}

// missing reports whether an answer says that something is not there, or, of what cannot be asked for, whether it is
// taken not to be.
func missing(err error, taken bool) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && (f.Kind == fault.KindNotFound || f.Kind == fault.KindUnavailable && taken)
}

// nothing is the fault of a word that names nothing.
func (k known) nothing(word string) error {
	names := slices.Concat(k.Symbols, slices.Collect(maps.Values(k.Portfolios)))
	unknown := fault.NotFound("name_unknown", "there is neither a portfolio nor a symbol named %q", word)
	if near := closest(word, names); near != "" {
		return unknown.WithHint("did you mean %q? list what there is with: stega portfolio list; stega symbols", near)
	}
	return unknown.WithHint("list what there is with: stega portfolio list; stega symbols")
}

func (g *globals) showSeries(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	if g.pictured() && f.q.Kind == "" && !f.series {
		f.q.Kind = "cumulative"
		if f.drawdowns {
			f.q.Kind = "drawdown"
		}
	}
	a, err := cl.ReturnSeries(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	s := a.Value
	v := view{raw: a.Raw, table: table{head: []string{"DATE", ">" + strings.ToUpper(s.Kind)}}, csv: &table{head: []string{"date", s.Kind}}}
	if s.Benchmark != nil {
		v.table.head = append(v.table.head, ">"+strings.ToUpper(f.benchmark))
		v.csv.head = append(v.csv.head, "benchmark")
	}
	for i, day := range s.Dates {
		people, programs := []string{day.String(), percent(s.Values[i])}, []string{day.String(), exactly(s.Values[i])}
		if s.Benchmark != nil {
			people, programs = append(people, percent(s.Benchmark.Values[i])), append(programs, exactly(s.Benchmark.Values[i]))
		}
		v.table.add(people...)
		v.csv.add(programs...)
	}
	v.draw = func(w io.Writer, o plot.Options) error {
		o.Title, o.XDays, o.YPercent = who.name()+": "+titles[s.Kind], true, true
		lines := []plot.Series{daily(who.name(), s.Dates, s.Values)}
		if s.Benchmark != nil {
			lines = append(lines, daily(f.benchmark, s.Dates, s.Benchmark.Values))
		}
		return plot.Lines(w, o, lines...)
	}
	return g.show(c, v)
}

// titles are the kinds of series for people.
var titles = map[string]string{"simple": "returns", "log": "log returns", "cumulative": "cumulative return", "drawdown": "drawdown"}

func (g *globals) showRolling(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	f.q.Metric, f.q.Length = f.rolling, strconv.Itoa(f.length)
	a, err := cl.Rolling(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	r := a.Value
	as, percents := ratio, percentual[r.Metric]
	if percents {
		as = percent
	}
	v := view{raw: a.Raw, table: table{head: []string{"DATE", ">" + strings.ToUpper(r.Metric)}}, csv: &table{head: []string{"date", r.Metric}}}
	for i, day := range r.Dates {
		v.table.add(day.String(), as(r.Values[i]))
		v.csv.add(day.String(), exactly(r.Values[i]))
	}
	v.draw = func(w io.Writer, o plot.Options) error {
		o.XDays, o.YPercent = true, percents
		o.Title = fmt.Sprintf("%s: %s of %d %s returns", who.name(), r.Metric, r.Length, r.Frequency)
		if r.Benchmark != nil {
			o.Title += " against " + f.benchmark
		}
		return plot.Lines(w, o, daily(who.name(), r.Dates, r.Values))
	}
	return g.show(c, v)
}

func (g *globals) showDrawdowns(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	f.q.Limit = strconv.Itoa(f.limit)
	a, err := cl.Drawdowns(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	v := view{
		raw: a.Raw, note: "there is no drawdown", table: table{head: []string{">DEPTH", "PEAK", "TROUGH", "MADE GOOD", ">LENGTH", ">RECOVERY"}},
		csv: &table{head: []string{"depth", "start", "trough", "end", "length", "recovery"}},
	}
	for _, d := range a.Value.Drawdowns {
		end, good := "", "not yet"
		if d.End != nil {
			end, good = d.End.String(), d.End.String()
		}
		v.table.add(percent(d.Depth), d.Start.String(), d.Trough.String(), good, strconv.Itoa(d.Length), strconv.Itoa(d.Recovery))
		v.csv.add(exactly(d.Depth), d.Start.String(), d.Trough.String(), end, strconv.Itoa(d.Length), strconv.Itoa(d.Recovery))
	}
	return g.show(c, v)
}

func (g *globals) showTable(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	f.q.By = f.table
	a, err := cl.ReturnsTable(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	v := view{raw: a.Raw, table: table{head: []string{"YEAR"}}, csv: &table{head: []string{"year"}}}
	if a.Value.By == "monthly" {
		for m := time.January; m <= time.December; m++ {
			v.table.head, v.csv.head = append(v.table.head, ">"+strings.ToUpper(m.String()[:3])), append(v.csv.head, m.String())
		}
		v.table.head, v.csv.head = append(v.table.head, ">YEAR"), append(v.csv.head, "return")
	} else {
		v.table.head = append(v.table.head, ">RETURN", ">VOLATILITY", ">MAX DRAWDOWN", ">BEST", ">WORST", ">RETURNS")
		v.csv.head = append(v.csv.head, "return", "annual_volatility", "max_drawdown", "best", "worst", "observations")
	}
	for _, y := range a.Value.Years {
		row, programs := []string{strconv.Itoa(y.Year)}, []string{strconv.Itoa(y.Year)}
		values := append(y.Months[:len(y.Months):len(y.Months)], y.Return)
		if y.Months == nil {
			values = append(values, y.Volatility, y.MaxDrawdown, y.Best, y.Worst)
		}
		for _, value := range values {
			row, programs = append(row, percent(value)), append(programs, exactly(value))
		}
		if y.Months == nil {
			row, programs = append(row, strconv.Itoa(y.Observations)), append(programs, strconv.Itoa(y.Observations))
		}
		v.table.add(row...)
		v.csv.add(programs...)
	}
	return g.show(c, v)
}

func (g *globals) showReturns(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	a, err := cl.Returns(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	r := a.Value
	title := who.symbol
	if title == "" {
		title = fmt.Sprintf("%s (version %d, rebalanced: %s)", who.portfolio.Name, r.Version, r.Rebalance)
	}
	if g.format == asTable && !g.quiet {
		err := writef(c.OutOrStdout(), "%s\n%s to %s, %d %s returns\n\n", title, r.From, r.To, r.Observations, r.Frequency)
		if err != nil {
			return err
		}
	}
	flat, err := flatten(a.Raw)
	if err != nil {
		return err
	}
	return g.show(c, view{raw: a.Raw, table: figures(r, f.benchmark), csv: &flat})
}
