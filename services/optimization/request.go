package optimization

import (
	"encoding/json"
	"errors"
	"math"

	"stega/civil"
	"stega/quant"
	"stega/quant/optimize"
	"stega/series"
)

// Request is what a client asks for. What is left out is filled in with defaults before it runs, and kept so with the
// answer: sent again, the inputs of an answer ask for the same thing.
type Request struct {
	Name        string   `json:"name,omitempty"`
	Symbols     []string `json:"symbols,omitempty"` // or those of a portfolio
	PortfolioID string   `json:"portfolio_id,omitempty"`
	Follow      bool     `json:"follow,omitempty"` // made anew when returns or the portfolio move

	Objective    string   `json:"objective"`
	Measure      string   `json:"measure,omitempty"`       // of risk: volatility, cvar, cdar, semideviation
	Target       *float64 `json:"target,omitempty"`        // the return a year of efficient_return, the risk of efficient_risk
	RiskAversion *float64 `json:"risk_aversion,omitempty"` // of max_utility
	RiskFree     float64  `json:"risk_free"`               // a year
	Confidence   *float64 `json:"confidence,omitempty"`    // of cvar and cdar
	Benchmark    float64  `json:"benchmark,omitempty"`     // a day, or what the frequency says; returns below it are losses, of semi and semideviation
	Points       int      `json:"points,omitempty"`        // of a frontier

	Frequency       string   `json:"frequency,omitempty"` // of the returns that all is estimated from: daily, weekly, monthly
	ExpectedReturns string   `json:"expected_returns,omitempty"`
	ReturnSpan      *float64 `json:"return_span,omitempty"` // of ema, in returns
	Market          string   `json:"market,omitempty"`      // of capm: a symbol; the mean of all assets when empty
	Covariance      string   `json:"covariance,omitempty"`
	CovarianceSpan  *float64 `json:"covariance_span,omitempty"`  // of exponential, in returns
	ShrinkageTarget string   `json:"shrinkage_target,omitempty"` // of ledoit_wolf
	Missing         string   `json:"missing,omitempty"`          // days without a return, of semi, ledoit_wolf and oas
	Repair          string   `json:"repair,omitempty"`           // of a matrix that is no covariance
	Linkage         string   `json:"linkage,omitempty"`          // of hrp

	Bounds           *Range             `json:"bounds,omitempty"`
	AssetBounds      map[string]Range   `json:"asset_bounds,omitempty"`
	Groups           []Group            `json:"groups,omitempty"`
	MarketNeutral    bool               `json:"market_neutral,omitempty"`
	L2               float64            `json:"l2,omitempty"`
	TransactionCosts float64            `json:"transaction_costs,omitempty"` // in parts of what is traded
	CurrentWeights   map[string]float64 `json:"current_weights,omitempty"`   // those of the portfolio when empty
	Budgets          map[string]float64 `json:"budgets,omitempty"`           // of risk_parity

	Views      []View             `json:"views,omitempty"`
	Prior      string             `json:"prior,omitempty"` // what is expected without views: estimate, market, equal, zero
	Tau        *float64           `json:"tau,omitempty"`   // how uncertain that is, in parts of the covariance
	MarketCaps map[string]float64 `json:"market_caps,omitempty"`

	From    *civil.Date `json:"from,omitempty"`
	To      *civil.Date `json:"to,omitempty"`
	Timeout float64     `json:"timeout,omitempty"` // in seconds
}

// Range is a lower and an upper limit, on the wire [lower, upper]; null is no limit.
type Range struct{ Lower, Upper *float64 }

// MarshalJSON writes [lower, upper].
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([]*float64{r.Lower, r.Upper}) }

// UnmarshalJSON reads [lower, upper].
func (r *Range) UnmarshalJSON(b []byte) error {
	var both []*float64
	if err := json.Unmarshal(b, &both); err != nil || len(both) != 2 {
		return errors.New("write limits as [lower, upper], such as [0, 0.3]; null is no limit")
	}
	r.Lower, r.Upper = both[0], both[1]
	return nil
}

