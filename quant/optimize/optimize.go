// Package optimize finds the weights of portfolios: of least volatility, highest Sharpe ratio or utility, the whole
// efficient frontier, the least tail loss or drawdown over scenarios, equal shares of risk, hierarchical risk parity,
// views of one's own (Black and Litterman), and in the end whole shares for an amount of money. All are pure
// functions without input or output; those that can take long stop with their context.
//
// A Problem is what the assets are expected to do and what the portfolio may be:
//
//	best, err := optimize.MaxSharpe(ctx, optimize.Problem{
//		Names: []string{"AAPL", "MSFT", "XOM"}, Returns: mu, Covariance: sigma, RiskFree: .02,
//		Constraints: optimize.Constraints{Groups: []optimize.Group{{Name: "tech", Assets: []int{0, 1}, Upper: .6}}},
//	})
//
// Weights are ratios of wealth. Without other bounds they are between 0 and 1, and they sum to one, or to zero with
// MarketNeutral. Returns, volatilities and covariances are of one period, which is a year wherever the suite uses
// them: the only rule is that all agree.
//
// What cannot be done is said in types: an *InvalidError names what is wrong with the numbers, an *InfeasibleError
// the constraints that contradict each other, an *UnboundedError an objective without an end, a *ConvergenceError a
// problem too ill conditioned. No function returns weights that break a constraint by more than about 1e-8.
//
// The mean-variance, tail and drawdown problems are solved by an interior point method of the package's own
// (internal/conic). Linear algebra is that of gonum.org/v1/gonum. gonum's own optimizers are a simplex for linear
// programs in standard form, and methods without constraints; no maintained Go library under a permissive licence
// solves quadratic programs with bounds and a cone, or uses the structure of thousands of scenarios.
package optimize

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"stega/quant"
)

// Problem is a problem of mean and variance over N assets.
type Problem struct {
	Names      []string      // of the assets, for messages; nil: by number
	Returns    []float64     // expected returns a year; not needed for the least volatility
	Covariance *mat.SymDense // N×N, of returns a year
	RiskFree   float64       // a year
	Constraints
	// L2 adds L2·‖w‖² to what is minimised, which pulls the weights together. The rest is then wᵀΣw, or −(wᵀμ −
	// δ/2·wᵀΣw) for utility, or −wᵀμ at a given risk. For the Sharpe ratio it is added in the transformed problem; see
	// MaxSharpe.
	L2 float64
	// Cost adds Cost·‖w − Before‖₁ to what is minimised: what trading costs, as a ratio of what is traded.
	Cost   float64
	Before []float64 // the weights held now; nil: none
	// Repair is what to do with a matrix that is no covariance because some portfolio would have a negative variance, as
	// matrices of pairs with different histories can be. Without one, it is an *InvalidError.
	Repair quant.RepairMethod
	// Progress, when there is one, is called after each iteration of a solver.
	Progress func(Progress)
}

// Progress is how far a solver is: the gap falls to about 1e-10.
type Progress struct {
	Iteration int
	Gap       float64
}

// Constraints are what a portfolio may be. The zero value is weights between 0 and 1 that sum to one.
type Constraints struct {
	// Bounds are those of each asset, or one for all. Nil is [0, 1], or [−1, 1] with MarketNeutral.
	Bounds        []Bound
	Groups        []Group
	Linear        []Linear
	MarketNeutral bool // the weights sum to zero instead of one
}

// Bound limits one weight. Infinite values are no limit.
type Bound struct{ Lower, Upper float64 }

// Unbounded is no bound.
func Unbounded() Bound { return Bound{math.Inf(-1), math.Inf(1)} }

// Group limits the sum of the weights of some assets, such as a sector: Lower ≤ Σw ≤ Upper. Infinite values are no
// limit.
type Group struct {
	Name         string
	Assets       []int
	Lower, Upper float64
}

// Linear limits any linear function of the weights: Lower ≤ Coefficients·w ≤ Upper. Equal limits are an equation,
// infinite ones none.
type Linear struct {
	Name         string
	Coefficients []float64 // N
	Lower, Upper float64
}

// Portfolio is an answer.
type Portfolio struct {
	Weights    []float64
	Return     float64 // wᵀμ; NaN without expected returns
	Volatility float64 // √(wᵀΣw); NaN without a covariance
	Sharpe     float64 // (Return − RiskFree)/Volatility
	// Risk is what was minimised or bounded when that is not the volatility: conditional value or drawdown at risk per
	// period of the scenarios, or the semideviation a year. NaN otherwise.
	Risk       float64
	Active     []Active // the constraints that hold the answer back
	Iterations int
	Gap        float64  // relative distance from the optimum, at most
	Notes      []string // what was repaired or is doubtful
}

// Active is a constraint that holds the answer back. Price is by how much the objective would get better for each
// unit that the constraint gave way (for the Sharpe ratio, the objective of the transformed problem).
type Active struct {
	Constraint string
	Price      float64
}

// Clean sets weights below cutoff in size to zero and rounds the others to digits decimals, so that they still sum to
// the same, rounded: what rounding leaves is given to the weights that it moved most, one last digit each. A usual
// cutoff is 1e-4, and 5 digits.
func Clean(weights []float64, cutoff float64, digits int) []float64 {
	unit := math.Pow(10, float64(digits))
	out := make([]float64, len(weights))
	total, sum := 0.0, 0.0
	for i, w := range weights {
		total += w
		if math.Abs(w) >= cutoff {
			out[i] = math.Round(w * unit)
			sum += out[i]
		}
	}
	missing := math.Round(total*unit) - sum
	for math.Abs(missing) >= 1 {
		sign, at, most := math.Copysign(1, missing), -1, math.Inf(-1)
		for i, w := range weights {
			if out[i] == 0 {
				continue
			}
			if moved := sign * (w*unit - out[i]); moved > most {
				at, most = i, moved
			}
		}
		if at < 0 {
			break
		}
		out[at] += sign
		missing -= sign
	}
	for i := range out {
		out[i] = out[i]/unit + 0 // no −0
	}
	return out
}
