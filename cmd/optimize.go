package cmd

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/govalues/decimal"
	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/text"
)

func newOptimize(g *globals) *cobra.Command {
	var w waiting
	var f problemFlags
	var objective, onInterrupt string
	var follow bool
	c := &cobra.Command{
		Use: "optimize SYMBOL…", Short: "Find optimal weights for symbols or a portfolio",
		ValidArgsFunction: g.many(symbolNames),
		Long: `Finds the weights that are best for an objective, from the returns of some days: of symbols, or of
those of a portfolio. It runs as a job on the server; Ctrl-C asks whether to cancel it or to leave it running. The
result is kept together with its inputs (stega optimize show). With --follow it is re-run whenever prices or the
portfolio change, and reports how far the portfolio is from the optimum.

Objectives: min_volatility, max_sharpe, max_utility, efficient_return and efficient_risk (with --target), min_cvar,
min_cdar, min_semivariance, risk_parity, hrp. The whole frontier: stega frontier.`,
		Example: `  stega optimize AAPL MSFT XOM --objective max_sharpe --risk-free 2%
  stega optimize --portfolio core --objective min_volatility --follow
  stega optimize AAPL MSFT XOM --objective efficient_return --target 20%
  stega optimize AAPL MSFT XOM --objective hrp -o csv`,
		Args: cobra.ArbitraryArgs,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := askable(&w, onInterrupt); err != nil {
				return err
			}
			r, err := f.request(ctx, g, cl, args)
			if err != nil {
				return err
			}
			r.Objective, r.Follow = objective, follow
			if err := g.optimize(ctx, c, cl, client.Optimize(r), &w, g.showOptimization); err != nil {
				return err
			}
			rememberOptimizations(g.at, r.Name)
			return nil
		}),
	}
	w.flags(c)
	f.flags(c, g)
	c.Flags().StringVar(&objective, "objective", "max_sharpe", "objective (see above)")
	c.Flags().BoolVar(&follow, "follow", false, "re-run it whenever prices or the portfolio change")
	interruptFlag(c, &onInterrupt)
	_ = c.RegisterFlagCompletionFunc(
		"objective",
		oneOf("min_volatility", "max_sharpe", "max_utility", "efficient_return", "efficient_risk",
			"min_cvar", "min_cdar", "min_semivariance", "risk_parity", "hrp"),
	)
	c.AddCommand(newOptimizeList(g), newOptimizeShow(g), newOptimizeRepeat(g), newOptimizeFollow(g),
		newOptimizeDelete(g))
	return alsoAs(c, asCSV)
}

// optimize sends an optimization, waits, and shows what it found.
func (g *globals) optimize(
	ctx context.Context, c *cobra.Command, cl *client.Client, cmd client.Command, w *waiting,
	show func(*cobra.Command, client.Answer[client.Optimization]) error,
) error {
	began := time.Now()
	line := g.newLive(c.ErrOrStderr(), "sending")
	op, err := g.submit(ctx, c, cl, cmd, w, line)
	line.end()
	if op.Status != "" {
		rememberOperation(g.at, op.ID)
	}
	if err != nil || w.level == client.ForAccepted.String() {
		if op.Status != "" && op.Status != client.Failed {
			_ = g.printWritten(c, op)
		}
		return err
	}
	reading, cancel := g.limit(ctx)
	defer cancel()
	a, err := cl.Optimization(reading, op.EntityID)
	if err != nil {
		return err
	}
	if err := show(c, a); err != nil {
		return err
	}
	if g.format == asTable && !g.quiet {
		printf(
			c.ErrOrStderr(), "optimization %s (%s after %s)\n", op.EntityID, w.level, time.Since(began).
				Round(time.Millisecond),
		)
	}
	return nil
}

func newOptimizeList(g *globals) *cobra.Command {
	var limit int
	var portfolio string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List optimizations, the newest first", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega optimize list\n  stega optimize list --portfolio core -o csv",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			if portfolio != "" {
				p, err := resolvePortfolio(ctx, g.at, cl, portfolio)
				if err != nil {
					return err
				}
				portfolio = p.ID
			}
			list, raw, err := all(g, limit,
				func(p client.Page) (client.Answer[api.List[client.OptimizationSummary]], error) {
					return cl.Optimizations(ctx, p, portfolio)
				})
			if err != nil {
				return err
			}
			v := optimizationColumns.view(list, func(o client.OptimizationSummary) string { return o.ID })
			v.raw, v.note = raw, "there are no optimizations; make one with: stega optimize SYMBOL…"
			for _, o := range list {
				rememberOptimizations(g.at, o.Name)
			}
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 20, "maximum number of rows (0 means all)")
	c.Flags().StringVar(&portfolio, "portfolio", "", "only optimizations of this portfolio, by its name or id")
	_ = c.RegisterFlagCompletionFunc("portfolio", g.many(portfolioNames))
	return alsoAs(c, asCSV)
}

// mostSearched bounds how many optimizations a name is looked for in.
const mostSearched = 10_000

// findOptimization finds an optimization by its id or its name.
func (g *globals) findOptimization(ctx context.Context, cl *client.Client, word string) (string, error) {
	return g.searchOptimization(ctx, cl, word, func(name string) bool { return false })
}

