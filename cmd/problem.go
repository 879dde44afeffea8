package cmd

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/fault"
)

// problemFlags are the flags that describe an optimization.
type problemFlags struct {
	r                              client.OptimizationRequest
	portfolio                      string
	riskFree, benchmark, costs, l2 *float64

	bounds                         string
	assetBounds, groups, views     []string
	current, budgets, marketWorths string
	limit                          time.Duration
}

func (f *problemFlags) flags(c *cobra.Command, g *globals) {
	s := c.Flags()
	choice := func(name string, into *string, usage string, values ...string) {
		s.StringVar(into, name, "", usage+": "+strings.Join(values, ", ")+" (default "+values[0]+")")
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	s.StringVar(&f.portfolio, "portfolio", "", "symbols of this portfolio, by its name or id")
	s.StringVar(&f.r.Name, "name", "", "name of the optimization; no two have the same")
	ratioVar(s, &f.r.Target, "target", "annual return of efficient_return, or risk of efficient_risk, such as 20%")
	numberVar(s, &f.r.RiskAversion, "risk-aversion", "risk aversion of max_utility (default 1)")
	ratioVar(s, &f.riskFree, "risk-free", "risk-free rate a year, such as 2% (default 0)")
	choice("measure", &f.r.Measure, "risk measure", "volatility", "cvar", "cdar", "semideviation")
	ratioVar(s, &f.r.Confidence, "confidence", "confidence of cvar and cdar (default 95%)")
	ratioVar(
		s, &f.benchmark, "benchmark",
		"benchmark return of semi and semideviation, per period: returns below it are losses (default 0)",
	)
	choice("frequency", &f.r.Frequency, "frequency of the returns used for all estimates", "daily", "weekly", "monthly")
	choice("returns", &f.r.ExpectedReturns, "estimator of expected returns", "historical", "arithmetic", "ema", "capm")
	numberVar(s, &f.r.ReturnSpan, "return-span", "span of the ema weights, in returns (default 500)")
	s.StringVar(&f.r.Market, "market", "", "market symbol of capm (default the mean of all symbols)")
	choice(
		"covariance", &f.r.Covariance, "estimator of the covariance", "sample", "semi", "exponential", "ledoit_wolf",
		"oas",
	)
	numberVar(s, &f.r.CovarianceSpan, "covariance-span", "span of the exponential weights, in returns (default 180)")
	choice(
		"shrinkage-target", &f.r.ShrinkageTarget, "shrinkage target of ledoit_wolf", "constant_variance",
		"single_factor",
		"constant_correlation",
	)
	choice("missing", &f.r.Missing, "", "complete", "zero", "pairwise")
	s.Lookup("missing").Usage = "handling of missing returns by semi, ledoit_wolf and oas: complete, zero, pairwise " +
		"(default pairwise for semi, else complete)"
	choice("repair", &f.r.Repair, "method that makes a matrix a covariance", "spectral", "diagonal", "none")
	choice("linkage", &f.r.Linkage, "linkage of hrp", "single", "complete", "average", "ward")
	s.StringVar(&f.bounds, "bounds", "", "bounds of each weight, such as 0:30%, or : for none (default 0:1)")
	s.StringArrayVar(&f.assetBounds, "bound", nil, "bounds of one symbol, such as AAPL=0:10%; repeatable")
	s.StringArrayVar(
		&f.groups, "group", nil, "bounds of the sum of several weights, such as tech=AAPL,MSFT:0:40%; repeatable",
	)
	s.BoolVar(&f.r.MarketNeutral, "market-neutral", false, "let the weights sum to 0 instead of 1")
	numberVar(s, &f.l2, "l2", "penalty on the sum of squared weights (default 0)")
	ratioVar(s, &f.costs, "costs", "transaction costs as a fraction of the traded value, such as 0.1% (default 0)")
	s.StringVar(
		&f.current, "current", "", "weights before trading, such as AAPL:60%,MSFT:40% (default those of the portfolio)",
	)
	s.StringVar(&f.budgets, "budgets", "", "risk budgets of risk_parity, such as AAPL:2,MSFT:1 (default equal)")
	s.StringArrayVar(
		&f.views, "view", nil, "view on returns: AAPL=10%, AAPL>MSFT=5%, with a confidence AAPL=10%@60%; repeatable",
	)
	choice("prior", &f.r.Prior, "expected returns before the views", "estimate", "market", "equal", "zero")
	numberVar(s, &f.r.Tau, "tau", "uncertainty of the prior, as a fraction of the covariance (default 0.05)")
	s.StringVar(&f.marketWorths, "market-caps", "", "market capitalisations, such as AAPL:900,MSFT:800")
	s.StringVar(&f.r.From, "from", "", "first day, YYYY-MM-DD (default the first with data)")
	s.StringVar(&f.r.To, "to", "", "last day, YYYY-MM-DD (default the last with data)")
	periodFlag(c, &f.r.From)
	s.DurationVar(&f.limit, "solve-timeout", 0, "time limit of the solver on the server (default 5m)")
	_ = c.RegisterFlagCompletionFunc("portfolio", g.many(portfolioNames))
	_ = c.RegisterFlagCompletionFunc("market", g.many(symbolNames))
	for _, name := range []string{"from", "to", "name", "bounds", "bound", "group", "view", "current", "budgets",
		"market-caps"} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// request returns the request that the flags and arguments describe.
func (f *problemFlags) request(
	ctx context.Context, g *globals, cl *client.Client, symbols []string,
) (client.OptimizationRequest, error) {
	for _, set := range []struct {
		into *float64
		from *float64
	}{{&f.r.RiskFree, f.riskFree}, {&f.r.Benchmark, f.benchmark}, {&f.r.TransactionCosts, f.costs}, {&f.r.L2, f.l2}} {
		if set.from != nil {
			*set.into = *set.from
		}
	}
	r := f.r
	switch {
	case f.portfolio == "" && len(symbols) == 0:
		return r, fault.Usage("symbols_missing", "symbols or --portfolio are required").
			WithHint("such as: AAPL MSFT XOM; or: --portfolio core")
	case f.portfolio != "" && len(symbols) > 0:
		return r, fault.Usage("symbols_twice", "symbols and --portfolio exclude each other").
			WithHint("give one of them")
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
	}{{"current", f.current, &r.CurrentWeights}, {"budgets", f.budgets, &r.Budgets},
		{"market-caps", f.marketWorths, &r.MarketCaps}} {
		if *m.into, err = numbersOf(m.flag, m.text); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(flag, text, example string) error {
	return fault.Usage("flag_invalid", "--%s %s cannot be read", flag, text).
		WithHint("write it as --%s %s", flag, example)
}

// limitsOf reads bounds such as 0:30%; an empty side is unbounded.
func limitsOf(flag, text string) (r client.Range, err error) {
	lower, upper, ok := strings.Cut(text, ":")
	if !ok {
		return r, unreadable(
			flag, text,
			map[string]string{"bounds": "0:0.3", "bound": "AAPL=0:0.1", "group": "tech=AAPL,MSFT:0:0.4"}[flag],
		)
	}
	for _, side := range []struct {
		text string
		into **float64
	}{{lower, &r.Lower}, {upper, &r.Upper}} {
		if side.text == "" {
			continue
		}
		v, err := parseRatio(side.text)
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
	r.Groups = append(
		r.Groups,
		client.AssetGroup{Name: name, Symbols: upper(strings.Split(symbols, ",")), Min: of.Lower, Max: of.Upper},
	)
	return nil
}

// viewOf reads AAPL=0.1, AAPL>MSFT=0.05 and AAPL=0.1@0.6.
func viewOf(text string) (client.ReturnView, error) {
	about, rest, ok := strings.Cut(text, "=")
	value, confidence, sure := strings.Cut(rest, "@")
	better, worse, _ := strings.Cut(about, ">")
	v := client.ReturnView{
		Symbol: strings.ToUpper(strings.TrimSpace(better)),
		Over:   strings.ToUpper(strings.TrimSpace(worse)),
	}
	var err error
	if v.Return, err = parseRatio(value); err != nil || !ok {
		return v, unreadable("view", text, "'AAPL>MSFT=0.05'")
	}
	if sure {
		c, err := parseRatio(confidence)
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
		return nil, nil //nolint:nilnil // the flag is not set
	}
	out := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		symbol, value, ok := strings.Cut(part, ":")
		v, err := parseRatio(value)
		usual, wrong := events.Symbol(symbol)
		if !ok || err != nil || wrong != nil {
			return nil, unreadable(flag, text, "AAPL:2,MSFT:1")
		}
		out[usual] = v
	}
	return out, nil
}