func limit(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

func (r Range) bound() optimize.Bound {
	return optimize.Bound{Lower: limit(r.Lower, math.Inf(-1)), Upper: limit(r.Upper, math.Inf(1))}
}

// Group limits the sum of the weights of some symbols, such as a sector.
type Group struct {
	Name    string   `json:"name"`
	Symbols []string `json:"symbols"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
}

// View is an opinion on returns: that a symbol will return so much a year, that it will return so much more than
// another one, or that a portfolio of weights will.
type View struct {
	Symbol     string             `json:"symbol,omitempty"`
	Over       string             `json:"over,omitempty"`
	Weights    map[string]float64 `json:"weights,omitempty"`
	Return     float64            `json:"return"`
	Confidence *float64           `json:"confidence,omitempty"` // from 0 to 1; all views have one, or none
}

// The objectives.
const (
	minVolatility   = "min_volatility"
	maxSharpe       = "max_sharpe"
	maxUtility      = "max_utility"
	efficientReturn = "efficient_return"
	efficientRisk   = "efficient_risk"
	minCVaR         = "min_cvar"
	minCDaR         = "min_cdar"
	minSemivariance = "min_semivariance"
	riskParity      = "risk_parity"
	hrp             = "hrp"
	frontier        = "frontier"
)

func objectives() []string {
	return []string{
		minVolatility, maxSharpe, maxUtility, efficientReturn, efficientRisk, minCVaR, minCDaR, minSemivariance, riskParity, hrp, frontier,
	}
}

// volatility is the measure of risk that is not one over scenarios.
const volatility = "volatility"

// The ways to expect returns, to estimate a covariance, and to come to a prior.
const (
	historical  = "historical"
	arithmetic  = "arithmetic"
	ema         = "ema"
	capm        = "capm"
	sampled     = "sample"
	semi        = "semi"
	exponential = "exponential"
	ledoitWolf  = "ledoit_wolf"
	oas         = "oas"
	estimate    = "estimate"
	market      = "market"
	equal       = "equal"
	zero        = "zero"
	noRepair    = "none"
)

// Limits of a request.
const (
	maxSymbols     = 1000
	maxGroups      = 500 // each is a row of every step of the solver
	maxViews       = 500 // of which all pairs are weighed against each other
	maxPoints      = 500
	defaultPoints  = 20
	defaultTimeout = 300
	maxTimeout     = 600
)

// scenarios reports whether the risk is one over days, and not of a covariance.
func (r *Request) scenarios() bool { return r.Measure != "" && r.Measure != volatility }

// constrained reports whether bounds, groups and costs have a part in the objective.
func (r *Request) constrained() bool { return r.Objective != riskParity && r.Objective != hrp }

// fill puts the defaults where nothing is said.
func (r *Request) fill() {
	def(&r.Measure, measureOf(r.Objective))
	def(&r.Frequency, string(series.Daily))
	def(&r.ExpectedReturns, historical)
	def(&r.Timeout, defaultTimeout)
	if r.ExpectedReturns == ema {
		fallback(&r.ReturnSpan, quant.Span500)
	}
	if r.Measure == string(optimize.CVaR) || r.Measure == string(optimize.CDaR) {
		fallback(&r.Confidence, .95)
	}
	switch r.Objective {
	case maxUtility:
		fallback(&r.RiskAversion, 1)
	case hrp:
		def(&r.Linkage, string(quant.SingleLinkage))
	case frontier:
		def(&r.Points, defaultPoints)
	}
	if !r.scenarios() || len(r.Views) > 0 {
		r.fillCovariance()
	}
	if r.constrained() && r.Bounds == nil {
		r.Bounds = &Range{new(float64), new(float64)}
		if *r.Bounds.Upper = 1; r.MarketNeutral {
			*r.Bounds.Lower = -1
		}
	}
	if len(r.Views) > 0 {
		def(&r.Prior, estimate)
		fallback(&r.Tau, .05)
		if r.Prior == market {
			fallback(&r.RiskAversion, 2.5)
		}
	}
}

func (r *Request) fillCovariance() {
	def(&r.Covariance, sampled)
	def(&r.Repair, string(quant.RepairSpectral))
	switch r.Covariance {
	case exponential:
		fallback(&r.CovarianceSpan, quant.Span180)
	case semi:
		def(&r.Missing, string(quant.MissingPairwise))
	case ledoitWolf:
		def(&r.ShrinkageTarget, string(quant.ConstantVariance))
		def(&r.Missing, string(quant.MissingComplete))
	case oas:
		def(&r.Missing, string(quant.MissingComplete))
	}
}

// measureOf is the measure of risk that an objective has when nothing else is said.
func measureOf(objective string) string {
	switch objective {
	case minCVaR:
		return string(optimize.CVaR)
	case minCDaR:
		return string(optimize.CDaR)
	case minSemivariance:
		return string(optimize.Semideviation)
	}
	return volatility
}

func def[T comparable](v *T, otherwise T) {
	var none T
	if *v == none {
		*v = otherwise
	}
}

func fallback(v **float64, otherwise float64) {
	if *v == nil {
		*v = &otherwise
	}
}