// resolveOptimization finds an optimization to read by its id, its name, or a prefix of its name that no other name
// has.
// A command that changes one takes the whole name: see findOptimization.
func (g *globals) resolveOptimization(ctx context.Context, cl *client.Client, word string) (string, error) {
	return g.searchOptimization(
		ctx, cl, word, func(name string) bool { return strings.HasPrefix(text.Fold(name), text.Fold(word)) },
	)
}

// searchOptimization finds the id of the optimization with a name, or else of the only one whose name is alike.
func (g *globals) searchOptimization(
	ctx context.Context, cl *client.Client, word string, alike func(name string) bool,
) (string, error) {
	if uuid.Validate(word) == nil {
		return word, nil
	}
	ctx, cancel := g.limit(ctx)
	defer cancel()
	var names, near []string
	id := ""
	for o, err := range client.All(func(p client.Page) (client.Answer[api.List[client.OptimizationSummary]], error) {
		return cl.Optimizations(ctx, p, "")
	}) {
		if err != nil {
			return "", err
		}
		if text.Fold(o.Name) == text.Fold(word) {
			rememberOptimizations(g.at, o.Name)
			return o.ID, nil
		}
		if alike(o.Name) && !slices.Contains(near, o.Name) {
			near, id = append(near, o.Name), o.ID
		}
		if names = append(names, o.Name); len(names) == mostSearched {
			return "", fault.NotFound("optimization_unknown", "none of the newest %d optimizations is named %q",
				mostSearched, word).
				WithHint("give the id of an older one: stega optimize list --limit 0 -o wide")
		}
	}
	switch len(near) {
	case 0:
	case 1:
		return id, nil
	default:
		return "", fault.Usage("optimization_ambiguous", "several optimizations have a name that begins with %q", word).
			WithHint("one of: %s", strings.Join(near[:min(len(near), 10)], ", "))
	}
	f := fault.NotFound("optimization_unknown", "there is no optimization named %q", word).
		WithHint("list them with: stega optimize list")
	if near := closest(word, names); near != "" {
		f = f.WithHint("did you mean %q? list them with: stega optimize list", near)
	}
	return "", f
}

func newOptimizeShow(g *globals) *cobra.Command {
	return alsoAs(&cobra.Command{
		Use: "show ID|NAME", Aliases: []string{"get"}, Short: "Show an optimization with its inputs",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(optimizationNames),
		Example: "  stega optimize show 019a2f60-0000-7000-8000-000000000000\n  stega optimize show calm " +
			"-o json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.resolveOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			a, err := cl.Optimization(ctx, id)
			if err != nil {
				return err
			}
			if a.Value.Objective == "frontier" {
				return g.showFrontier(c, a)
			}
			return g.showOptimization(c, a)
		}),
	}, asCSV, asSVG)
}

func newOptimizeRepeat(g *globals) *cobra.Command {
	var w waiting
	var onInterrupt string
	c := &cobra.Command{
		Use: "repeat ID|NAME", Short: "Re-run an optimization on the same dates", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(optimizationNames),
		Example:           "  stega optimize repeat 019a2f60-0000-7000-8000-000000000000",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := askable(&w, onInterrupt); err != nil {
				return err
			}
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			return g.optimize(
				ctx,
				c,
				cl,
				client.RepeatOptimization(id),
				&w,
				func(c *cobra.Command, a client.Answer[client.Optimization]) error {
					if a.Value.Objective == "frontier" {
						return g.showFrontier(c, a)
					}
					return g.showOptimization(c, a)
				},
			)
		}),
	}
	w.flags(c)
	interruptFlag(c, &onInterrupt)
	return alsoAs(c, asCSV)
}

func newOptimizeFollow(g *globals) *cobra.Command {
	var w waiting
	var off bool
	c := &cobra.Command{
		Use: "follow ID|NAME", Short: "Turn automatic re-optimization on or off", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(optimizationNames),
		Long: `Re-runs an optimization of a portfolio whenever prices or the portfolio change. Each run publishes
optimization.completed with the weights, the distance of the portfolio from them, and the trades that would close it.`,
		Example: "  stega optimize follow calm\n  stega optimize follow calm --off\n  stega watch " +
			"optimization.completed",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			done := sprintf("optimization %s follows its portfolio", args[0])
			if off {
				done = sprintf("optimization %s does not follow its portfolio any more", args[0])
			}
			_, err = g.write(ctx, c, cl, client.FollowOptimization(id, !off), &w, done)
			return err
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&off, "off", false, "stop following")
	return c
}

func newOptimizeDelete(g *globals) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: "delete ID|NAME", Aliases: []string{"rm"}, Short: "Delete an optimization", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(optimizationNames),
		Example:           "  stega optimize delete calm",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			if _, err = g.write(ctx, c, cl, client.DeleteOptimization(id), &w,
				sprintf("deleted optimization %s", args[0])); err == nil {
				forgetOptimization(g.at, args[0])
			}
			return err
		}),
	}
	w.flags(c)
	return c
}

