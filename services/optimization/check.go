package optimization

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/quant/optimize"
	"stega/series"
	"stega/text"
)

// checker collects all that is wrong with a request.
type checker struct {
	*Request
	fault *fault.Fault
	named map[string]int // where each of the symbols is; nil when the request names none
}

// check says what can be known of a request from itself alone: all that is wrong with it, in one fault. It brings
// symbols into their usual form.
func check(r *Request) error {
	c := &checker{Request: r, fault: fault.Invalid("optimization_invalid", "nothing can be optimized like that")}
	if c.tooLong() {
		return c.wrongs()
	}
	c.name()
	c.assets()
	c.objective()
	c.estimators()
	c.constraints()
	c.views()
	c.window()
	if err := c.wrongs(); err != nil {
		return err
	}
	return c.feasible()
}

// wrongs is the fault of all that was found, if anything.
func (c *checker) wrongs() error {
	if len(c.fault.Errors) == 0 {
		return nil
	}
	first := c.fault.Errors[0]
	c.fault.Detail = strings.TrimPrefix(first.Pointer, "/") + " " + first.Detail
	return c.fault
}

// tooLong refuses lists beyond their bounds before anything in them is looked at.
func (c *checker) tooLong() bool {
	long := func(pointer string, n, most int, what string) {
		if n > most {
			c.wrong(pointer, "has %d %s; at most %d are taken", n, what, most)
		}
	}
	long("/symbols", len(c.Symbols), maxSymbols, "symbols")
	long("/asset_bounds", len(c.AssetBounds), maxSymbols, "symbols")
	long("/current_weights", len(c.CurrentWeights), maxSymbols, "symbols")
	long("/budgets", len(c.Budgets), maxSymbols, "symbols")
	long("/market_caps", len(c.MarketCaps), maxSymbols, "symbols")
	long("/groups", len(c.Groups), maxGroups, "groups")
	long("/views", len(c.Views), maxViews, "views")
	for i := range c.Groups[:min(len(c.Groups), maxGroups)] {
		long(fmt.Sprintf("/groups/%d/symbols", i), len(c.Groups[i].Symbols), maxSymbols, "symbols")
	}
	for i := range c.Views[:min(len(c.Views), maxViews)] {
		long(fmt.Sprintf("/views/%d/weights", i), len(c.Views[i].Weights), maxSymbols, "symbols")
	}
	return len(c.fault.Errors) > 0
}

