package optimization

import (
	"errors"
	"strings"

	"stega/fault"
	"stega/quant/optimize"
)

// faultOf turns an error of a solver into a fault, and returns other errors unchanged.
func faultOf(err error) error {
	var (
		invalid    *optimize.InvalidError
		infeasible *optimize.InfeasibleError
		unbounded  *optimize.UnboundedError
		diverged   *optimize.ConvergenceError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Field == "views":
		return fault.Invalid("optimization_undefined", "%s", err).
			With(fault.Item{Pointer: "/views", Detail: invalid.Detail}).
			WithHint("change the return of one of them, or give one a confidence below 1")
	case errors.As(err, &invalid):
		return fault.Invalid("optimization_undefined", "%s", err).
			WithHint("leave out the assets that are named, or choose another window or estimator")
	case errors.As(err, &infeasible):
		f := fault.Invalid("optimization_infeasible", "%s", err).
			WithHint("loosen one of: %s", strings.Join(infeasible.Constraints, ", "))
		for _, c := range infeasible.Constraints {
			if at := constraintPointer(c); at != "" {
				_ = f.With(fault.Item{Pointer: at, Detail: c})
			}
		}
		return f
	case errors.As(err, &unbounded):
		return fault.Invalid("optimization_unbounded", "%s", err).WithHint("set bounds of the weights")
	case errors.As(err, &diverged):
		return fault.Invalid("optimization_not_converged", "%s", err).
			WithHint("the numbers of the problem differ too much in size: " +
				"try covariance ledoit_wolf or some l2, or leave out assets that are copies of others")
	}
	return err
}

// constraintPointer returns the field of a request that a constraint of the solver comes from, or nothing.
func constraintPointer(constraint string) string {
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

// timeoutFault returns the fault of an optimization that exceeds its time.
func timeoutFault(seconds float64) error {
	return fault.Conflict("optimization_timeout", "the solver found no result within %g s", seconds).
		WithHint("allow more time with timeout (at most %d s), or take fewer assets or a shorter window", maxTimeout)
}

// errTimeout is the cause of a context that exceeds the time of a request.
var errTimeout = errors.New("the optimization exceeded its time")
