package optimize

import (
	"fmt"
	"strings"
)

// InvalidError says that what was given is no problem: a wrong number of values, a NaN, a limit below zero.
type InvalidError struct {
	Field  string // "returns", "covariance", …
	Asset  int    // whose value it is; −1: nobody's
	Name   string // of that asset
	Detail string
}

func (e *InvalidError) Error() string {
	if e.Asset >= 0 {
		return fmt.Sprintf("%s of %s: %s", e.Field, e.Name, e.Detail)
	}
	return e.Field + ": " + e.Detail
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Asset: -1, Detail: fmt.Sprintf(format, args...)}
}

// InfeasibleError says that no portfolio keeps all constraints, and which of them contradict each other.
type InfeasibleError struct {
	Constraints []string // such as "budget", "lower bound of AAPL", "group tech", "target return"
	Detail      string   // a sentence
}

func (e *InfeasibleError) Error() string { return "no portfolio keeps all constraints: " + e.Detail }

func infeasible(constraints []string, format string, args ...any) error {
	return &InfeasibleError{Constraints: constraints, Detail: fmt.Sprintf(format, args...)}
}

// UnboundedError says that the objective has no best value.
type UnboundedError struct{ Detail string }

func (e *UnboundedError) Error() string { return "no portfolio is best: " + e.Detail }

// ConvergenceError says that the solver found no answer that is good enough, of a problem that has one: its numbers
// differ too much in size.
type ConvergenceError struct {
	Iterations int
	Gap        float64 // of the best point, relative; as the next two
	Primal     float64 // the worst violation of a constraint
	Dual       float64
}

func (e *ConvergenceError) Error() string {
	return fmt.Sprintf("no answer after %d iterations: gap %.1e, constraints %.1e, gradient %.1e", e.Iterations, e.Gap,
		e.Primal, e.Dual)
}

// list joins names, of which it says at most six.
func list(names []string) string {
	const most = 6
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(", and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
