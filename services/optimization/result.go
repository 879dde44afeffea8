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

// Optimization is the answer about an optimization. Weights are ratios of wealth, statistics are annual, and null where
// they are undefined.
type Optimization struct {
	ID          string                `json:"id"` // also the id of its operation
	Name        string                `json:"name,omitempty"`
	Objective   string                `json:"objective,omitempty"`
	PortfolioID string                `json:"portfolio_id,omitempty"`
	Follow      bool                  `json:"follow"`
	Status      store.OperationStatus `json:"status"`
	// Error is the fault of the last run; the statistics are those of the last success.
	Error     *fault.Fault    `json:"error,omitempty"`
	Progress  *store.Progress `json:"progress,omitempty"`
	Runs      int64           `json:"runs"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at,omitzero"`

	*Result
}

// Result is the result of a run.
type Result struct {
	Weights          map[string]float64 `json:"weights,omitempty"`
	AnnualReturn     *float64           `json:"annual_return"` // expected
	AnnualVolatility *float64           `json:"annual_volatility"`
	Sharpe           *float64           `json:"sharpe"`
	// Risk is the risk by the measure, when that is not the volatility: cvar and cdar are daily, semideviation is
	// annual.
	Risk *float64 `json:"risk,omitempty"`
	// shares of the volatility; they sum to 1
	RiskContributions map[string]float64 `json:"risk_contributions,omitempty"`
	AssetReturns      map[string]float64 `json:"asset_returns,omitempty"` // expected annual returns
	Active            []Active           `json:"active,omitempty"`

	Points        []Point `json:"points,omitempty"` // of a frontier
	MinVolatility *Point  `json:"min_volatility,omitempty"`
	MaxSharpe     *Point  `json:"max_sharpe,omitempty"`

	Distance *Distance `json:"distance,omitempty"` // of the portfolio from the result
	Inputs   Request   `json:"inputs"`
	Data     Data      `json:"data"`
	Notes    []string  `json:"notes,omitempty"`
	Gap      *float64  `json:"gap,omitempty"` // bound of the relative distance from the optimum
	TookMS   float64   `json:"took_ms"`
}

// Active is a binding constraint, with the gain of the objective for each unit that it is relaxed.
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

// Data describes the data behind a result.
type Data struct {
	Symbols            []string   `json:"symbols"`
	First              civil.Date `json:"first"` // first day with a return
	AsOf               civil.Date `json:"as_of"` // last day with a return
	Observations       int        `json:"observations"`
	CommonObservations int        `json:"common_observations"` // the fewest behind any estimate
	Repaired           bool       `json:"covariance_repaired"`
	Shrinkage          *float64   `json:"shrinkage,omitempty"` // weight of the target in the covariance
	PortfolioVersion   int64      `json:"portfolio_version,omitempty"`
}

// Distance is the distance of a portfolio from a result.
type Distance struct {
	Turnover float64        `json:"turnover"` // half the sum of the trades, as a ratio of wealth
	Trades   []events.Trade `json:"trades"`
}

// finite returns a number that JSON can represent, or nil.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// named returns finite values by their symbols.
func named(symbols []string, values []float64) map[string]float64 {
	out := make(map[string]float64, len(symbols))
	for i, s := range symbols {
		if !math.IsNaN(values[i]) && !math.IsInf(values[i], 0) {
			out[s] = values[i]
		}
	}
	return out
}

// result returns the result without weights and what follows from them.
func (e *estimates) result() *Result {
	w := e.window
	return &Result{
		AssetReturns: named(w.symbols, e.expected), Inputs: *e.Request, Data: Data{
			Symbols: w.symbols, First: w.Rows[0].Day, AsOf: w.Rows[len(w.Rows)-1].Day, Observations: w.Days(),
			CommonObservations: e.common,
			Repaired:           e.repaired, Shrinkage: e.intensity,
		},
	}
}

// point returns a portfolio as a point of a frontier.
func (e *estimates) point(p *optimize.Portfolio) Point {
	at := Point{
		AnnualReturn: finite(p.Return), AnnualVolatility: finite(p.Volatility), Sharpe: finite(p.Sharpe),
		Weights: named(e.window.symbols, p.Weights),
	}
	if e.riskless(p) {
		at.Sharpe = nil
	}
	return at
}

// riskless reports whether the volatility of a portfolio is 0 but for rounding: below a millionth of that of the most
// volatile symbol, or below 1e-7 a year. A ratio to it is no figure.
func (e *estimates) riskless(p *optimize.Portfolio) bool {
	most := 0.0
	for a, r := range e.window.Values {
		if e.covariance != nil {
			most = math.Max(most, math.Sqrt(e.covariance.At(a, a)))
		} else if v := quant.AnnualVolatility(r, e.window.PerYear()); v > most {
			most = v
		}
	}
	return p.Volatility < math.Max(1e-7, 1e-6*most)
}

// resultOf returns the result of one portfolio.
func (e *estimates) resultOf(p *optimize.Portfolio) *Result {
	r, at := e.result(), e.point(p)
	r.Weights, r.AnnualReturn, r.AnnualVolatility, r.Sharpe = at.Weights, at.AnnualReturn, at.AnnualVolatility,
		at.Sharpe
	r.Risk, r.Gap, r.Notes = finite(p.Risk), finite(p.Gap), e.allNotes(p.Notes)
	for _, a := range p.Active {
		r.Active = append(r.Active, Active{Constraint: a.Constraint, Price: a.Price})
	}
	switch {
	case e.riskless(p):
		r.Notes = append(r.Notes, "the portfolio bears no risk, so that its Sharpe ratio and its risk contributions "+
			"are undefined")
	case e.covariance != nil:
		r.RiskContributions = named(e.window.symbols, optimize.RiskContributions(e.covariance, p.Weights))
	}
	return r
}

// portfolioOf returns the portfolio of weights that no solver evaluated.
func (e *estimates) portfolioOf(weights []float64) (*optimize.Portfolio, error) {
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
