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

	"stega/api"
	"stega/civil"
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
	all       bool // figures
}

func newReturns(g *globals) *cobra.Command {
	var f returnsFlags
	c := alsoAs(&cobra.Command{
		Use:               "returns SYMBOL|PORTFOLIO",
		Short:             "Show returns and risk of a symbol or a portfolio",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(portfolioNames, symbolNames),
		Long: `Shows what a symbol or a portfolio, which is named by its name or id, has returned, and at what risk:
the figures that most people mean, or all with --all. For people they are percents a year where that makes sense; -o
json has the ratios that the server answers, and -o csv the same in columns. With --benchmark it compares with another
symbol or portfolio, on the days that both have.

In place of the figures it shows the returns themselves, or log returns, cumulative returns or drawdowns (--series,
--kind), the deepest drawdowns (--drawdowns), the returns of calendar months or years (--table), or a figure of each
window of days (--rolling, --window). With --plot it draws on the terminal, and with -o svg as a picture: the
cumulative returns, or what was asked for.`,
		Example: `  stega returns core
  stega returns core --all
  stega returns AAPL --from 2025-01-01 --risk-free 2% --benchmark SPY
  stega returns core --rebalance none --series --kind drawdown -o json
  stega returns core --drawdowns --limit 5
  stega returns core --table monthly
  stega returns core --rolling beta --window 126 --benchmark SPY --plot
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
	flags.StringVar(&f.q.Frequency, "frequency", "",
		"frequency of the returns: daily, weekly or monthly (default daily)")
	flags.StringVar(&f.q.Rebalance, "rebalance", "",
		"rebalancing of a portfolio: daily, monthly or none (default daily)")
	ratioVar(flags, &f.q.RiskFree, "risk-free", "risk-free rate a year, such as 2% (default 0)")
	ratioVar(
		flags, &f.q.Required, "required",
		"least acceptable return a year, for Sortino, Omega and the like (default the risk-free rate)",
	)
	numberVar(flags, &f.q.PeriodsPerYear, "periods-per-year",
		"returns in a year, to annualize by (default from the dates, such as 252, 365, 52 or 12)")
	ratioVar(flags, &f.q.Confidence, "confidence", "confidence of values at risk (default 95%)")
	flags.StringVar(&f.benchmark, "benchmark", "", "benchmark symbol or portfolio")
	flags.BoolVar(&f.all, "all", false, "show all figures")
	flags.BoolVar(&f.series, "series", false, "show the returns themselves")
	flags.StringVar(
		&f.q.Kind, "kind", "",
		"kind of --series: simple, log, cumulative or drawdown (default simple, and cumulative for a plot)",
	)
	flags.BoolVar(&f.drawdowns, "drawdowns", false, "show the deepest drawdowns")
	flags.IntVar(&f.limit, "limit", 10, "maximum number of drawdowns")
	flags.StringVar(&f.table, "table", "", "show the returns by calendar period: monthly or yearly")
	flags.StringVar(&f.rolling, "rolling", "", "show a rolling statistic, such as volatility, sharpe, return or beta")
	flags.IntVar(&f.length, "window", 63, "window length of --rolling, in returns")
	alias(flags, "window", "window-days")
	flags.StringVar(&f.as, "as", "", "what an ambiguous name means: symbol or portfolio")
	g.plotFlag(c, "draw it on the terminal")
	c.MarkFlagsMutuallyExclusive("series", "drawdowns", "table", "rolling", "all")
	for name, values := range map[string][]string{
		"frequency": {"daily", "weekly", "monthly"},
		"rebalance": {"daily", "monthly", "none"},
		"kind":      {"simple", "log", "cumulative", "drawdown"},
		"table":     {"monthly", "yearly"},
		"rolling": {"return", "volatility", "sharpe", "sortino", "max_drawdown", "beta", "alpha", "correlation",
			"tracking_error"},
		"as":         {"symbol", "portfolio"},
		"risk-free":  nil,
		"required":   nil,
		"confidence": nil,
		"limit":      nil,
		"window":     nil,
	} {
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	_ = c.RegisterFlagCompletionFunc("benchmark", g.many(portfolioNames, symbolNames))
}

// check finds flags that do not go together.
func (f *returnsFlags) check(g *globals) error {
	switch {
	case f.q.Kind != "" && !f.series && (!g.pictured() || f.drawdowns || f.rolling != ""):
		return fault.Usage("kind_unused", "--kind needs --series").WithHint("add --series")
	case f.table != "" && g.pictured():
		return fault.Usage("plot_missing", "--table has no picture").
			WithHint("leave out --plot, or use --rolling return --plot")
	}
	return nil
}

// showReturnsOf shows what the flags ask for.
func (g *globals) showReturnsOf(
	ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags,
) error {
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

func (o owner) whose() api.Target {
	return api.Target{Symbol: o.symbol, PortfolioID: o.portfolio.ID}
}

// whose finds out what a word names.
func whose(ctx context.Context, cl *client.Client, at place, word, as string) (owner, error) {
	if as != "" && as != "symbol" && as != "portfolio" {
		return owner{}, fault.Usage("as_unknown", "unknown --as %q", as).WithHint("one of: symbol, portfolio")
	}
	symbol, notSymbol := events.Symbol(word)
	if as == "portfolio" || as == "" &&
		(uuid.Validate(word) == nil || notSymbol != nil || strings.Contains(word, " ")) {
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
		return owner{}, fault.Usage("name_ambiguous", "%s is both a symbol and a portfolio", word).
			WithHint("add --as symbol or --as portfolio")
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

func (g *globals) showSeries(
	ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags,
) error {
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
	cols := columns[int]{
		{head: "DATE", value: func(i int) string { return s.Dates[i].String() }},
		number(strings.ToUpper(s.Kind), s.Kind, percent, func(i int) *float64 { return s.Values[i] }),
	}
	if s.Benchmark != nil {
		cols = append(
			cols,
			number(strings.ToUpper(f.benchmark), "benchmark", percent, func(i int) *float64 {
				return s.Benchmark.Values[i]
			}),
		)
	}
	v := cols.view(upTo(len(s.Dates)), nil)
	v.raw = a.Raw
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
var titles = map[string]string{
	"simple":     "returns",
	"log":        "log returns",
	"cumulative": "cumulative return",
	"drawdown":   "drawdown",
}

func (g *globals) showRolling(
	ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags,
) error {
	f.q.Metric, f.q.Length = f.rolling, f.length
	a, err := cl.Rolling(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	r := a.Value
	as, percents := ratio, percentual[r.Metric]
	if percents {
		as = percent
	}
	v := dated(r.Dates, r.Metric, as, r.Values).view(upTo(len(r.Dates)), nil)
	v.raw = a.Raw
	v.draw = func(w io.Writer, o plot.Options) error {
		o.XDays, o.YPercent = true, percents
		o.Title = fmt.Sprintf("%s: %s of %d %s returns", who.name(), r.Metric, r.Window, r.Frequency)
		if r.Benchmark != nil {
			o.Title += " against " + f.benchmark
		}
		return plot.Lines(w, o, daily(who.name(), r.Dates, r.Values))
	}
	return g.show(c, v)
}

func (g *globals) showDrawdowns(
	ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags,
) error {
	f.q.Limit = f.limit
	a, err := cl.Drawdowns(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	v := drawdownColumns.view(a.Value.Drawdowns, nil)
	v.raw, v.note = a.Raw, "there is no drawdown"
	return g.show(c, v)
}

var drawdownColumns = columns[api.Drawdown]{
	number("DEPTH", "depth", percent, func(d api.Drawdown) *float64 { return d.Depth }),
	{head: "PEAK", csv: "start", value: func(d api.Drawdown) string { return d.Start.String() }},
	{head: "TROUGH", value: func(d api.Drawdown) string { return d.Trough.String() }},
	{
		head: "RECOVERED", csv: "end", value: func(d api.Drawdown) string { return recovered(d.End) },
		exact: func(d api.Drawdown) string { return strings.TrimPrefix(day(d.End), "-") },
	},
	{head: ">LENGTH", value: func(d api.Drawdown) string { return strconv.Itoa(d.Length) }},
	{head: ">RECOVERY", value: func(d api.Drawdown) string { return strconv.Itoa(d.Recovery) }},
}

// recovered returns the day on which a drawdown was recovered.
func recovered(d *civil.Date) string {
	if d == nil {
		return "not yet"
	}
	return d.String()
}

// dated returns the columns of a series over days.
func dated(days []civil.Date, name string, show func(*float64) string, values []*float64) columns[int] {
	return columns[int]{
		{head: "DATE", value: func(i int) string { return days[i].String() }},
		number(strings.ToUpper(name), name, show, func(i int) *float64 { return values[i] }),
	}
}

// upTo returns the numbers from 0 to below n.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (g *globals) showTable(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags) error {
	f.q.By = f.table
	a, err := cl.ReturnsTable(ctx, who.whose(), f.q)
	if err != nil {
		return err
	}
	v := yearColumns(a.Value.By).view(a.Value.Years, nil)
	v.raw = a.Raw
	return g.show(c, v)
}

// yearColumns are the columns of returns by calendar months, or by years.
func yearColumns(by string) columns[api.YearlyReturns] {
	cols := columns[api.YearlyReturns]{{head: "YEAR", value: func(y api.YearlyReturns) string {
		return strconv.Itoa(y.Year)
	}}}
	whole := func(y api.YearlyReturns) *float64 { return y.Return }
	if by == "monthly" {
		for m := time.January; m <= time.December; m++ {
			name := m.String()
			cols = append(
				cols,
				number(strings.ToUpper(name[:3]), name, brieflyPercent, func(y api.YearlyReturns) *float64 {
					return y.Months[m-1]
				}),
			)
		}
		return append(cols, number("YEAR", "return", brieflyPercent, whole))
	}
	return append(
		cols,
		number("RETURN", "return", percent, whole),
		number("VOLATILITY", "annual_volatility", percent, func(y api.YearlyReturns) *float64 { return y.Volatility }),
		number("MAX DRAWDOWN", "max_drawdown", percent, func(y api.YearlyReturns) *float64 { return y.MaxDrawdown }),
		number("BEST", "best", percent, func(y api.YearlyReturns) *float64 { return y.Best }),
		number("WORST", "worst", percent, func(y api.YearlyReturns) *float64 { return y.Worst }),
		column[api.YearlyReturns]{
			head:  ">RETURNS",
			csv:   "observations",
			value: func(y api.YearlyReturns) string { return strconv.Itoa(y.Observations) },
		},
	)
}

func (g *globals) showReturns(
	ctx context.Context, c *cobra.Command, cl *client.Client, who owner, f returnsFlags,
) error {
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
		err := writef(c.OutOrStdout(), "%s\n%s to %s, %d %s returns\n\n", title, r.From, r.To, r.Observations,
			r.Frequency)
		if err != nil {
			return err
		}
	}
	flat, err := flatten(a.Raw)
	if err != nil {
		return err
	}
	if err := g.show(c, view{raw: a.Raw, table: figures(r, f.benchmark, f.all), csv: &flat}); err != nil {
		return err
	}
	if g.format != asTable || g.quiet || f.all && len(r.Notes) == 0 {
		return nil
	}
	out := c.OutOrStdout()
	if err := writef(out, "\n"); err != nil {
		return err
	}
	for _, note := range r.Notes {
		if err := writef(out, "note: %s\n", note); err != nil {
			return err
		}
	}
	if f.all {
		return nil
	}
	return writef(out, "A loss is negative. More figures: --all\n")
}
