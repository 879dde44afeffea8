// Package optimize computes the weights of portfolios. It covers least volatility, highest Sharpe ratio or utility,
// the whole efficient frontier, least tail loss or drawdown over scenarios, equal shares of risk, hierarchical risk
// parity and Black-Litterman views. It also allocates an amount of money to whole shares. All functions are pure,
// without input or output; those that may run long stop with their context.
//
// A Problem states what the assets are expected to do and which portfolios are allowed:
//
//	best, err := optimize.MaxSharpe(ctx, optimize.Problem{
//		Names: []string{"AAPL", "MSFT", "XOM"}, Returns: mu, Covariance: sigma, RiskFree: .02,
//		Constraints: optimize.Constraints{Groups: []optimize.Group{{Name: "tech", Assets: []int{0, 1}, Upper: .6}}},
//	})
//
// Weights are ratios of wealth. By default they are between 0 and 1 and sum to one; with MarketNeutral they sum to
// zero. Returns, volatilities and covariances are of one period, which must be the same for all; the suite uses a
// year.
//
// Failures have types. An *InvalidError names the invalid input. An *InfeasibleError names the constraints that
// contradict each other. An *UnboundedError reports an objective without an optimum, a *ConvergenceError a problem
// that is too ill conditioned. No returned weights break a constraint by more than about 1e-8.
//
// The package's own interior point method (internal/conic) solves the mean-variance, tail and drawdown problems;
// gonum.org/v1/gonum does the linear algebra. gonum's optimizers are a simplex for linear programs in standard form
// and methods without constraints. No maintained Go library under a permissive licence solves quadratic programs with
// bounds and a cone, or uses the structure of thousands of scenarios.
package optimize

import (
	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

// Problem is a mean-variance problem over N assets.
type Problem struct {
	Names      []string      // names of the assets, for messages; nil: by number
	Returns    []float64     // expected annual returns; not needed for the least volatility
	Covariance *mat.SymDense // N×N, of annual returns
	RiskFree   float64       // annual rate
	Constraints
	// L2 adds L2·‖w‖² to the minimised objective, which spreads the weights. The objective is wᵀΣw, or −(wᵀμ −
	// δ/2·wᵀΣw) for utility, or −wᵀμ at a given risk. For the Sharpe ratio it is added in the transformed problem;
	// see MaxSharpe.
	L2 float64
	// Cost adds Cost·‖w − Before‖₁ to the minimised objective: the cost of trading, as a ratio of the traded amount.
	Cost   float64
	Before []float64 // the current weights; nil: none
	// Repair names the repair of a matrix that is no covariance because some portfolio has a negative variance. Pairs
	// with different histories can give such a matrix. Without a repair it is an *InvalidError.
	Repair quant.RepairMethod
	// Progress, if set, is called after each iteration of a solver.
	Progress func(Progress)
}

// Progress reports how far a solver is: the gap falls to about 1e-10.
type Progress struct {
	Iteration int
	Gap       float64
}

// Constraints limit a portfolio. The zero value means weights between 0 and 1 that sum to one.
type Constraints struct {
	// Bounds has one bound for each asset, or one for all. Nil is [0, 1], or [−1, 1] with MarketNeutral.
	Bounds        []Bound
	Groups        []Group
	Linear        []Linear
	MarketNeutral bool // the weights sum to zero instead of one
}

// Bound limits one weight. An infinite value is no limit.
type Bound struct{ Lower, Upper float64 }

// Group limits the sum of the weights of some assets, such as a sector: Lower ≤ Σw ≤ Upper. An infinite value is no
// limit.
type Group struct {
	Name         string
	Assets       []int
	Lower, Upper float64
}

// Linear limits a linear function of the weights: Lower ≤ Coefficients·w ≤ Upper. Equal limits are an equation; an
// infinite value is no limit.
type Linear struct {
	Name         string
	Coefficients []float64 // N
	Lower, Upper float64
}

// Portfolio is the result of an optimization.
type Portfolio struct {
	Weights    []float64
	Return     float64 // wᵀμ; NaN without expected returns
	Volatility float64 // √(wᵀΣw); NaN without a covariance
	Sharpe     float64 // (Return − RiskFree)/Volatility
	// Risk is the minimised or bounded risk when that is not the volatility: conditional value or drawdown at risk
	// per period of the scenarios, or the annual semideviation. Otherwise NaN.
	Risk       float64
	Active     []Active // constraints that limit the result
	Iterations int
	Gap        float64  // upper bound of the relative distance from the optimum
	Notes      []string // repairs and doubts
}

// Active is a constraint that limits the result. Price is the gain of the objective for each unit by which the
// constraint is relaxed; for the Sharpe ratio, of the objective of the transformed problem.
type Active struct {
	Constraint string
	Price      float64
}
