package optimization

import (
	"errors"
	"strings"

	"stega/fault"
	"stega/quant/optimize"
)

// faultOf says what a solver found to be wrong as a fault. Other errors stay as they are.
func faultOf(err error) error {
	var (
		invalid    *optimize.InvalidError
		infeasible *optimize.InfeasibleError
		unbounded  *optimize.UnboundedError
		diverged   *optimize.ConvergenceError
	)
	switch {
	case errors.As(err, &invalid):
		return fault.Invalid("optimization_undefined", "%s", err).WithHint("leave out the assets that this is about, or choose another window or estimator")
	case errors.As(err, &infeasible):
		f := fault.Invalid("optimization_infeasible", "%s", err).WithHint("loosen one of: %s", strings.Join(infeasible.Constraints, ", "))
		for _, c := range infeasible.Constraints {
			if at := pointerOf(c); at != "" {
				_ = f.With(fault.Item{Pointer: at, Detail: c})
			}
		}
		return f
	case errors.As(err, &unbounded):
		return fault.Invalid("optimization_unbounded", "%s", err).WithHint("give the weights bounds")
	case errors.As(err, &diverged):
		return fault.Invalid("optimization_not_converged", "%s", err).
			WithHint("the numbers of the problem differ too much in size: try covariance ledoit_wolf, or some l2, or leave out assets that are copies of others")
	}
	return err
}

// pointerOf is the part of a request that a constraint of the solver is from.
func pointerOf(constraint string) string {
	switch {
	case strings.HasPrefix(constraint, "group "):
		return "/groups"
	case strings.HasPrefix(constraint, "target"):
		return "/target"
	case strings.Contains(constraint, "bound"):
		return "/bounds"
	case constraint == "risk-free rate":
		return "/risk_free"
	case constraint == "cost":
		return "/transaction_costs"
	}
	return ""
}

// timeUp is how an optimization ends that takes longer than it may.
func timeUp(seconds float64) error {
	return fault.Conflict("optimization_timeout", "no answer was found within %g s", seconds).
		WithHint("allow more time with timeout (at most %d s), or take fewer assets or a shorter window", maxTimeout)
}

// errTimeUp is the cause of a context that ran out of the time of a request.
var errTimeUp = errors.New("the time of the optimization is up")