func newAllocate(g *globals) *cobra.Command {
	var r client.AllocationRequest
	var short *float64
	c := &cobra.Command{
		Use:               "allocate ID|NAME --amount MONEY",
		Short:             "Turn optimal weights into whole shares",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(optimizationNames),
		Long: `Computes the whole shares, at the last prices, that come nearest to the weights of an optimization, and
the money left. The greedy method always buys what is farthest below its weight; the exact one finds the nearest
allocation of all. It changes nothing.`,
		Example: "  stega allocate calm --amount 10000\n  stega allocate calm --amount 10000 --method exact -o csv",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if r.Amount == "" {
				return fault.Usage("amount_missing", "--amount is required").WithHint("such as --amount 10000")
			}
			if d, err := decimal.Parse(r.Amount); err != nil || !d.IsPos() {
				return fault.Usage("amount_invalid", "--amount %s is not an amount of money", r.Amount).
					WithHint("write it in plain digits: --amount 10000")
			}
			if short != nil {
				r.ShortRatio = strconv.FormatFloat(*short, 'f', -1, 64)
			}
			id, err := g.resolveOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			a, err := cl.Allocate(ctx, id, r)
			if err != nil {
				return err
			}
			return g.showAllocation(c, a)
		}),
	}
	f := c.Flags()
	f.StringVar(&r.Amount, "amount", "", "amount of money, in the currency of the prices")
	f.StringVar(&r.Method, "method", "", "greedy or exact (default greedy)")
	ratioVar(
		f, &short, "short-ratio",
		"short sales as a fraction of the amount, beside long positions for all of it (default the short positions "+
			"of the weights)",
	)
	f.BoolVar(&r.Reinvest, "reinvest", false, "invest the proceeds of --short-ratio in long positions")
	_ = c.RegisterFlagCompletionFunc("method", oneOf("greedy", "exact"))
	_ = c.RegisterFlagCompletionFunc("amount", cobra.NoFileCompletions)
	return alsoAs(c, asCSV)
}

func (g *globals) showAllocation(c *cobra.Command, a client.Answer[client.Allocation]) error {
	v := positionColumns.view(a.Value.Positions, func(p client.AllocatedPosition) string { return p.Symbol })
	v.raw, v.note = a.Raw, "the amount does not buy a single share"
	if err := g.show(c, v); err != nil || g.format != asTable || g.quiet {
		return err
	}
	return writef(
		c.OutOrStdout(), "\n%s of %s left uninvested; prices of %s\n", a.Value.Leftover, a.Value.Amount, a.Value.AsOf,
	)
}

// tradeOf is the trade of a symbol, as far as there is one.
func tradeOf(trades []events.Trade, symbol string) events.Trade {
	for _, t := range trades {
		if t.Symbol == symbol {
			return t
		}
	}
	return events.Trade{Symbol: symbol}
}

var optimizationColumns = columns[client.OptimizationSummary]{
	{head: "ID", wide: true, value: func(o client.OptimizationSummary) string { return o.ID }},
	{
		head: "NAME", value: func(o client.OptimizationSummary) string { return cmp.Or(o.Name, o.ID) },
		exact: func(o client.OptimizationSummary) string { return o.Name },
	},
	{head: "OBJECTIVE", value: func(o client.OptimizationSummary) string { return o.Objective }},
	{head: "STATUS", value: func(o client.OptimizationSummary) string { return o.Status }},
	{
		head: "FOLLOWS", csv: "follow", value: func(o client.OptimizationSummary) string { return yes(o.Follow, "-") },
		exact: func(o client.OptimizationSummary) string { return strconv.FormatBool(o.Follow) },
	},
	number("RETURN", "annual_return", percent, func(o client.OptimizationSummary) *float64 { return o.AnnualReturn }),
	number(
		"VOLATILITY", "annual_volatility", percent, func(o client.OptimizationSummary) *float64 {
			return o.AnnualVolatility
		},
	),
	number("SHARPE", "sharpe", ratio, func(o client.OptimizationSummary) *float64 { return o.Sharpe }),
	number("TURNOVER", "turnover", percent, func(o client.OptimizationSummary) *float64 { return o.Turnover }),
	{head: ">AGE", csv: "-", value: func(o client.OptimizationSummary) string { return ago(&o.CreatedAt) }},
}

// yes returns "yes" where something holds, and otherwise a word for that it does not.
func yes(holds bool, no string) string {
	if holds {
		return "yes"
	}
	return no
}

var positionColumns = columns[client.AllocatedPosition]{
	{head: "SYMBOL", value: func(p client.AllocatedPosition) string { return p.Symbol }},
	{head: ">SHARES", value: func(p client.AllocatedPosition) string { return strconv.FormatInt(p.Shares, 10) }},
	{head: ">PRICE", value: func(p client.AllocatedPosition) string { return p.Price.String() }},
	{csv: "date", exact: func(p client.AllocatedPosition) string { return p.Date.String() }},
	{head: ">VALUE", value: func(p client.AllocatedPosition) string { return p.Value.String() }},
	number("TARGET", "weight", percent, func(p client.AllocatedPosition) *float64 { return &p.Weight }),
}
