package cmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"stega/civil"
	"stega/client"
	"stega/events"
	"stega/fault"
)

func newReturns(g *globals) *cobra.Command {
	var q client.ReturnsQuery
	var series bool
	var as string
	c := &cobra.Command{
		Use: "returns SYMBOL|PORTFOLIO", Short: "Returns and risk of a symbol or a portfolio", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.from(false, portfolioNames, symbolNames),
		Long: `Shows what a symbol or a portfolio, which is named by its name or id, has returned, and at what risk. For people the figures are percents
a year where that makes sense; -o json has the ratios that the server answers. With --series it shows the returns themselves, or log
returns, cumulative returns or drawdowns (--kind).`,
		Example: `  stega returns core
  stega returns AAPL --from 2025-01-01 --risk-free 0.02
  stega returns core --rebalance none --series --kind drawdown -o json`,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if q.Kind != "" && !series {
				return fault.Usage("kind_unused", "--kind is for --series").WithHint("say --series too")
			}
			who, err := whose(ctx, cl, g.at, args[0], as)
			if err != nil {
				return err
			}
			if series {
				return g.showSeries(ctx, c, cl, who, q)
			}
			return g.showReturns(ctx, c, cl, who, q)
		}),
	}
	windowFlags(c, &q.Window)
	f := c.Flags()
	f.StringVar(&q.Frequency, "frequency", "", "daily, weekly or monthly (default: daily)")
	f.StringVar(&q.Rebalance, "rebalance", "", "a portfolio's: daily, monthly or none (default: daily)")
	f.StringVar(&q.RiskFree, "risk-free", "", "the risk-free rate a year, 0.02 is 2 % (default: 0)")
	f.BoolVar(&series, "series", false, "the returns themselves")
	f.StringVar(&q.Kind, "kind", "", "of a series: simple, log, cumulative or drawdown (default: simple)")
	f.StringVar(&as, "as", "", "symbol or portfolio, when a name is both")
	for name, values := range map[string][]string{
		"frequency": {"daily", "weekly", "monthly"}, "rebalance": {"daily", "monthly", "none"}, "kind": {"simple", "log", "cumulative", "drawdown"},
		"as": {"symbol", "portfolio"}, "risk-free": nil,
	} {
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	return c
}

// owner is whose returns are asked for; one of the two is set.
type owner struct {
	symbol    string
	portfolio events.Portfolio
}

// whose finds out what a word names.
func whose(ctx context.Context, cl *client.Client, at place, word, as string) (owner, error) {
	if as != "" && as != "symbol" && as != "portfolio" {
		return owner{}, fault.Usage("as_unknown", "there is nothing that is called a %s", as).WithHint("say --as symbol or --as portfolio")
	}
	symbol, notSymbol := events.Symbol(word)
	if as == "symbol" || uuid.Validate(word) != nil && as == "" && notSymbol == nil && !strings.Contains(word, " ") {
		_, err := cl.Symbol(ctx, symbol)
		f, ok := errors.AsType[*fault.Fault](err)
		if err != nil && (as == "symbol" || !ok || f.Kind != fault.KindNotFound) {
			return owner{}, err
		}
		if as == "symbol" {
			return owner{symbol: symbol}, nil
		}
		return either(ctx, cl, at, word, symbol, err == nil)
	}
	p, err := findPortfolio(ctx, at, cl, word)
	return owner{portfolio: p}, err
}

// either decides between the portfolio and the symbol of a name.
func either(ctx context.Context, cl *client.Client, at place, word, symbol string, priced bool) (owner, error) {
	p, err := findPortfolio(ctx, at, cl, word)
	f, ok := errors.AsType[*fault.Fault](err)
	switch {
	case err == nil && priced:
		return owner{}, fault.Usage("name_ambiguous", "%s is a symbol, and a portfolio has that name", word).WithHint("say --as symbol or --as portfolio")
	case err == nil:
		return owner{portfolio: p}, nil
	case !ok || f.Kind != fault.KindNotFound:
		return owner{}, err
	case priced:
		return owner{symbol: symbol}, nil
	}
	k := readKnown(at)
	names := k.Symbols
	for _, name := range k.Portfolios {
		names = append(names, name)
	}
	unknown := fault.NotFound("name_unknown", "there is neither a portfolio nor a symbol named %q", word)
	if near := closest(word, names); near != "" {
		return owner{}, unknown.WithHint("did you mean %q? list what there is with: stega portfolio list; stega symbols", near)
	}
	return owner{}, unknown.WithHint("list what there is with: stega portfolio list; stega symbols")
}

func (g *globals) showSeries(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, q client.ReturnsQuery) error {
	var a client.Answer[client.Series]
	var err error
	if who.symbol != "" {
		a, err = cl.AssetSeries(ctx, who.symbol, q)
	} else {
		a, err = cl.PortfolioSeries(ctx, who.portfolio.ID, q)
	}
	if err != nil {
		return err
	}
	t := table{head: []string{"DATE", ">" + strings.ToUpper(a.Value.Kind)}}
	for i, day := range a.Value.Dates {
		t.add(day.String(), percent(a.Value.Values[i]))
	}
	return g.show(c, view{raw: a.Raw, table: t})
}

func (g *globals) showReturns(ctx context.Context, c *cobra.Command, cl *client.Client, who owner, q client.ReturnsQuery) error {
	var a client.Answer[client.Returns]
	var err error
	title := who.symbol
	if who.symbol != "" {
		a, err = cl.AssetReturns(ctx, who.symbol, q)
	} else {
		a, err = cl.PortfolioReturns(ctx, who.portfolio.ID, q)
		title = fmt.Sprintf("%s (version %d, rebalanced: %s)", who.portfolio.Name, a.Value.Version, a.Value.Rebalance)
	}
	if err != nil {
		return err
	}
	if g.format == asTable && !g.quiet {
		r := a.Value
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n%s to %s, %d %s returns\n\n", title, r.From, r.To, r.Observations, r.Frequency)
		if err != nil {
			return err
		}
	}
	return g.show(c, view{raw: a.Raw, table: figures(a.Value)})
}

// figures are returns for people.
func figures(r client.Returns) table {
	t := table{head: []string{"", ">"}}
	t.add("annual return", percent(r.AnnualReturn))
	t.add("cumulative return", percent(r.CumulativeReturn))
	t.add("annual volatility", percent(r.AnnualVolatility))
	t.add("Sharpe ratio", ratio(r.Sharpe))
	t.add("Sortino ratio", ratio(r.Sortino))
	t.add("Calmar ratio", ratio(r.Calmar))
	t.add("downside risk", percent(r.DownsideRisk))
	t.add("max drawdown", percent(r.MaxDrawdown))
	if r.MaxDrawdownStart != nil {
		t.add("  from the peak of", day(r.MaxDrawdownStart))
		t.add("  to the trough of", day(r.MaxDrawdownTrough))
		if r.MaxDrawdownEnd == nil {
			t.add("  made good", "not yet")
		} else {
			t.add("  made good", day(r.MaxDrawdownEnd))
		}
	}
	t.add("best", percent(r.Best))
	t.add("worst", percent(r.Worst))
	if r.RiskFree != 0 {
		t.add("risk-free rate", percent(&r.RiskFree))
	}
	return t
}

func percent(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v*100, 'f', 2, 64) + " %"
}

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 2, 64)
}

func day(d *civil.Date) string {
	if d == nil {
		return "-"
	}
	return d.String()
}
