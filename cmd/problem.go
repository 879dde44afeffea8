package cmd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stega/client"
	"stega/events"
	"stega/fault"
)

// problemFlags are the flags that say what is to be optimized, and how.
type problemFlags struct {
	r         client.OptimizationRequest
	portfolio string
	numbers   map[string]**float64
	set       *pflag.FlagSet

	bounds                         string
	assetBounds, groups, views     []string
	current, budgets, marketWorths string
	limit                          time.Duration
}

func (f *problemFlags) flags(c *cobra.Command, g *globals) {
	s := c.Flags()
	f.set, f.numbers = s, map[string]**float64{}
	number := func(name string, into **float64, usage string) {
		f.numbers[name] = into
		s.Float64(name, 0, usage)
	}
	choice := func(name string, into *string, usage string, values ...string) {
		s.StringVar(into, name, "", usage+": "+strings.Join(values, ", ")+" (default: "+values[0]+")")
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	s.StringVar(&f.portfolio, "portfolio", "", "the symbols of this portfolio, by its name or id")
	s.StringVar(&f.r.Name, "name", "", "what to call it")
	number("target", &f.r.Target, "the return a year of efficient_return, or the risk of efficient_risk; 0.2 is 20 %")
	number("risk-aversion", &f.r.RiskAversion, "of max_utility (default: 1)")
	s.Float64Var(&f.r.RiskFree, "risk-free", 0, "the risk-free rate a year; 0.02 is 2 %")
	choice("measure", &f.r.Measure, "of the risk", "volatility", "cvar", "cdar", "semideviation")
	number("confidence", &f.r.Confidence, "of cvar and cdar (default: 0.95)")
	s.Float64Var(&f.r.Benchmark, "benchmark", 0, "the return of a day, or of the frequency, below which there is a loss; of semi and semideviation")
	choice("frequency", &f.r.Frequency, "of the returns that all is estimated from", "daily", "weekly", "monthly")
	choice("returns", &f.r.ExpectedReturns, "how expected returns are estimated", "historical", "arithmetic", "ema", "capm")
	number("return-span", &f.r.ReturnSpan, "of ema, in returns (default: 500)")
	s.StringVar(&f.r.Market, "market", "", "of capm: a symbol (default: the mean of all)")
	choice("covariance", &f.r.Covariance, "how the covariance is estimated", "sample", "semi", "exponential", "ledoit_wolf", "oas")
	number("covariance-span", &f.r.CovarianceSpan, "of exponential, in returns (default: 180)")
	choice("shrinkage-target", &f.r.ShrinkageTarget, "of ledoit_wolf", "constant_variance", "single_factor", "constant_correlation")
	choice("missing", &f.r.Missing, "days without a return, of semi, ledoit_wolf and oas", "complete", "zero", "pairwise")
	s.Lookup("missing").Usage = "days without a return, of semi, ledoit_wolf and oas: complete, zero, pairwise (default: pairwise of semi, else complete)"
	choice("repair", &f.r.Repair, "of a matrix that is no covariance", "spectral", "diagonal", "none")
	choice("linkage", &f.r.Linkage, "of hrp", "single", "complete", "average", "ward")
	s.StringVar(&f.bounds, "bounds", "", "of each weight, such as 0:0.3, or : for none (default: 0:1)")
	s.StringArrayVar(&f.assetBounds, "bound", nil, "of one symbol, such as AAPL=0:0.1; can be said several times")
	s.StringArrayVar(&f.groups, "group", nil, "limits of a sum of weights, such as tech=AAPL,MSFT:0:0.4; can be said several times")
	s.BoolVar(&f.r.MarketNeutral, "market-neutral", false, "the weights sum to 0 and not to 1")
	s.Float64Var(&f.r.L2, "l2", 0, "how strongly weights are pulled together")
	s.Float64Var(&f.r.TransactionCosts, "costs", 0, "of trading, in parts of what is traded; 0.001 is 0.1 %")
	s.StringVar(&f.current, "current", "", "the weights that trading begins with, such as AAPL:0.6,MSFT:0.4 (default: those of the portfolio)")
	s.StringVar(&f.budgets, "budgets", "", "shares of the risk, of risk_parity, such as AAPL:2,MSFT:1 (default: equal)")
	s.StringArrayVar(&f.views, "view", nil, "an opinion on returns: AAPL=0.1, AAPL>MSFT=0.05, with a confidence AAPL=0.1@0.6; can be said several times")
	choice("prior", &f.r.Prior, "what is expected without views", "estimate", "market", "equal", "zero")
	number("tau", &f.r.Tau, "how uncertain that is, in parts of the covariance (default: 0.05)")
	s.StringVar(&f.marketWorths, "market-caps", "", "what symbols are worth in the market, such as AAPL:900,MSFT:800")
	s.StringVar(&f.r.From, "from", "", "from this day, YYYY-MM-DD (default: the first)")
	s.StringVar(&f.r.To, "to", "", "to this day (default: the last)")
	periodFlag(c, &f.r.From)
	s.DurationVar(&f.limit, "solve-timeout", 0, "how long the server may take (default: 5m)")
	_ = c.RegisterFlagCompletionFunc("portfolio", g.many(portfolioNames))
	_ = c.RegisterFlagCompletionFunc("market", g.many(symbolNames))
	for _, name := range []string{"from", "to", "name", "bounds", "bound", "group", "view", "current", "budgets", "market-caps"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// request is what the flags and arguments ask for.
func (f *problemFlags) request(ctx context.Context, g *globals, cl *client.Client, symbols []string) (client.OptimizationRequest, error) {
	for name, into := range f.numbers {
		if f.set.Changed(name) {
			v, err := f.set.GetFloat64(name)
			if err != nil {
				return f.r, err
			}
			*into = &v
		}
	}
	r := f.r
	switch {
	case f.portfolio == "" && len(symbols) == 0:
		return r, fault.Usage("symbols_missing", "there is nothing to choose from").WithHint("name symbols, such as: AAPL MSFT XOM; or say --portfolio core")
	case f.portfolio != "" && len(symbols) > 0:
		return r, fault.Usage("symbols_twice", "symbols and --portfolio both say what to choose from").WithHint("say one of them")
	case f.portfolio != "":
		reading, cancel := g.limit(ctx)
		defer cancel()
		p, err := resolvePortfolio(reading, g.at, cl, f.portfolio)
		if err != nil {
			return r, err
		}
		r.PortfolioID = p.ID
	default:
		r.Symbols = upper(symbols)
	}
	r.Timeout = f.limit.Seconds()
	return r, f.parse(&r)
}

func (f *problemFlags) parse(r *client.OptimizationRequest) (err error) {
	if f.bounds != "" {
		limits, err := limitsOf("bounds", f.bounds)
		if err != nil {
			return err
		}
		r.Bounds = &limits
	}
	for _, text := range f.assetBounds {
		symbol, limits, ok := strings.Cut(text, "=")
		if !ok {
			return unreadable("bound", text, "AAPL=0:0.1")
		}
		if r.AssetBounds == nil {
			r.AssetBounds = map[string]client.Range{}
		}
		if r.AssetBounds[symbol], err = limitsOf("bound", limits); err != nil {
			return err
		}
	}
	for _, text := range f.groups {
		if err := addGroup(r, text); err != nil {
			return err
		}
	}
	for _, text := range f.views {
		view, err := viewOf(text)
		if err != nil {
			return err
		}
		r.Views = append(r.Views, view)
	}
	for _, m := range []struct {
		flag, text string
		into       *map[string]float64
	}{{"current", f.current, &r.CurrentWeights}, {"budgets", f.budgets, &r.Budgets}, {"market-caps", f.marketWorths, &r.MarketCaps}} {
		if *m.into, err = numbersOf(m.flag, m.text); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(flag, text, example string) error {
	return fault.Usage("flag_invalid", "--%s=%s is not understood", flag, text).WithHint("write it as --%s %s", flag, example)
}

// limitsOf reads 0:0.3; what is empty is no limit.
func limitsOf(flag, text string) (r client.Range, err error) {
	lower, upper, ok := strings.Cut(text, ":")
	if !ok {
		return r, unreadable(flag, text, map[string]string{"bounds": "0:0.3", "bound": "AAPL=0:0.1", "group": "tech=AAPL,MSFT:0:0.4"}[flag])
	}
	for _, side := range []struct {
		text string
		into **float64
	}{{lower, &r.Lower}, {upper, &r.Upper}} {
		if side.text == "" {
			continue
		}
		v, err := strconv.ParseFloat(side.text, 64)
		if err != nil {
			return r, unreadable(flag, text, "0:0.3")
		}
		*side.into = &v
	}
	return r, nil
}

// addGroup reads tech=AAPL,MSFT:0:0.4.
func addGroup(r *client.OptimizationRequest, text string) error {
	name, rest, ok := strings.Cut(text, "=")
	symbols, limits, both := strings.Cut(rest, ":")
	if !ok || !both {
		return unreadable("group", text, "tech=AAPL,MSFT:0:0.4")
	}
	of, err := limitsOf("group", limits)
	if err != nil {
		return err
	}
	r.Groups = append(r.Groups, client.AssetGroup{Name: name, Symbols: upper(strings.Split(symbols, ",")), Min: of.Lower, Max: of.Upper})
	return nil
}

// viewOf reads AAPL=0.1, AAPL>MSFT=0.05 and AAPL=0.1@0.6.
func viewOf(text string) (client.ReturnView, error) {
	about, said, ok := strings.Cut(text, "=")
	value, confidence, sure := strings.Cut(said, "@")
	better, worse, _ := strings.Cut(about, ">")
	v := client.ReturnView{Symbol: strings.ToUpper(strings.TrimSpace(better)), Over: strings.ToUpper(strings.TrimSpace(worse))}
	var err error
	if v.Return, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil || !ok {
		return v, unreadable("view", text, "'AAPL>MSFT=0.05'")
	}
	if sure {
		c, err := strconv.ParseFloat(strings.TrimSpace(confidence), 64)
		if err != nil {
			return v, unreadable("view", text, "AAPL=0.1@0.6")
		}
		v.Confidence = &c
	}
	return v, nil
}

// numbersOf reads AAPL:2,MSFT:1.
func numbersOf(flag, text string) (map[string]float64, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nothing was said
	}
	out := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		symbol, value, ok := strings.Cut(part, ":")
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		usual, wrong := events.Symbol(symbol)
		if !ok || err != nil || wrong != nil {
			return nil, unreadable(flag, text, "AAPL:2,MSFT:1")
		}
		out[usual] = v
	}
	return out, nil
}
