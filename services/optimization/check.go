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

// checker collects all errors of a request.
type checker struct {
	*Request
	fault *fault.Fault
	named map[string]int // index of each symbol; nil when the request has none
}

// check validates a request without data and returns one fault with every error. It normalises symbols in place.
func check(r *Request) error {
	c := &checker{Request: r, fault: fault.Invalid("optimization_invalid", "the request is not valid")}
	if c.tooLong() {
		return c.err()
	}
	c.name()
	c.assets()
	c.objective()
	c.estimators()
	c.constraints()
	c.views()
	c.window()
	if err := c.err(); err != nil {
		return err
	}
	return c.feasible()
}

// err returns the fault with all errors, or nil.
func (c *checker) err() error {
	if len(c.fault.Errors) == 0 {
		return nil
	}
	first := c.fault.Errors[0]
	c.fault.Detail = strings.TrimPrefix(first.Pointer, "/") + " " + first.Detail
	return c.fault
}

// tooLong rejects lists that exceed their bounds, before anything in them is checked.
func (c *checker) tooLong() bool {
	long := func(pointer string, n, most int, what string) {
		if n > most {
			c.reject(pointer, "has %d %s; at most %d are taken", n, what, most)
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

// reject adds an error at a pointer.
func (c *checker) reject(pointer, format string, args ...any) {
	_ = c.fault.With(fault.Item{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) name() {
	if c.Name = strings.TrimSpace(c.Name); c.Name != "" {
		c.checkName("/name", &c.Name)
	}
}

// checkName validates a name and normalises it.
func (c *checker) checkName(pointer string, name *string) {
	kept, err := text.CheckName(*name, events.MaxName)
	if err != nil {
		c.reject(pointer, "%s", err)
		return
	}
	*name = kept
}

func (c *checker) assets() {
	switch {
	case c.PortfolioID == "" && len(c.Symbols) == 0:
		c.reject("/symbols", "is missing: give symbols, or a portfolio by portfolio_id")
	case c.PortfolioID != "" && len(c.Symbols) > 0:
		c.reject("/symbols", "and portfolio_id exclude each other: leave out one")
	case c.PortfolioID != "":
		if uuid.Validate(c.PortfolioID) != nil {
			c.reject("/portfolio_id", "%.40q is not the id of a portfolio", c.PortfolioID)
		}
	case len(c.Symbols) < 2:
		c.reject("/symbols", "has one symbol: an optimization needs two")
	}
	if c.Follow && (c.PortfolioID == "" || c.Objective == frontier) {
		c.reject("/follow", "needs the weights of a portfolio: give portfolio_id, and any objective but frontier")
	}
	if len(c.Symbols) > 0 {
		c.named = make(map[string]int, len(c.Symbols))
	}
	for i := range c.Symbols {
		at := fmt.Sprintf("/symbols/%d", i)
		c.symbol(at, &c.Symbols[i])
		if before, ok := c.named[c.Symbols[i]]; ok {
			c.reject(at, "%.40q is repeated: it is at /symbols/%d already", c.Symbols[i], before)
		}
		c.named[c.Symbols[i]] = i
	}
	if c.Market != "" {
		c.symbol("/market", &c.Market)
	}
}

// symbol validates a symbol and normalises it.
func (c *checker) symbol(pointer string, s *string) {
	usual, err := events.Symbol(*s)
	if err != nil {
		c.reject(pointer, "%s", err)
		return
	}
	*s = usual
}

// checkKnown validates a symbol, which must be among the symbols of the request if it has any.
func (c *checker) checkKnown(pointer string, s *string) {
	c.symbol(pointer, s)
	if _, known := c.named[*s]; c.named != nil && !known {
		c.reject(pointer, "%.40q is not among the symbols", *s)
	}
}

// normaliseKeys normalises the keys of a map by symbol.
func normaliseKeys[V any](c *checker, pointer string, of map[string]V) map[string]V {
	if of == nil {
		return nil
	}
	usual := make(map[string]V, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		symbol := key
		c.checkKnown(pointerTo(pointer, key), &symbol)
		if _, repeated := usual[symbol]; repeated {
			c.reject(pointerTo(pointer, key), "%.40q is repeated", symbol)
		}
		usual[symbol] = of[key]
	}
	return usual
}

// pointerTo returns the JSON pointer to the value of a key, which it shortens.
func pointerTo(pointer, key string) string {
	const shown = 64
	if r := []rune(key[:min(len(key), 4*shown)]); len(r) > shown {
		key = string(r[:shown])
	}
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// oneOf requires that a value, if there is any, is one of several.
func (c *checker) oneOf(pointer, value string, of ...string) {
	if value != "" && !slices.Contains(of, value) {
		c.reject(pointer, "%.40q is not known: it is one of %s", value, strings.Join(of, ", "))
	}
}

// onlyFor rejects a field that is set but would have no effect.
func (c *checker) onlyFor(pointer string, given, applies bool, purpose string) {
	if given && !applies {
		c.reject(pointer, "has no effect here: it is for %s", purpose)
	}
}

func (c *checker) objective() {
	if c.Objective == "" {
		c.reject("/objective", "is missing: it is one of %s", strings.Join(objectives(), ", "))
		return
	}
	c.oneOf("/objective", c.Objective, objectives()...)
	own := measureOf(c.Objective)
	switch c.Objective {
	case efficientReturn, efficientRisk:
		c.oneOf(
			"/measure", c.Measure, volatility, string(optimize.CVaR), string(optimize.CDaR),
			string(optimize.Semideviation),
		)
	case maxUtility:
		c.oneOf("/measure", c.Measure, volatility, string(optimize.Semideviation))
	default:
		c.oneOf("/measure", c.Measure, own)
	}
	aimed := c.Objective == efficientReturn || c.Objective == efficientRisk
	c.onlyFor("/target", c.Target != nil, aimed, "efficient_return and efficient_risk")
	switch {
	case aimed && c.Target == nil:
		c.reject("/target",
			"is missing: the annual return of efficient_return, or the risk of efficient_risk; 0.2 is 20 %%")
	case aimed && c.Objective == efficientRisk && *c.Target <= 0:
		c.reject("/target", "is the highest risk, and must be above zero")
	}
	c.onlyFor("/risk_aversion", c.RiskAversion != nil, c.Objective == maxUtility ||
		c.Prior == market || c.Prior == equal, "max_utility, and for the priors market and equal")
	if c.RiskAversion != nil && *c.RiskAversion <= 0 {
		c.reject("/risk_aversion", "must be above zero")
	}
	measure := c.Measure
	if measure == "" {
		measure = own
	}
	c.onlyFor("/confidence", c.Confidence != nil, measure == string(optimize.CVaR) ||
		measure == string(optimize.CDaR), "the measures cvar and cdar")
	if c.Confidence != nil && (*c.Confidence <= 0 || *c.Confidence >= 1) {
		c.reject("/confidence", "must be between 0 and 1; 0.95 is the mean of the worst 5 %%")
	}
	c.onlyFor("/benchmark", c.Benchmark != 0, c.Covariance == semi ||
		measure == string(optimize.Semideviation), "semi and semideviation")
	c.onlyFor("/points", c.Points != 0, c.Objective == frontier, "a frontier")
	if c.Points < 0 || c.Points == 1 || c.Points > maxPoints {
		c.reject("/points", "must be a number from 2 to %d", maxPoints)
	}
	if math.Abs(c.RiskFree) >= 1 {
		c.reject("/risk_free", "is a rate a year: 0.02 is 2 %%")
	}
}

func (c *checker) estimators() {
	c.oneOf("/frequency", c.Frequency, string(series.Daily), string(series.Weekly), string(series.Monthly))
	c.oneOf("/expected_returns", c.ExpectedReturns, historical, arithmetic, ema, capm)
	c.onlyFor("/return_span", c.ReturnSpan != nil, c.ExpectedReturns == ema, "ema")
	c.onlyFor("/market", c.Market != "", c.ExpectedReturns == capm, "capm")
	c.oneOf("/covariance", c.Covariance, sampled, semi, exponential, ledoitWolf, oas)
	c.onlyFor("/covariance", c.Covariance != "", measured(c.Request) ||
		len(c.Views) > 0, "objectives whose risk follows from a covariance")
	c.onlyFor("/covariance_span", c.CovarianceSpan != nil, c.Covariance == exponential, "exponential")
	c.onlyFor("/shrinkage_target", c.ShrinkageTarget != "", c.Covariance == ledoitWolf, "ledoit_wolf")
	c.oneOf(
		"/shrinkage_target", c.ShrinkageTarget, string(quant.ConstantVariance), string(quant.SingleFactor),
		string(quant.ConstantCorrelation),
	)
	c.onlyFor("/missing", c.Missing != "", c.Covariance == semi || c.Covariance == ledoitWolf ||
		c.Covariance == oas, "semi, ledoit_wolf and oas")
	ways := []string{string(quant.MissingComplete), string(quant.MissingZero)}
	if c.Covariance == semi {
		ways = append(ways, string(quant.MissingPairwise))
	}
	c.oneOf("/missing", c.Missing, ways...)
	c.oneOf("/repair", c.Repair, string(quant.RepairSpectral), string(quant.RepairDiagonal), noRepair)
	c.onlyFor("/linkage", c.Linkage != "", c.Objective == hrp, "hrp")
	c.oneOf(
		"/linkage", c.Linkage, string(quant.SingleLinkage), string(quant.CompleteLinkage), string(quant.AverageLinkage),
		string(quant.WardLinkage),
	)
	for pointer, span := range map[string]*float64{"/return_span": c.ReturnSpan, "/covariance_span": c.CovarianceSpan} {
		if span != nil && *span < 1 {
			c.reject(pointer, "is a number of returns, 1 or more")
		}
	}
}

// measured reports whether the risk follows from a covariance. The defaults need not be set.
func measured(r *Request) bool {
	return r.Measure == volatility || r.Measure == "" && measureOf(r.Objective) == volatility
}

func (c *checker) constraints() {
	const ones = "objectives other than risk_parity and hrp, whose weights come from the risk alone"
	free := c.constrained()
	c.onlyFor("/bounds", c.Bounds != nil, free, ones)
	c.onlyFor("/asset_bounds", len(c.AssetBounds) > 0, free, ones)
	c.onlyFor("/groups", len(c.Groups) > 0, free, ones)
	c.onlyFor("/l2", c.L2 != 0, free, ones)
	c.onlyFor("/market_neutral", c.MarketNeutral, free &&
		c.Objective != maxSharpe,
		"objectives with a scale: the Sharpe ratio of a market-neutral portfolio is the same at any; take "+
			"efficient_risk")
	c.onlyFor("/transaction_costs", c.TransactionCosts != 0, free &&
		c.Objective != frontier, "single portfolios with constraints")
	c.onlyFor("/current_weights", len(c.CurrentWeights) > 0, c.TransactionCosts != 0, "transaction_costs")
	c.onlyFor("/budgets", len(c.Budgets) > 0, c.Objective == riskParity, "risk_parity")
	if c.L2 < 0 {
		c.reject("/l2", "must not be below zero")
	}
	if c.TransactionCosts < 0 {
		c.reject("/transaction_costs", "must not be below zero; 0.001 is 0.1 %% of what is traded")
	}
	c.AssetBounds = normaliseKeys(c, "/asset_bounds", c.AssetBounds)
	c.CurrentWeights = normaliseKeys(c, "/current_weights", c.CurrentWeights)
	c.Budgets = normaliseKeys(c, "/budgets", c.Budgets)
	for _, symbol := range slices.Sorted(maps.Keys(c.Budgets)) {
		if c.Budgets[symbol] < 0 {
			c.reject(pointerTo("/budgets", symbol), "must not be below zero")
		}
	}
	if c.Bounds != nil {
		c.limits("/bounds", *c.Bounds)
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.AssetBounds)) {
		c.limits(pointerTo("/asset_bounds", symbol), c.AssetBounds[symbol])
	}
	c.groups()
}

func (c *checker) limits(pointer string, r Range) {
	if r.Lower != nil && r.Upper != nil && *r.Lower > *r.Upper {
		c.reject(pointer, "has the lower limit %v above the upper one %v", *r.Lower, *r.Upper)
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
			c.reject(at+"/name", "%.40q is repeated", g.Name)
		default:
			c.checkName(at+"/name", &g.Name)
		}
		names[text.Fold(g.Name)] = true
		if len(g.Symbols) == 0 {
			c.reject(at+"/symbols", "is missing: a group needs symbols")
		}
		members := make(map[string]bool, len(g.Symbols))
		for k := range g.Symbols {
			c.checkKnown(fmt.Sprintf("%s/symbols/%d", at, k), &g.Symbols[k])
			if members[g.Symbols[k]] {
				c.reject(fmt.Sprintf("%s/symbols/%d", at, k), "%.40q is repeated", g.Symbols[k])
			}
			members[g.Symbols[k]] = true
		}
		if g.Min == nil && g.Max == nil {
			c.reject(at, "has neither min nor max")
		}
		c.limits(at, Range{g.Min, g.Max})
	}
}

func (c *checker) views() {
	some := len(c.Views) > 0
	c.onlyFor("/prior", c.Prior != "", some, "views")
	c.onlyFor("/tau", c.Tau != nil, some, "views")
	c.oneOf("/prior", c.Prior, estimate, market, equal, zero)
	c.onlyFor("/market_caps", len(c.MarketCaps) > 0, c.Prior == market, "the prior of a market")
	if c.Prior == market && len(c.MarketCaps) == 0 {
		c.reject("/market_caps", "is missing: the prior market needs the market capitalisation of each symbol")
	}
	if c.Tau != nil && (*c.Tau <= 0 || *c.Tau > 1) {
		c.reject("/tau", "must be above 0 and at most 1")
	}
	c.MarketCaps = normaliseKeys(c, "/market_caps", c.MarketCaps)
	for _, symbol := range slices.Sorted(maps.Keys(c.MarketCaps)) {
		if c.MarketCaps[symbol] < 0 {
			c.reject(pointerTo("/market_caps", symbol), "must not be below zero")
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
		c.reject(at, "is empty: give a symbol, a symbol over another one, or weights")
	case v.Symbol != "" && len(v.Weights) > 0:
		c.reject(at, "has both a symbol and weights")
	case v.Over != "" && v.Symbol == "":
		c.reject(at+"/over", "needs a symbol to compare with")
	}
	if v.Symbol != "" {
		c.checkKnown(at+"/symbol", &v.Symbol)
	}
	if v.Over != "" {
		if c.checkKnown(at+"/over", &v.Over); v.Over == v.Symbol {
			c.reject(at+"/over", "is the same symbol")
		}
	}
	v.Weights = normaliseKeys(c, at+"/weights", v.Weights)
	if v.Confidence != nil && (*v.Confidence < 0 || *v.Confidence > 1) {
		c.reject(at+"/confidence", "must be from 0 to 1")
	}
	if (v.Confidence == nil) != (c.Views[0].Confidence == nil) {
		c.reject(at+"/confidence", "must be given for all views, or for none")
	}
}

func (c *checker) window() {
	if c.From != nil && c.To != nil && *c.From > *c.To {
		c.reject("/from", "%s is after to, %s: exchange them", c.From, c.To)
	}
	if c.Timeout != 0 && (c.Timeout < .001 || c.Timeout > maxTimeout) {
		c.reject("/timeout", "is a number of seconds, at most %d", maxTimeout)
	}
}

// feasible rejects constraints that contradict each other for any returns, when the symbols are known.
func (c *checker) feasible() error {
	if len(c.Symbols) == 0 || !c.constrained() {
		return nil
	}
	return faultOf(optimize.Check(c.Symbols, c.Request.limits(c.Symbols)))
}

// limits returns the constraints over symbols, which include all that the request names.
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

// positions returns the index of each symbol.
func positions(symbols []string) map[string]int {
	at := make(map[string]int, len(symbols))
	for i, s := range symbols {
		at[s] = i
	}
	return at
}

// belongs requires that the portfolio has all symbols that a request names.
func (r *Request) belongs(symbols []string) error {
	of := *r
	of.Symbols, of.PortfolioID, of.Follow = slices.Clone(symbols), "", false
	err := check(&of)
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == "optimization_invalid" {
		return f.WithHint("the symbols are those of the portfolio")
	}
	return err
}