func (c *checker) wrong(pointer, format string, args ...any) {
	_ = c.fault.With(fault.Item{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) name() {
	if c.Name = strings.TrimSpace(c.Name); c.Name != "" {
		c.called("/name", &c.Name)
	}
}

// called brings a name into the form in which it is kept.
func (c *checker) called(pointer string, name *string) {
	kept, err := text.CheckName(*name, events.MaxName)
	if err != nil {
		c.wrong(pointer, "%s", err)
		return
	}
	*name = kept
}

func (c *checker) assets() {
	switch {
	case c.PortfolioID == "" && len(c.Symbols) == 0:
		c.wrong("/symbols", "is missing: name the symbols, or a portfolio by portfolio_id")
	case c.PortfolioID != "" && len(c.Symbols) > 0:
		c.wrong("/symbols", "and portfolio_id both say what to choose from: leave out one")
	case c.PortfolioID != "":
		if uuid.Validate(c.PortfolioID) != nil {
			c.wrong("/portfolio_id", "%.40q is not the id of a portfolio", c.PortfolioID)
		}
	case len(c.Symbols) < 2:
		c.wrong("/symbols", "has one symbol, and there is nothing to choose between")
	}
	if c.Follow && (c.PortfolioID == "" || c.Objective == frontier) {
		c.wrong("/follow", "is for the weights of a portfolio: name it by portfolio_id")
	}
	if len(c.Symbols) > 0 {
		c.named = make(map[string]int, len(c.Symbols))
	}
	for i := range c.Symbols {
		at := fmt.Sprintf("/symbols/%d", i)
		c.symbol(at, &c.Symbols[i])
		if before, ok := c.named[c.Symbols[i]]; ok {
			c.wrong(at, "%.40q is there twice, see /symbols/%d", c.Symbols[i], before)
		}
		c.named[c.Symbols[i]] = i
	}
	if c.Market != "" {
		c.symbol("/market", &c.Market)
	}
}

// symbol brings one into its usual form.
func (c *checker) symbol(pointer string, s *string) {
	usual, err := events.Symbol(*s)
	if err != nil {
		c.wrong(pointer, "%s", err)
		return
	}
	*s = usual
}

// known requires that symbols are among those that are asked for, as far as the request says them.
func (c *checker) known(pointer string, s *string) {
	c.symbol(pointer, s)
	if _, known := c.named[*s]; c.named != nil && !known {
		c.wrong(pointer, "%.40q is not among the symbols", *s)
	}
}

// keys brings the keys of a map of symbols into their usual form.
func keys[V any](c *checker, pointer string, of map[string]V) map[string]V {
	if of == nil {
		return nil
	}
	usual := make(map[string]V, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		symbol := key
		c.known(member(pointer, key), &symbol)
		if _, twice := usual[symbol]; twice {
			c.wrong(member(pointer, key), "%.40q is there twice", symbol)
		}
		usual[symbol] = of[key]
	}
	return usual
}

// member points at the value of a key, of which a fault shows no more than its beginning.
func member(pointer, key string) string {
	const shown = 64
	if r := []rune(key[:min(len(key), 4*shown)]); len(r) > shown {
		key = string(r[:shown])
	}
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// one requires that a choice is one of some.
func (c *checker) one(pointer, value string, of ...string) {
	if value != "" && !slices.Contains(of, value) {
		c.wrong(pointer, "%.40q is not known: it is one of %s", value, strings.Join(of, ", "))
	}
}

// only refuses what has no part in what is asked for, so that nobody thinks that it had.
func (c *checker) only(pointer string, said, has bool, of string) {
	if said && !has {
		c.wrong(pointer, "has no part in this: it is for %s", of)
	}
}

func (c *checker) objective() {
	if c.Objective == "" {
		c.wrong("/objective", "is missing: it is one of %s", strings.Join(objectives(), ", "))
		return
	}
	c.one("/objective", c.Objective, objectives()...)
	own := measureOf(c.Objective)
	switch c.Objective {
	case efficientReturn, efficientRisk:
		c.one("/measure", c.Measure, volatility, string(optimize.CVaR), string(optimize.CDaR), string(optimize.Semideviation))
	case maxUtility:
		c.one("/measure", c.Measure, volatility, string(optimize.Semideviation))
	default:
		c.one("/measure", c.Measure, own)
	}
	aimed := c.Objective == efficientReturn || c.Objective == efficientRisk
	c.only("/target", c.Target != nil, aimed, "efficient_return and efficient_risk")
	switch {
	case aimed && c.Target == nil:
		c.wrong("/target", "is missing: it is the return a year of efficient_return, or the risk of efficient_risk; 0.2 is 20 %%")
	case aimed && c.Objective == efficientRisk && *c.Target <= 0:
		c.wrong("/target", "is the risk at most, and must be above zero")
	}
	c.only("/risk_aversion", c.RiskAversion != nil, c.Objective == maxUtility || c.Prior == market, "max_utility, and for the prior of a market")
	if c.RiskAversion != nil && *c.RiskAversion <= 0 {
		c.wrong("/risk_aversion", "must be above zero")
	}
	measure := c.Measure
	if measure == "" {
		measure = own
	}
	c.only("/confidence", c.Confidence != nil, measure == string(optimize.CVaR) || measure == string(optimize.CDaR), "the measures cvar and cdar")
	if c.Confidence != nil && (*c.Confidence <= 0 || *c.Confidence >= 1) {
		c.wrong("/confidence", "must be between 0 and 1; 0.95 looks at the worst 5 %%")
	}
	c.only("/benchmark", c.Benchmark != 0, c.Covariance == semi || measure == string(optimize.Semideviation), "semi and semideviation")
	c.only("/points", c.Points != 0, c.Objective == frontier, "a frontier")
	if c.Points < 0 || c.Points == 1 || c.Points > maxPoints {
		c.wrong("/points", "must be a number from 2 to %d", maxPoints)
	}
	if math.Abs(c.RiskFree) > 10 {
		c.wrong("/risk_free", "is a rate a year: 0.02 is 2 %%")
	}
}

func (c *checker) estimators() {
	c.one("/frequency", c.Frequency, string(series.Daily), string(series.Weekly), string(series.Monthly))
	c.one("/expected_returns", c.ExpectedReturns, historical, arithmetic, ema, capm)
	c.only("/return_span", c.ReturnSpan != nil, c.ExpectedReturns == ema, "ema")
	c.only("/market", c.Market != "", c.ExpectedReturns == capm, "capm")
	c.one("/covariance", c.Covariance, sampled, semi, exponential, ledoitWolf, oas)
	c.only("/covariance", c.Covariance != "", measured(c.Request) || len(c.Views) > 0, "risk that is of a covariance; this one is of the days themselves")
	c.only("/covariance_span", c.CovarianceSpan != nil, c.Covariance == exponential, "exponential")
	c.only("/shrinkage_target", c.ShrinkageTarget != "", c.Covariance == ledoitWolf, "ledoit_wolf")
	c.one("/shrinkage_target", c.ShrinkageTarget, string(quant.ConstantVariance), string(quant.SingleFactor), string(quant.ConstantCorrelation))
	c.only("/missing", c.Missing != "", c.Covariance == semi || c.Covariance == ledoitWolf || c.Covariance == oas, "semi, ledoit_wolf and oas")
	ways := []string{string(quant.MissingComplete), string(quant.MissingZero)}
	if c.Covariance == semi {
		ways = append(ways, string(quant.MissingPairwise))
	}
	c.one("/missing", c.Missing, ways...)
	c.one("/repair", c.Repair, string(quant.RepairSpectral), string(quant.RepairDiagonal), noRepair)
	c.only("/linkage", c.Linkage != "", c.Objective == hrp, "hrp")
	c.one("/linkage", c.Linkage, string(quant.SingleLinkage), string(quant.CompleteLinkage), string(quant.AverageLinkage), string(quant.WardLinkage))
	for pointer, span := range map[string]*float64{"/return_span": c.ReturnSpan, "/covariance_span": c.CovarianceSpan} {
		if span != nil && *span < 1 {
			c.wrong(pointer, "is a number of returns, 1 or more")
		}
	}
}

// measured reports whether the risk of a request, whose defaults may not be filled in, is that of a covariance.
func measured(r *Request) bool {
	return r.Measure == volatility || r.Measure == "" && measureOf(r.Objective) == volatility
}

func (c *checker) constraints() {
	const ones = "objectives other than risk_parity and hrp, whose weights come from the risk alone"
	free := c.constrained()
	c.only("/bounds", c.Bounds != nil, free, ones)
	c.only("/asset_bounds", len(c.AssetBounds) > 0, free, ones)
	c.only("/groups", len(c.Groups) > 0, free, ones)
	c.only("/l2", c.L2 != 0, free, ones)
	c.only("/market_neutral", c.MarketNeutral, free && c.Objective != maxSharpe, "objectives with a scale: the Sharpe ratio of a market-neutral portfolio is the same at any; take efficient_risk")
	c.only("/transaction_costs", c.TransactionCosts != 0, free && c.Objective != frontier, "single portfolios with constraints")
	c.only("/current_weights", len(c.CurrentWeights) > 0, c.TransactionCosts != 0, "transaction_costs")
	c.only("/budgets", len(c.Budgets) > 0, c.Objective == riskParity, "risk_parity")
	if c.L2 < 0 {
		c.wrong("/l2", "must not be below zero")
	}
	if c.TransactionCosts < 0 {
		c.wrong("/transaction_costs", "must not be below zero; 0.001 is 0.1 %% of what is traded")
	}
	c.AssetBounds = keys(c, "/asset_bounds", c.AssetBounds)
	c.CurrentWeights = keys(c, "/current_weights", c.CurrentWeights)
	c.Budgets = keys(c, "/budgets", c.Budgets)
	for _, symbol := range slices.Sorted(maps.Keys(c.Budgets)) {
		if c.Budgets[symbol] < 0 {
			c.wrong(member("/budgets", symbol), "must not be below zero")
		}
	}
	if c.Bounds != nil {
		c.limits("/bounds", *c.Bounds)
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.AssetBounds)) {
		c.limits(member("/asset_bounds", symbol), c.AssetBounds[symbol])
	}
	c.groups()
}

func (c *checker) limits(pointer string, r Range) {
	if r.Lower != nil && r.Upper != nil && *r.Lower > *r.Upper {
		c.wrong(pointer, "has the lower limit %v above the upper one %v", *r.Lower, *r.Upper)
	}
}

func (c *checker) groups() {
	names := map[string]bool{}
	for i := range c.Groups {
		g := &c.Groups[i]
		at := fmt.Sprintf("/groups/%d", i)
		g.Name = strings.TrimSpace(g.Name)
		switch {
		case names[text.Fold(g.Name)]:
			c.wrong(at+"/name", "%.40q is there twice", g.Name)
		default:
			c.called(at+"/name", &g.Name)
		}
		names[text.Fold(g.Name)] = true
		if len(g.Symbols) == 0 {
			c.wrong(at+"/symbols", "is missing: a group needs symbols")
		}
		members := make(map[string]bool, len(g.Symbols))
		for k := range g.Symbols {
			c.known(fmt.Sprintf("%s/symbols/%d", at, k), &g.Symbols[k])
			if members[g.Symbols[k]] {
				c.wrong(fmt.Sprintf("%s/symbols/%d", at, k), "%.40q is there twice", g.Symbols[k])
			}
			members[g.Symbols[k]] = true
		}
		if g.Min == nil && g.Max == nil {
			c.wrong(at, "has neither min nor max")
		}
		c.limits(at, Range{g.Min, g.Max})
	}
}

func (c *checker) views() {
	some := len(c.Views) > 0
	c.only("/prior", c.Prior != "", some, "views")
	c.only("/tau", c.Tau != nil, some, "views")
	c.one("/prior", c.Prior, estimate, market, equal, zero)
	c.only("/market_caps", len(c.MarketCaps) > 0, c.Prior == market, "the prior of a market")
	if c.Prior == market && len(c.MarketCaps) == 0 {
		c.wrong("/market_caps", "is missing: the prior of a market needs what each symbol is worth there")
	}
	if c.Tau != nil && (*c.Tau <= 0 || *c.Tau > 1) {
		c.wrong("/tau", "must be above 0 and at most 1")
	}
	c.MarketCaps = keys(c, "/market_caps", c.MarketCaps)
	for _, symbol := range slices.Sorted(maps.Keys(c.MarketCaps)) {
		if c.MarketCaps[symbol] < 0 {
			c.wrong(member("/market_caps", symbol), "must not be below zero")
		}
	}
	for i := range c.Views {
		c.view(i, &c.Views[i])
	}
}

func (c *checker) view(i int, v *View) {
	at := fmt.Sprintf("/views/%d", i)
	switch {
	case v.Symbol == "" && len(v.Weights) == 0:
		c.wrong(at, "is about nothing: say a symbol, a symbol over another one, or weights")
	case v.Symbol != "" && len(v.Weights) > 0:
		c.wrong(at, "has both a symbol and weights")
	case v.Over != "" && v.Symbol == "":
		c.wrong(at+"/over", "needs a symbol that does better")
	}
	if v.Symbol != "" {
		c.known(at+"/symbol", &v.Symbol)
	}
	if v.Over != "" {
		if c.known(at+"/over", &v.Over); v.Over == v.Symbol {
			c.wrong(at+"/over", "is the same symbol")
		}
	}
	v.Weights = keys(c, at+"/weights", v.Weights)
	if v.Confidence != nil && (*v.Confidence < 0 || *v.Confidence > 1) {
		c.wrong(at+"/confidence", "must be from 0 to 1")
	}
	if (v.Confidence == nil) != (c.Views[0].Confidence == nil) {
		c.wrong(at+"/confidence", "must be said of all views, or of none")
	}
}

func (c *checker) window() {
	if c.From != nil && c.To != nil && *c.From > *c.To {
		c.wrong("/from", "%s is after to, %s: exchange them", c.From, c.To)
	}
	if c.Timeout != 0 && (c.Timeout < .001 || c.Timeout > maxTimeout) {
		c.wrong("/timeout", "is a number of seconds, at most %d", maxTimeout)
	}
}

// feasible refuses constraints that contradict each other whatever the assets do, when the assets are known.
func (c *checker) feasible() error {
	if len(c.Symbols) == 0 || !c.constrained() {
		return nil
	}
	return faultOf(optimize.Check(c.Symbols, c.Request.limits(c.Symbols)))
}

// limits are the constraints over symbols, which have all that are named.
func (r *Request) limits(symbols []string) optimize.Constraints {
	at := positions(symbols)
	out := optimize.Constraints{MarketNeutral: r.MarketNeutral}
	if r.Bounds != nil || len(r.AssetBounds) > 0 {
		all := optimize.Bound{Upper: 1}
		if r.MarketNeutral {
			all.Lower = -1
		}
		if r.Bounds != nil {
			all = r.Bounds.bound()
		}
		out.Bounds = slices.Repeat([]optimize.Bound{all}, len(symbols))
		for symbol, own := range r.AssetBounds {
			out.Bounds[at[symbol]] = own.bound()
		}
	}
	for _, g := range r.Groups {
		group := optimize.Group{Name: g.Name, Lower: limit(g.Min, math.Inf(-1)), Upper: limit(g.Max, math.Inf(1))}
		for _, symbol := range g.Symbols {
			group.Assets = append(group.Assets, at[symbol])
		}
		out.Groups = append(out.Groups, group)
	}
	return out
}

// positions says where each symbol is.
func positions(symbols []string) map[string]int {
	at := make(map[string]int, len(symbols))
	for i, s := range symbols {
		at[s] = i
	}
	return at
}

// belongs requires that all symbols that a request names are those of its portfolio.
func (r *Request) belongs(symbols []string) error {
	of := *r
	of.Symbols, of.PortfolioID, of.Follow = slices.Clone(symbols), "", false
	err := check(&of)
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "optimization_invalid" {
		return f.WithHint("the symbols are those of the portfolio")
	}
	return err
}
