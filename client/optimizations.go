package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/govalues/decimal"

	"stega/api"
	"stega/civil"
	"stega/events"
	"stega/fault"
)

// OptimizationRequest is what an optimization asks for; what is empty is the server's default, see GET
// /v1/optimizations/{id} for what that was.
type OptimizationRequest struct {
	Name        string   `json:"name,omitempty"`
	Symbols     []string `json:"symbols,omitempty"`
	PortfolioID string   `json:"portfolio_id,omitempty"`
	Follow      bool     `json:"follow,omitempty"`

	Objective    string   `json:"objective"`
	Measure      string   `json:"measure,omitempty"`
	Target       *float64 `json:"target,omitempty"`
	RiskAversion *float64 `json:"risk_aversion,omitempty"`
	RiskFree     float64  `json:"risk_free"`
	Confidence   *float64 `json:"confidence,omitempty"`
	Benchmark    float64  `json:"benchmark,omitempty"`
	Points       int      `json:"points,omitempty"`

	Frequency       string   `json:"frequency,omitempty"` // of the returns: daily, weekly, monthly
	ExpectedReturns string   `json:"expected_returns,omitempty"`
	ReturnSpan      *float64 `json:"return_span,omitempty"`
	Market          string   `json:"market,omitempty"`
	Covariance      string   `json:"covariance,omitempty"`
	CovarianceSpan  *float64 `json:"covariance_span,omitempty"`
	ShrinkageTarget string   `json:"shrinkage_target,omitempty"`
	Missing         string   `json:"missing,omitempty"`
	Repair          string   `json:"repair,omitempty"`
	Linkage         string   `json:"linkage,omitempty"`

	Bounds           *Range             `json:"bounds,omitempty"`
	AssetBounds      map[string]Range   `json:"asset_bounds,omitempty"`
	Groups           []AssetGroup       `json:"groups,omitempty"`
	MarketNeutral    bool               `json:"market_neutral,omitempty"`
	L2               float64            `json:"l2,omitempty"`
	TransactionCosts float64            `json:"transaction_costs,omitempty"`
	CurrentWeights   map[string]float64 `json:"current_weights,omitempty"`
	Budgets          map[string]float64 `json:"budgets,omitempty"`

	Views      []ReturnView       `json:"views,omitempty"`
	Prior      string             `json:"prior,omitempty"`
	Tau        *float64           `json:"tau,omitempty"`
	MarketCaps map[string]float64 `json:"market_caps,omitempty"`

	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Timeout float64 `json:"timeout,omitempty"` // in seconds
}

// Range is a lower and an upper limit; nil is no limit.
type Range struct{ Lower, Upper *float64 }

// MarshalJSON writes [lower, upper].
func (r Range) MarshalJSON() ([]byte, error) { return json.Marshal([]*float64{r.Lower, r.Upper}) }

// UnmarshalJSON reads [lower, upper].
func (r *Range) UnmarshalJSON(b []byte) error {
	var both []*float64
	if err := json.Unmarshal(b, &both); err != nil || len(both) != 2 {
		return errors.New("limits are not [lower, upper]")
	}
	r.Lower, r.Upper = both[0], both[1]
	return nil
}

// AssetGroup limits the sum of the weights of some symbols.
type AssetGroup struct {
	Name    string   `json:"name"`
	Symbols []string `json:"symbols"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
}

// ReturnView is an opinion on returns.
type ReturnView struct {
	Symbol     string             `json:"symbol,omitempty"`
	Over       string             `json:"over,omitempty"`
	Weights    map[string]float64 `json:"weights,omitempty"`
	Return     float64            `json:"return"`
	Confidence *float64           `json:"confidence,omitempty"`
}

// Optimization is an answer, or what is known of one that is still to come.
type Optimization struct {
	ID          string       `json:"id"`
	Name        string       `json:"name,omitempty"`
	Objective   string       `json:"objective,omitempty"`
	PortfolioID string       `json:"portfolio_id,omitempty"`
	Follow      bool         `json:"follow"`
	Status      string       `json:"status"`
	Error       *fault.Fault `json:"error,omitempty"`
	Progress    *Progress    `json:"progress,omitempty"`
	Runs        int64        `json:"runs"`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at,omitzero"`
	*OptimalWeights
}

// OptimalWeights are what an optimization found. Figures are a year, and nil where they are not defined.
type OptimalWeights struct {
	Weights           map[string]float64  `json:"weights,omitempty"`
	AnnualReturn      *float64            `json:"annual_return"`
	AnnualVolatility  *float64            `json:"annual_volatility"`
	Sharpe            *float64            `json:"sharpe"`
	Risk              *float64            `json:"risk,omitempty"`
	RiskContributions map[string]float64  `json:"risk_contributions,omitempty"`
	AssetReturns      map[string]float64  `json:"asset_returns,omitempty"`
	Active            []ActiveConstraint  `json:"active,omitempty"`
	Points            []FrontierPoint     `json:"points,omitempty"`
	MinVolatility     *FrontierPoint      `json:"min_volatility,omitempty"`
	MaxSharpe         *FrontierPoint      `json:"max_sharpe,omitempty"`
	Distance          *Distance           `json:"distance,omitempty"`
	Inputs            OptimizationRequest `json:"inputs"`
	Data              OptimizationData    `json:"data"`
	Notes             []string            `json:"notes,omitempty"`
	Gap               *float64            `json:"gap,omitempty"`
	TookMS            float64             `json:"took_ms"`
}

