package optimization

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/uptrace/bun"
	"gonum.org/v1/gonum/mat"

	"stega/fault"
	"stega/quant"
	"stega/quant/optimize"
	"stega/series"
)

// estimates holds the estimates of a request: expected returns and risk, both annual.
type estimates struct {
	*Request
	window      *window
	expected    []float64
	covariance  *mat.SymDense // nil when the risk is measured over scenarios
	correlation *mat.SymDense // nil: it follows from the covariance
	scenarios   [][]float64   // the returns of each symbol by row, or nil
	common      int           // the fewest returns behind any estimate
	repaired    bool
	intensity   *float64 // of the shrinkage
	notes       []string
}

// newEstimates loads the window of a request and computes the estimates that its objective needs.
func newEstimates(ctx context.Context, db bun.IDB, r *Request, symbols []string) (*estimates, error) {
	w, err := load(ctx, db, symbols, r)
	if err != nil {
		return nil, err
	}
	e := &estimates{Request: r, window: w, common: w.Days()}
	if constant := w.constant(); len(constant) > 0 {
		e.note("the returns of %s are constant in the window, so that they bear no risk", brief(constant))
	}
	if e.expected, err = e.estimateReturns(ctx, db); err != nil {
		return nil, err
	}
	if r.scenarios() {
		if e.scenarios, err = w.complete(); err != nil {
			return nil, err
		}
		e.common = len(e.scenarios[0])
	}
	if r.Covariance != "" {
		if err := e.estimateCovariance(ctx); err != nil {
			return nil, err
		}
	}
	if len(r.Views) > 0 {
		if err := e.applyViews(); err != nil {
			return nil, err
		}
	}
	if e.common <= len(symbols) {
		e.note(
			"there are %d assets and only %d %s returns to estimate from, so that noise dominates the weights; "+
				"a shrunk covariance (ledoit_wolf, oas) is more stable", len(symbols), e.common, r.Frequency)
	}
	return e, nil
}

// note adds a note to the result.
func (e *estimates) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// estimateReturns estimates annual expected returns.
func (e *estimates) estimateReturns(ctx context.Context, db bun.IDB) ([]float64, error) {
	out := make([]float64, len(e.window.symbols))
	returns := e.window.Values
	if e.ExpectedReturns == ema {
		returns = e.window.ByDay().Values // the weights decay by days
	}
	for a, r := range returns {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch e.ExpectedReturns {
		case arithmetic:
			out[a] = quant.ArithmeticReturn(r, e.window.PerYear())
		case ema:
			out[a] = quant.ExponentialReturn(r, *e.ReturnSpan, quant.Geometric, e.window.PerYear())
		default:
			out[a] = quant.GeometricReturn(r, e.window.PerYear())
		}
	}
	if e.ExpectedReturns == capm {
		var err error
		if out, err = e.capm(ctx, db); err != nil {
			return nil, err
		}
	}
	for a, v := range out {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fault.Invalid("expected_return_undefined",
				"the expected return of %s cannot be estimated by %s over the window", e.window.symbols[a],
				e.ExpectedReturns).
				WithHint("choose another window or estimator, or leave the symbol out")
		}
	}
	return out, nil
}

// capm estimates returns by the capital asset pricing model, against the market symbol or the mean of all assets.
func (e *estimates) capm(ctx context.Context, db bun.IDB) ([]float64, error) {
	of := e.window.Mean()
	if e.Market != "" {
		w, err := load(ctx, db, []string{e.Market}, e.Request)
		if err != nil {
			return nil, err
		}
		of = w.alignTo(e.window.Rows)
		if n := countObserved(of); n < 2 {
			return nil, fault.Invalid("observations_too_few",
				"the market %s has %d %s returns over the same days as the symbols", e.Market, n, e.Frequency).
				WithHint("choose another window or market")
		}
	}
	return quant.CAPMReturns(e.window.Values, of, e.RiskFree, quant.Geometric, e.window.PerYear())
}

// alignTo returns the returns of the window's first symbol in the rows of another window; NaN where it has none.
func (w *window) alignTo(rows []series.Row) []float64 {
	at := make(map[series.Row]float64, len(w.Rows))
	for t, r := range w.Rows {
		at[w.Period(r)] = w.Values[0][t]
	}
	out := make([]float64, len(rows))
	for t, r := range rows {
		v, ok := at[w.Period(r)]
		if out[t] = v; !ok {
			out[t] = math.NaN()
		}
	}
	return out
}

// countObserved counts the values that are not NaN.
func countObserved(values []float64) int {
	n := 0
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}

