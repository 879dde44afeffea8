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

// Request is the request of an optimization. The service sets defaults before it runs and stores them with the result,
// so that the inputs of a result repeat it.
type Request struct {
	Name        string   `json:"name,omitempty"`
	Symbols     []string `json:"symbols,omitempty"` // or the symbols of a portfolio
	PortfolioID string   `json:"portfolio_id,omitempty"`
	Follow      bool     `json:"follow,omitempty"` // run again when returns or the portfolio change

	Objective    string   `json:"objective"`
	Measure      string   `json:"measure,omitempty"`       // of risk: volatility, cvar, cdar, semideviation
	Target       *float64 `json:"target,omitempty"`        // annual return of efficient_return, risk of efficient_risk
	RiskAversion *float64 `json:"risk_aversion,omitempty"` // of max_utility
	RiskFree     float64  `json:"risk_free"`               // a year
	Confidence   *float64 `json:"confidence,omitempty"`    // of cvar and cdar
	// Benchmark is a return of the frequency below which returns are losses, for semi and semideviation.
	Benchmark float64 `json:"benchmark,omitempty"`
	Points    int     `json:"points,omitempty"` // of a frontier

	Frequency       string   `json:"frequency,omitempty"` // of the returns: daily, weekly, monthly
	ExpectedReturns string   `json:"expected_returns,omitempty"`
	ReturnSpan      *float64 `json:"return_span,omitempty"` // of ema, in returns
	Market          string   `json:"market,omitempty"`      // of capm: a symbol; the mean of all assets when empty
	Covariance      string   `json:"covariance,omitempty"`
	CovarianceSpan  *float64 `json:"covariance_span,omitempty"`  // of exponential, in returns
	ShrinkageTarget string   `json:"shrinkage_target,omitempty"` // of ledoit_wolf
	Missing         string   `json:"missing,omitempty"`          // days without a return, of semi, ledoit_wolf and oas
	Repair          string   `json:"repair,omitempty"`           // of a matrix that is not positive semidefinite
	Linkage         string   `json:"linkage,omitempty"`          // of hrp

	Bounds           *Range             `json:"bounds,omitempty"`
	AssetBounds      map[string]Range   `json:"asset_bounds,omitempty"`
	Groups           []Group            `json:"groups,omitempty"`
	MarketNeutral    bool               `json:"market_neutral,omitempty"`
	L2               float64            `json:"l2,omitempty"`
	TransactionCosts float64            `json:"transaction_costs,omitempty"` // as a ratio of the traded amount
	CurrentWeights   map[string]float64 `json:"current_weights,omitempty"`   // those of the portfolio when empty
	Budgets          map[string]float64 `json:"budgets,omitempty"`           // of risk_parity

	Views      []View             `json:"views,omitempty"`
	Prior      string             `json:"prior,omitempty"` // of the returns: estimate, market, equal, zero
	Tau        *float64           `json:"tau,omitempty"`   // uncertainty of the prior, as a ratio of the covariance
	MarketCaps map[string]float64 `json:"market_caps,omitempty"`

	From    *civil.Date `json:"from,omitempty"`
	To      *civil.Date `json:"to,omitempty"`
	Timeout float64     `json:"timeout,omitempty"` // in seconds
}

// Range is a lower and an upper limit, on the wire [lower, upper]; null leaves a side open.
type Range struct{ Lower, Upper *float64 }

// MarshalJSON encodes [lower, upper].
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([]*float64{r.Lower, r.Upper}) }

// UnmarshalJSON decodes [lower, upper].
func (r *Range) UnmarshalJSON(b []byte) error {
	var both []*float64
	if err := json.Unmarshal(b, &both); err != nil || len(both) != 2 {
		return errors.New("write limits as [lower, upper], such as [0, 0.3]; null is no limit")
	}
	r.Lower, r.Upper = both[0], both[1]
	return nil
}

