package optimize

import (
	"fmt"
	"strings"
)

// InvalidError reports invalid input: a wrong number of values, a NaN, a limit below zero.
type InvalidError struct {
	Field  string // "returns", "covariance", …
	Asset  int    // index of the asset; −1: none
	Name   string // name of that asset
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

// InfeasibleError reports that no portfolio satisfies all constraints, and names those that contradict each other.
type InfeasibleError struct {
	Constraints []string // such as "budget", "lower bound of AAPL", "group tech", "target return"
	Detail      string   // one sentence
}

func (e *InfeasibleError) Error() string {
	return "no portfolio satisfies all constraints: " + e.Detail
}

func infeasible(constraints []string, format string, args ...any) error {
	return &InfeasibleError{Constraints: constraints, Detail: fmt.Sprintf(format, args...)}
}

// UnboundedError reports an objective without a best value.
type UnboundedError struct{ Detail string }

func (e *UnboundedError) Error() string { return "no optimal portfolio exists: " + e.Detail }

// ConvergenceError reports that the solver found no sufficiently exact result although one exists, because the
// problem's numbers differ too much in size.
type ConvergenceError struct {
	Iterations int
	Gap        float64 // of the best point, relative; so are the next two
	Primal     float64 // the worst violation of a constraint
	Dual       float64
}

func (e *ConvergenceError) Error() string {
	return fmt.Sprintf("no solution after %d iterations: gap %.1e, constraints %.1e, gradient %.1e", e.Iterations,
		e.Gap,
		e.Primal, e.Dual)
}

// list joins names, at most six of them.
func list(names []string) string {
	const most = 6
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(", and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
