package cmd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/fault"
)

func newOptimize(g *globals) *cobra.Command {
	var w waiting
	var f problemFlags
	var objective, onInterrupt string
	var follow bool
	c := &cobra.Command{
		Use: "optimize SYMBOL…", Short: "Find optimal weights of symbols, or of a portfolio", ValidArgsFunction: g.many(symbolNames),
		Long: `Has the server find the weights that are best for an objective, from the returns of a window of days: of symbols, or of those of a
portfolio. It runs there as a job; Ctrl-C asks whether to cancel it or to leave it running. The answer is kept together with all that it was made
of (stega optimize show). With --follow it is made anew whenever prices or the portfolio move, and says how far the portfolio is from it.

Objectives: min_volatility, max_sharpe, max_utility, efficient_return and efficient_risk (with --target), min_cvar, min_cdar, min_semivariance,
risk_parity, hrp. The whole frontier is drawn by: stega frontier.`,
		Example: `  stega optimize AAPL MSFT XOM --objective max_sharpe --risk-free 0.02
  stega optimize --portfolio core --objective min_volatility --bounds 0:0.3 --follow
  stega optimize AAPL MSFT XOM --objective efficient_return --target 0.2 --group tech=AAPL,MSFT:0:0.6
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
			return g.optimize(ctx, c, cl, client.Optimize(r), &w, g.showOptimization)
		}),
	}
	w.flags(c)
	f.flags(c, g)
	c.Flags().StringVar(&objective, "objective", "max_sharpe", "what is best, see above")
	c.Flags().BoolVar(&follow, "follow", false, "make it anew whenever prices or the portfolio move")
	interruptFlag(c, &onInterrupt)
	_ = c.RegisterFlagCompletionFunc("objective", oneOf("min_volatility", "max_sharpe", "max_utility", "efficient_return", "efficient_risk",
		"min_cvar", "min_cdar", "min_semivariance", "risk_parity", "hrp"))
	c.AddCommand(newOptimizeList(g), newOptimizeShow(g), newOptimizeRepeat(g), newOptimizeFollow(g), newOptimizeDelete(g))
	return alsoAs(c, asCSV)
}

// optimize sends an optimization, waits, and shows what it found.
func (g *globals) optimize(
	ctx context.Context, c *cobra.Command, cl *client.Client, cmd client.Command, w *waiting, show func(*cobra.Command, client.Answer[client.Optimization]) error,
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
		printf(c.ErrOrStderr(), "optimization %s: %s after %s\n", op.EntityID, w.level, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func newOptimizeList(g *globals) *cobra.Command {
	var limit int
	var portfolio string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List optimizations, the newest first", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  stega optimize list\n  stega optimize list --portfolio core -o csv",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			if portfolio != "" {
				p, err := resolvePortfolio(ctx, g.at, cl, portfolio)
				if err != nil {
					return err
				}
				portfolio = p.ID
			}
			list, raw, err := all(g, limit, func(p client.Page) (client.Answer[client.List[client.OptimizationSummary]], error) {
				return cl.Optimizations(ctx, p, portfolio)
			})
			if err != nil {
				return err
			}
			v := view{
				raw: raw, note: "there are no optimizations; make one with: stega optimize SYMBOL…",
				table: table{head: []string{"ID", "NAME", "OBJECTIVE", "STATUS", "FOLLOWS", ">RETURN", ">VOLATILITY", ">SHARPE", ">TURNOVER", ">AGE"}},
				csv:   &table{head: []string{"id", "name", "objective", "status", "follow", "annual_return", "annual_volatility", "sharpe", "turnover"}},
			}
			for _, o := range list {
				follows := "-"
				if o.Follow {
					follows = "yes"
				}
				v.ids = append(v.ids, o.ID)
				v.table.add(o.ID, o.Name, o.Objective, o.Status, follows, percent(o.AnnualReturn), percent(o.AnnualVolatility), ratio(o.Sharpe), percent(o.Turnover), ago(&o.CreatedAt))
				v.csv.add(o.ID, o.Name, o.Objective, o.Status, strconv.FormatBool(o.Follow), exactly(o.AnnualReturn), exactly(o.AnnualVolatility), exactly(o.Sharpe), exactly(o.Turnover))
			}
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 20, "at most so many; 0: all")
	c.Flags().StringVar(&portfolio, "portfolio", "", "only those of this portfolio, by its name or id")
	_ = c.RegisterFlagCompletionFunc("portfolio", g.many(portfolioNames))
	return alsoAs(c, asCSV)
}

// mostSearched bounds how many optimizations a name is looked for in.
const mostSearched = 10_000

// findOptimization finds the id of an optimization by its id, or by its name: the newest one that is called so.
func (g *globals) findOptimization(ctx context.Context, cl *client.Client, asked string) (string, error) {
	if uuid.Validate(asked) == nil {
		return asked, nil
	}
	ctx, cancel := g.limit(ctx)
	defer cancel()
	var names []string
	for o, err := range client.All(func(p client.Page) (client.Answer[client.List[client.OptimizationSummary]], error) {
		return cl.Optimizations(ctx, p, "")
	}) {
		if err != nil {
			return "", err
		}
		if strings.EqualFold(o.Name, asked) {
			return o.ID, nil
		}
		if names = append(names, o.Name); len(names) == mostSearched {
			return "", fault.NotFound("optimization_unknown", "none of the newest %d optimizations is named %q", mostSearched, asked).
				WithHint("name an older one by its id: stega optimize list --limit 0")
		}
	}
	f := fault.NotFound("optimization_unknown", "there is no optimization named %q", asked).WithHint("list them with: stega optimize list")
	if near := closest(asked, names); near != "" {
		f = f.WithHint("did you mean %q? list them with: stega optimize list", near)
	}
	return "", f
}

func newOptimizeShow(g *globals) *cobra.Command {
	return alsoAs(&cobra.Command{
		Use: "show ID|NAME", Aliases: []string{"get"}, Short: "Show what an optimization found, and what it was made of", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(operationIDs),
		Example:           "  stega optimize show 019a2f60-0000-7000-8000-000000000000\n  stega optimize show calm -o json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.findOptimization(ctx, cl, args[0])
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
		Use: "repeat ID|NAME", Short: "Make an optimization once more, of the same days", Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(operationIDs),
		Example: "  stega optimize repeat 019a2f60-0000-7000-8000-000000000000",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := askable(&w, onInterrupt); err != nil {
				return err
			}
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			return g.optimize(ctx, c, cl, client.RepeatOptimization(id), &w, func(c *cobra.Command, a client.Answer[client.Optimization]) error {
				if a.Value.Objective == "frontier" {
					return g.showFrontier(c, a)
				}
				return g.showOptimization(c, a)
			})
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
		Use: "follow ID|NAME", Short: "Have an optimization follow its portfolio, or not any more", Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(operationIDs),
		Long: `Has an optimization of a portfolio made anew whenever prices or the portfolio move; what moved before is made up for. Each time, the event
optimization.completed tells its weights, how far the portfolio is from them, and the trades that would close the gap.`,
		Example: "  stega optimize follow calm\n  stega optimize follow calm --off\n  stega watch optimization.completed",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			done := "optimization " + id + " follows its portfolio"
			if off {
				done = "optimization " + id + " follows no more"
			}
			_, err = g.write(ctx, c, cl, client.FollowOptimization(id, !off), &w, done)
			return err
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&off, "off", false, "not any more")
	return c
}

func newOptimizeDelete(g *globals) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: "delete ID|NAME", Aliases: []string{"rm"}, Short: "Remove an optimization", Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(operationIDs),
		Example: "  stega optimize delete calm",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			id, err := g.findOptimization(ctx, cl, args[0])
			if err != nil {
				return err
			}
			_, err = g.write(ctx, c, cl, client.DeleteOptimization(id), &w, "optimization "+id+" is deleted")
			return err
		}),
	}
	w.flags(c)
	return c
}

func newAllocate(g *globals) *cobra.Command {
	var r client.AllocationRequest
	c := &cobra.Command{
		Use: "allocate ID|NAME --amount MONEY", Short: "Turn the weights of an optimization into whole shares", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(operationIDs),
		Long: `Says how many whole shares at the last prices come nearest to the weights of an optimization, and what is left of the money. The greedy method
buys what is farthest below its weight, over and over; the exact one finds the shares that no others are nearer than. It changes nothing.`,
		Example: "  stega allocate calm --amount 10000\n  stega allocate 019a2f60-0000-7000-8000-000000000000 --amount 10000 --method exact -o csv",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if r.Amount == "" {
				return fault.Usage("amount_missing", "there is no amount of money").WithHint("say --amount 10000")
			}
			id, err := g.findOptimization(ctx, cl, args[0])
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
	f.StringVar(&r.Amount, "amount", "", "the money, in the currency of the prices")
	f.StringVar(&r.Method, "method", "", "greedy or exact (default: greedy)")
	f.StringVar(&r.ShortRatio, "short-ratio", "", "how much is sold short, in parts of the amount (default: the sum of the negative weights)")
	f.BoolVar(&r.Reinvest, "reinvest", false, "buy long positions for what the short ones bring in")
	_ = c.RegisterFlagCompletionFunc("method", oneOf("greedy", "exact"))
	_ = c.RegisterFlagCompletionFunc("amount", cobra.NoFileCompletions)
	return alsoAs(c, asCSV)
}

func (g *globals) showAllocation(c *cobra.Command, a client.Answer[client.Allocation]) error {
	v := view{
		raw: a.Raw, table: table{head: []string{"SYMBOL", ">SHARES", ">PRICE", ">VALUE", ">WEIGHT"}}, csv: &table{head: []string{"symbol", "shares", "price", "date", "value", "weight"}},
		note: "the amount buys not one share",
	}
	for _, p := range a.Value.Positions {
		v.ids = append(v.ids, p.Symbol)
		shares := strconv.FormatInt(p.Shares, 10)
		v.table.add(p.Symbol, shares, p.Price.String(), p.Value.String(), percent(&p.Weight))
		v.csv.add(p.Symbol, shares, p.Price.String(), p.Date.String(), p.Value.String(), exactly(&p.Weight))
	}
	if err := g.show(c, v); err != nil || g.format != asTable || g.quiet {
		return err
	}
	return writef(c.OutOrStdout(), "\nleft over of %s: %s; prices of %s\n", a.Value.Amount, a.Value.Leftover, a.Value.AsOf)
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
