package optimization

import (
	"math"
	"time"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/quant"
	"stega/quant/optimize"
	"stega/store"
)

// Optimization is the answer about one. Weights are ratios of wealth, figures are a year, and null where they are not
// defined.
type Optimization struct {
	ID          string                `json:"id"` // that of the operation that made it, too
	Name        string                `json:"name,omitempty"`
	Objective   string                `json:"objective,omitempty"`
	PortfolioID string                `json:"portfolio_id,omitempty"`
	Follow      bool                  `json:"follow"`
	Status      store.OperationStatus `json:"status"`
	Error       *fault.Fault          `json:"error,omitempty"` // of the last run; the figures are then those of the last that succeeded
	Progress    *store.Progress       `json:"progress,omitempty"`
	Runs        int64                 `json:"runs"`
	CreatedAt   time.Time             `json:"created_at"`
	UpdatedAt   time.Time             `json:"updated_at,omitzero"`

	*Result
}

// Result is what an optimization found.
type Result struct {
	Weights          map[string]float64 `json:"weights,omitempty"`
	AnnualReturn     *float64           `json:"annual_return"` // as expected
	AnnualVolatility *float64           `json:"annual_volatility"`
	Sharpe           *float64           `json:"sharpe"`
	// Risk is that of the measure, when it is not the volatility: cvar and cdar of a day, semideviation a year.
	Risk              *float64           `json:"risk,omitempty"`
	RiskContributions map[string]float64 `json:"risk_contributions,omitempty"` // shares of the volatility, which sum to one
	AssetReturns      map[string]float64 `json:"asset_returns,omitempty"`      // what each was expected to return
	Active            []Active           `json:"active,omitempty"`

	Points        []Point `json:"points,omitempty"` // of a frontier
	MinVolatility *Point  `json:"min_volatility,omitempty"`
	MaxSharpe     *Point  `json:"max_sharpe,omitempty"`

	Distance *Distance `json:"distance,omitempty"` // of its portfolio from it
	Inputs   Request   `json:"inputs"`
	Data     Data      `json:"data"`
	Notes    []string  `json:"notes,omitempty"`
	Gap      *float64  `json:"gap,omitempty"` // relative distance from the optimum, at most
	TookMS   float64   `json:"took_ms"`
}

// Active is a constraint that holds the answer back, and by how much the objective gains for each unit that it gives
// way.
type Active struct {
	Constraint string  `json:"constraint"`
	Price      float64 `json:"price"`
}

// Point is a portfolio of a frontier.
type Point struct {
	AnnualReturn     *float64           `json:"annual_return"`
	AnnualVolatility *float64           `json:"annual_volatility"`
	Sharpe           *float64           `json:"sharpe"`
	Weights          map[string]float64 `json:"weights"`
}

// Data says what an answer was made of.
type Data struct {
	Symbols            []string   `json:"symbols"`
	First              civil.Date `json:"first"` // day with a return
	AsOf               civil.Date `json:"as_of"` // the last one
	Observations       int        `json:"observations"`
	CommonObservations int        `json:"common_observations"` // the fewest that an estimate is over
	Repaired           bool       `json:"covariance_repaired"`
	Shrinkage          *float64   `json:"shrinkage,omitempty"` // how far the covariance was drawn to its target
	PortfolioVersion   int64      `json:"portfolio_version,omitempty"`
}

// Distance says how far a portfolio is from an answer.
type Distance struct {
	Turnover float64        `json:"turnover"` // half the sum of what is to be traded, in parts of wealth
	Trades   []events.Trade `json:"trades"`
}

// finite is a number that JSON can carry, or nil.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// named are values by their symbols.
func named(symbols []string, values []float64) map[string]float64 {
	out := make(map[string]float64, len(symbols))
	for i, s := range symbols {
		if !math.IsNaN(values[i]) && !math.IsInf(values[i], 0) {
			out[s] = values[i]
		}
	}
	return out
}

// result is an answer without what it says of weights.
func (e *estimates) result() *Result {
	w := e.window
	return &Result{
		AssetReturns: named(w.symbols, e.expected), Inputs: *e.Request, Data: Data{
			Symbols: w.symbols, First: w.Rows[0].Day, AsOf: w.Rows[len(w.Rows)-1].Day, Observations: w.Days(), CommonObservations: e.common,
			Repaired: e.repaired, Shrinkage: e.intensity,
		},
	}
}

func (e *estimates) point(p *optimize.Portfolio) Point {
	return Point{
		AnnualReturn: finite(p.Return), AnnualVolatility: finite(p.Volatility), Sharpe: finite(p.Sharpe), Weights: named(e.window.symbols, p.Weights),
	}
}

// of is the answer that one portfolio is.
func (e *estimates) of(p *optimize.Portfolio) *Result {
	r, at := e.result(), e.point(p)
	r.Weights, r.AnnualReturn, r.AnnualVolatility, r.Sharpe = at.Weights, at.AnnualReturn, at.AnnualVolatility, at.Sharpe
	r.Risk, r.Gap, r.Notes = finite(p.Risk), finite(p.Gap), e.caveats(p.Notes)
	for _, a := range p.Active {
		r.Active = append(r.Active, Active{Constraint: a.Constraint, Price: a.Price})
	}
	if e.covariance != nil {
		r.RiskContributions = named(e.window.symbols, optimize.RiskContributions(e.covariance, p.Weights))
	}
	return r
}

// weighed is a portfolio of weights that no solver measured.
func (e *estimates) weighed(weights []float64) (*optimize.Portfolio, error) {
	variance, err := quant.PortfolioVariance(e.covariance, weights)
	if err != nil {
		return nil, err
	}
	p := &optimize.Portfolio{Weights: weights, Volatility: math.Sqrt(variance), Risk: math.NaN(), Gap: math.NaN()}
	for i, w := range weights {
		p.Return += w * e.expected[i]
	}
	p.Sharpe = (p.Return - e.RiskFree) / p.Volatility
	return p, nil
}