// ActiveConstraint is one that holds an answer back.
type ActiveConstraint struct {
	Constraint string  `json:"constraint"`
	Price      float64 `json:"price"`
}

// FrontierPoint is a portfolio of a frontier.
type FrontierPoint struct {
	AnnualReturn     *float64           `json:"annual_return"`
	AnnualVolatility *float64           `json:"annual_volatility"`
	Sharpe           *float64           `json:"sharpe"`
	Weights          map[string]float64 `json:"weights"`
}

// Distance says how far a portfolio is from an answer.
type Distance struct {
	Turnover float64        `json:"turnover"`
	Trades   []events.Trade `json:"trades"`
}

// OptimizationData says what an answer was made of.
type OptimizationData struct {
	Symbols            []string   `json:"symbols"`
	First              civil.Date `json:"first"`
	AsOf               civil.Date `json:"as_of"`
	Observations       int        `json:"observations"`
	CommonObservations int        `json:"common_observations"`
	Repaired           bool       `json:"covariance_repaired"`
	Shrinkage          *float64   `json:"shrinkage,omitempty"`
	PortfolioVersion   int64      `json:"portfolio_version,omitempty"`
}

// OptimizationSummary is what a list says of an optimization.
type OptimizationSummary struct {
	ID               string    `json:"id"`
	Name             string    `json:"name,omitempty"`
	Objective        string    `json:"objective,omitempty"`
	PortfolioID      string    `json:"portfolio_id,omitempty"`
	Follow           bool      `json:"follow"`
	Status           string    `json:"status"`
	AnnualReturn     *float64  `json:"annual_return"`
	AnnualVolatility *float64  `json:"annual_volatility"`
	Sharpe           *float64  `json:"sharpe"`
	Turnover         *float64  `json:"turnover,omitempty"`
	CreatedAt        time.Time `json:"created_at"`
	UpdatedAt        time.Time `json:"updated_at,omitzero"`
}

// Optimize is the command that makes an optimization. Its id is that of the operation.
func Optimize(r OptimizationRequest) Command {
	return Command{Method: http.MethodPost, Path: "/v1/optimizations", ContentType: "application/json", Body: encode(r)}
}

// RepeatOptimization is the command that makes one once more, of the same days.
func RepeatOptimization(id string) Command {
	return Command{Method: http.MethodPost, Path: "/v1/optimizations/" + url.PathEscape(id) + "/repeat"}
}

// FollowOptimization is the command that has one follow its portfolio, or not any more.
func FollowOptimization(id string, follow bool) Command {
	return Command{
		Method:      http.MethodPut,
		Path:        "/v1/optimizations/" + url.PathEscape(id) + "/follow",
		ContentType: "application/json",
		Body:        encode(map[string]bool{"follow": follow}),
	}
}

// DeleteOptimization is the command that removes one.
func DeleteOptimization(id string) Command {
	return Command{Method: http.MethodDelete, Path: "/v1/optimizations/" + url.PathEscape(id)}
}

// Optimizations lists optimizations, the newest first; a portfolio picks those of it.
func (c *Client) Optimizations(
	ctx context.Context, p Page, portfolioID string,
) (Answer[api.List[OptimizationSummary]], error) {
	q := p.query()
	set(q, "portfolio_id", portfolioID)
	return Get[api.List[OptimizationSummary]](ctx, c, "/v1/optimizations", q)
}

// Optimization is one optimization.
func (c *Client) Optimization(ctx context.Context, id string) (Answer[Optimization], error) {
	return Get[Optimization](ctx, c, "/v1/optimizations/"+url.PathEscape(id), nil)
}

// AllocationRequest asks for the whole shares that an amount of money buys.
type AllocationRequest struct {
	Amount     string `json:"amount"`
	Method     string `json:"method,omitempty"`      // greedy or exact
	ShortRatio string `json:"short_ratio,omitempty"` // empty: each position is worth its weight of the amount
	Reinvest   bool   `json:"reinvest,omitempty"`
}

// Allocation is weights as whole shares.
type Allocation struct {
	OptimizationID string              `json:"optimization_id"`
	Amount         decimal.Decimal     `json:"amount"`
	Method         string              `json:"method"`
	ShortRatio     *decimal.Decimal    `json:"short_ratio,omitempty"`
	Reinvest       bool                `json:"reinvest,omitempty"`
	AsOf           civil.Date          `json:"as_of"`
	Positions      []AllocatedPosition `json:"positions"`
	Leftover       decimal.Decimal     `json:"leftover"` // of the long side, and of what may be sold short
	Cash           decimal.Decimal     `json:"cash"`     // after all trades
	RMSE           *float64            `json:"rmse"`
	Exact          bool                `json:"exact"`
}

// AllocatedPosition is the shares of one symbol; below zero, they are sold short.
type AllocatedPosition struct {
	Symbol string          `json:"symbol"`
	Shares int64           `json:"shares"`
	Price  decimal.Decimal `json:"price"`
	Date   civil.Date      `json:"date"`
	Value  decimal.Decimal `json:"value"`
	Weight float64         `json:"weight"`
}

// Allocate turns the weights of an optimization into whole shares. It changes nothing.
func (c *Client) Allocate(ctx context.Context, id string, r AllocationRequest) (Answer[Allocation], error) {
	return send[Allocation](ctx, c, http.MethodPost, "/v1/optimizations/"+url.PathEscape(id)+"/allocation", r)
}