// estimateCovariance estimates the annual covariance, and repairs it when it is not positive semidefinite.
func (e *estimates) estimateCovariance(ctx context.Context) error {
	m, err := quant.NewCoMoments(ctx, e.window.Values)
	if err != nil {
		return err
	}
	if err := e.covarianceBy(ctx, m); err != nil {
		return err
	}
	if err := e.checkPairs(m); err != nil {
		return err
	}
	if e.Missing != string(quant.MissingComplete) && e.Missing != string(quant.MissingZero) {
		for i := range e.window.symbols {
			for j := range i {
				e.common = min(e.common, m.Observations(i, j))
			}
		}
	}
	if e.Repair == noRepair {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fixed, repaired, err := quant.Repair(e.covariance, quant.RepairMethod(e.Repair))
	if err != nil {
		return fmt.Errorf("repair the covariance: %w", err)
	}
	if e.repaired = repaired; repaired {
		e.covariance = fixed
		e.note(
			"the covariance was not positive semidefinite, since its pairs cover different days; it was repaired: %s",
			e.Repair,
		)
	}
	return nil
}

// covarianceBy estimates the covariance by the method of the request.
func (e *estimates) covarianceBy(ctx context.Context, m *quant.CoMoments) error {
	missing := quant.Missing(e.Missing)
	var shrunk quant.Shrunk
	var err error
	switch e.Covariance {
	case semi:
		e.covariance, err = quant.Semicovariance(ctx, e.window.Values, e.Benchmark, missing, e.window.PerYear())
	case exponential:
		e.covariance, err = quant.ExponentialCovariance(
			ctx, e.window.Values, e.window.Ages(), *e.CovarianceSpan, e.window.PerYear(),
		)
	case ledoitWolf:
		shrunk, err = quant.LedoitWolf(
			ctx, e.window.Values, quant.ShrinkageTarget(e.ShrinkageTarget), missing, e.window.PerYear(),
		)
	case oas:
		shrunk, err = quant.OAS(ctx, e.window.Values, missing, e.window.PerYear())
	default:
		e.covariance, e.correlation = m.Covariance(e.window.PerYear()), m.Correlation()
	}
	if errors.Is(err, quant.ErrUndefined) {
		return e.window.tooFewCommon()
	}
	if shrunk.Covariance != nil {
		e.covariance, e.intensity = shrunk.Covariance, &shrunk.Intensity
	}
	if missing == quant.MissingComplete {
		complete, undefined := e.window.complete()
		if undefined != nil {
			return undefined
		}
		e.common = len(complete[0])
	}
	return err
}

// checkPairs returns a fault that names the first pair whose covariance is undefined.
func (e *estimates) checkPairs(m *quant.CoMoments) error {
	for i, a := range e.window.symbols {
		for j, b := range e.window.symbols[:i+1] {
			if v := e.covariance.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return fault.Invalid(
					"observations_too_few", "%s and %s have %d returns over the same days, too few for a covariance", b,
					a,
					m.Observations(i, j),
				).
					WithHint(
						"leave one of them out, choose another from and to, or use weekly or monthly returns " +
							"(frequency)")
			}
		}
	}
	return nil
}

// applyViews combines the expected returns with the views of the request (Black and Litterman).
func (e *estimates) applyViews() error {
	n := len(e.window.symbols)
	v := optimize.Views{Names: e.window.symbols, Covariance: e.covariance, Prior: e.expected, Tau: *e.Tau}
	switch e.Prior {
	case market, equal: // what a market of these capitalizations, or of equal ones, implies
		caps := make([]float64, n)
		for i, s := range e.window.symbols {
			if caps[i] = 1; e.Prior == market {
				caps[i] = e.MarketCaps[s]
			}
		}
		var err error
		if v.Prior, err = optimize.MarketImpliedReturns(e.covariance, caps, *e.RiskAversion, e.RiskFree); err != nil {
			return faultOf(err)
		}
	case zero:
		v.Prior = nil
	}
	at := positions(e.window.symbols)
	for _, own := range e.Views {
		view := optimize.View{Weights: make([]float64, n), Return: own.Return}
		for s, w := range own.weights() {
			view.Weights[at[s]] = w
		}
		if own.Confidence != nil {
			v.Uncertainty, view.Confidence = optimize.Idzorek, *own.Confidence
		}
		v.Views = append(v.Views, view)
	}
	posterior, err := optimize.BlackLitterman(v)
	if err != nil {
		return faultOf(err)
	}
	e.expected, e.covariance, e.correlation = posterior.Returns, posterior.Covariance, nil
	return nil
}

// weights returns the portfolio of a view, by symbol.
func (v View) weights() map[string]float64 {
	if v.Symbol == "" {
		return v.Weights
	}
	w := map[string]float64{v.Symbol: 1}
	if v.Over != "" {
		w[v.Over] = -1
	}
	return w
}

// allNotes returns the notes of the estimates and of the solver, without duplicates.
func (e *estimates) allNotes(more []string) []string {
	notes := e.notes
	for _, n := range more {
		if !strings.Contains(strings.Join(notes, "\n"), n) {
			notes = append(notes, n)
		}
	}
	return notes
}
