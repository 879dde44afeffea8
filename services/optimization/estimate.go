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

// estimates are what the assets are expected to do, a year.
type estimates struct {
	*Request
	window      *window
	expected    []float64
	covariance  *mat.SymDense // nil when the risk is that of the days themselves
	correlation *mat.SymDense // nil: that of the covariance
	scenarios   [][]float64   // the days themselves, or nil
	common      int           // the fewest days that any estimate is over
	repaired    bool
	intensity   *float64 // of a shrinkage
	notes       []string
}

// newEstimates makes what an objective needs of a window.
func newEstimates(ctx context.Context, db bun.IDB, r *Request, symbols []string) (*estimates, error) {
	w, err := load(ctx, db, symbols, r)
	if err != nil {
		return nil, err
	}
	e := &estimates{Request: r, window: w, common: w.Days()}
	if still := w.still(); len(still) > 0 {
		e.note("the returns of %s are constant in the window, so that holding them bears no risk at all", brief(still))
	}
	if e.expected, err = e.expect(ctx, db); err != nil {
		return nil, err
	}
	if r.scenarios() {
		if e.scenarios, err = w.complete(); err != nil {
			return nil, err
		}
		e.common = len(e.scenarios[0])
	}
	if r.Covariance != "" {
		if err := e.cover(ctx); err != nil {
			return nil, err
		}
	}
	if len(r.Views) > 0 {
		if err := e.believe(); err != nil {
			return nil, err
		}
	}
	if e.common <= len(symbols) {
		e.note("there are %d assets and no more than %d %s returns to estimate them from: the weights follow chance more than the assets; a shrunk covariance (ledoit_wolf, oas) is steadier", len(symbols), e.common, r.Frequency)
	}
	return e, nil
}

func (e *estimates) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// expect estimates expected returns a year.
func (e *estimates) expect(ctx context.Context, db bun.IDB) ([]float64, error) {
	out := make([]float64, len(e.window.symbols))
	returns := e.window.Values
	if e.ExpectedReturns == ema {
		returns = e.window.ByDay().Values // whose weights fade by days
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
			return nil, fault.Invalid("expected_return_undefined", "what %s is expected to return cannot be estimated by %s over the window", e.window.symbols[a], e.ExpectedReturns).
				WithHint("choose another window or estimator, or leave the symbol out")
		}
	}
	return out, nil
}

func (e *estimates) capm(ctx context.Context, db bun.IDB) ([]float64, error) {
	of := e.window.Mean()
	if e.Market != "" {
		w, err := load(ctx, db, []string{e.Market}, e.Request)
		if err != nil {
			return nil, err
		}
		of = w.on(e.window.Rows)
		if n := observed(of); n < 2 {
			return nil, fault.Invalid("observations_too_few", "the market %s has %d %s returns of the same days as the symbols", e.Market, n, e.Frequency).WithHint("choose another window or market")
		}
	}
	return quant.CAPMReturns(e.window.Values, of, e.RiskFree, quant.Geometric, e.window.PerYear())
}

// on are the returns of the first symbol of a window in the rows of another; NaN where there is none.
func (w *window) on(rows []series.Row) []float64 {
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

func observed(values []float64) int {
	n := 0
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}

// cover estimates the covariance a year, and repairs what is none.
func (e *estimates) cover(ctx context.Context) error {
	m, err := quant.NewCoMoments(ctx, e.window.Values)
	if err != nil {
		return err
	}
	if err := e.estimate(ctx, m); err != nil {
		return err
	}
	if err := e.paired(m); err != nil {
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
		e.note("the covariance was not positive semidefinite, as that of pairs with different days can be, and was repaired: %s", e.Repair)
	}
	return nil
}

func (e *estimates) estimate(ctx context.Context, m *quant.CoMoments) error {
	missing := quant.Missing(e.Missing)
	var shrunk quant.Shrunk
	var err error
	switch e.Covariance {
	case semi:
		e.covariance, err = quant.Semicovariance(ctx, e.window.Values, e.Benchmark, missing, e.window.PerYear())
	case exponential:
		e.covariance, err = quant.ExponentialCovariance(ctx, e.window.Values, e.window.Ages(), *e.CovarianceSpan, e.window.PerYear())
	case ledoitWolf:
		shrunk, err = quant.LedoitWolf(ctx, e.window.Values, quant.ShrinkageTarget(e.ShrinkageTarget), missing, e.window.PerYear())
	case oas:
		shrunk, err = quant.OAS(ctx, e.window.Values, missing, e.window.PerYear())
	default:
		e.covariance, e.correlation = m.Covariance(e.window.PerYear()), m.Correlation()
	}
	if errors.Is(err, quant.ErrUndefined) {
		return e.window.apart()
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

// paired refuses a matrix with cells that cannot be estimated, and names the first.
func (e *estimates) paired(m *quant.CoMoments) error {
	for i, a := range e.window.symbols {
		for j, b := range e.window.symbols[:i+1] {
			if v := e.covariance.At(i, j); math.IsNaN(v) || math.IsInf(v, 0) {
				return fault.Invalid("observations_too_few", "%s and %s have %d returns between the same days, which are too few for a covariance", b, a, m.Observations(i, j)).
					WithHint("leave one of them out, choose another from and to, or take weekly or monthly returns (frequency)")
			}
		}
	}
	return nil
}

// believe puts views over what is expected without them (Black and Litterman).
func (e *estimates) believe() error {
	n := len(e.window.symbols)
	v := optimize.Views{Names: e.window.symbols, Covariance: e.covariance, Prior: e.expected, Tau: *e.Tau}
	switch e.Prior {
	case market:
		caps := make([]float64, n)
		for i, s := range e.window.symbols {
			caps[i] = e.MarketCaps[s]
		}
		var err error
		if v.Prior, err = optimize.MarketImpliedReturns(e.covariance, caps, *e.RiskAversion, e.RiskFree); err != nil {
			return faultOf(err)
		}
	case equal:
		v.Prior = optimize.EqualWeights(n)
	case zero:
		v.Prior = nil
	}
	at := positions(e.window.symbols)
	for _, said := range e.Views {
		view := optimize.View{Weights: make([]float64, n), Return: said.Return}
		for s, w := range said.weights() {
			view.Weights[at[s]] = w
		}
		if said.Confidence != nil {
			v.Uncertainty, view.Confidence = optimize.Idzorek, *said.Confidence
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

// weights are the portfolio that a view is about.
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

// caveats are the notes of estimates and solver, each once.
func (e *estimates) caveats(more []string) []string {
	notes := e.notes
	for _, n := range more {
		if !strings.Contains(strings.Join(notes, "\n"), n) {
			notes = append(notes, n)
		}
	}
	return notes
}