// limit returns the value of v, or otherwise when it is nil.
func limit(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

func (r Range) bound() optimize.Bound {
	return optimize.Bound{Lower: limit(r.Lower, math.Inf(-1)), Upper: limit(r.Upper, math.Inf(1))}
}

// Group limits the sum of the weights of some symbols, such as those of a sector.
type Group struct {
	Name    string   `json:"name"`
	Symbols []string `json:"symbols"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
}

// View is an opinion on annual returns: of a symbol, of a symbol relative to another, or of a portfolio of weights.
type View struct {
	Symbol     string             `json:"symbol,omitempty"`
	Over       string             `json:"over,omitempty"`
	Weights    map[string]float64 `json:"weights,omitempty"`
	Return     float64            `json:"return"`
	Confidence *float64           `json:"confidence,omitempty"` // from 0 to 1; for all views, or for none
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
		minVolatility, maxSharpe, maxUtility, efficientReturn, efficientRisk, minCVaR, minCDaR, minSemivariance,
		riskParity,
		hrp, frontier,
	}
}

// volatility is the measure of risk that follows from a covariance and not from scenarios.
const volatility = "volatility"

// The estimators of expected returns and covariances, and the priors.
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

// The limits of a request.
const (
	maxSymbols     = 1000
	maxGroups      = 500 // each is a row of every step of the solver
	maxViews       = 500 // the cost grows with their pairs
	maxPoints      = 500
	defaultPoints  = 20
	defaultTimeout = 300
	maxTimeout     = 600
)

// scenarios reports whether the risk is measured over scenarios and not from a covariance.
func (r *Request) scenarios() bool { return r.Measure != "" && r.Measure != volatility }

// constrained reports whether bounds, groups and costs apply to the objective.
func (r *Request) constrained() bool { return r.Objective != riskParity && r.Objective != hrp }

// fill sets the defaults of fields that are left out.
func (r *Request) fill() {
	setDefault(&r.Measure, measureOf(r.Objective))
	setDefault(&r.Frequency, string(series.Daily))
	setDefault(&r.ExpectedReturns, historical)
	setDefault(&r.Timeout, defaultTimeout)
	if r.ExpectedReturns == ema {
		setDefaultPointer(&r.ReturnSpan, quant.Span500)
	}
	if r.Measure == string(optimize.CVaR) || r.Measure == string(optimize.CDaR) {
		setDefaultPointer(&r.Confidence, .95)
	}
	switch r.Objective {
	case maxUtility:
		setDefaultPointer(&r.RiskAversion, 1)
	case hrp:
		setDefault(&r.Linkage, string(quant.SingleLinkage))
	case frontier:
		setDefault(&r.Points, defaultPoints)
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
		setDefault(&r.Prior, estimate)
		setDefaultPointer(&r.Tau, .05)
		if r.Prior == market || r.Prior == equal {
			setDefaultPointer(&r.RiskAversion, 2.5)
		}
	}
}

// fillCovariance sets the defaults of the covariance estimator.
func (r *Request) fillCovariance() {
	setDefault(&r.Covariance, sampled)
	setDefault(&r.Repair, string(quant.RepairSpectral))
	switch r.Covariance {
	case exponential:
		setDefaultPointer(&r.CovarianceSpan, quant.Span180)
	case semi:
		setDefault(&r.Missing, string(quant.MissingPairwise))
	case ledoitWolf:
		setDefault(&r.ShrinkageTarget, string(quant.ConstantVariance))
		setDefault(&r.Missing, string(quant.MissingComplete))
	case oas:
		setDefault(&r.Missing, string(quant.MissingComplete))
	}
}

// measureOf returns the default measure of risk of an objective.
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

// setDefault sets a zero value to its default.
func setDefault[T comparable](v *T, otherwise T) {
	var none T
	if *v == none {
		*v = otherwise
	}
}

// setDefaultPointer sets a nil pointer to a default.
func setDefaultPointer(v **float64, otherwise float64) {
	if *v == nil {
		*v = &otherwise
	}
}
