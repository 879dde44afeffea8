package optimization

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/quant/optimize"
	"stega/store"
	"stega/text"
)

// job is one run of an optimization.
type job struct {
	*Service
	run       *bus.Run
	request   Request // with its defaults set
	symbols   []string
	seen      string // the revisions of the inputs that were read
	portfolio events.Portfolio
}

// run runs an optimization and stores it in the transaction that ends its operation. A failure is stored too, with its
// reason.
func (s *Service) run(ctx context.Context, run *bus.Run, c Run) error {
	inputs, err := json.Marshal(c.Request)
	if err != nil {
		return err
	}
	r := &row{
		ID: c.ID, Name: c.Request.Name, Folded: text.Fold(c.Request.Name), Objective: c.Request.Objective,
		PortfolioID: c.Request.PortfolioID, Inputs: string(inputs),
	}
	if err := errors.Join(s.checkQuota(ctx, s.db.Read()), checkNameFree(ctx, s.db.Read(), r)); err != nil {
		return err
	}
	j := &job{Service: s, run: run, request: c.Request}
	result, err := j.compute(ctx)
	if err != nil {
		if bus.IsPermanent(err) && ctx.Err() == nil {
			return errors.Join(s.storeFailure(ctx, r, err), err)
		}
		return err
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
		if c.Request.Follow {
			r.Follow = 1
		}
		r.CreatedAt = tx.Now().UnixMicro()
		if err := errors.Join(s.checkQuota(ctx, tx), checkNameFree(ctx, tx, r)); err != nil {
			return err
		}
		return j.storeResult(ctx, tx, r, result)
	})
}

// checkQuota returns a fault when the quota of optimizations is used up. It is checked before the work and again when
// the result is stored; concurrent runs may exceed it by a few.
func (s *Service) checkQuota(ctx context.Context, db bun.IDB) error {
	n, err := db.NewSelect().Table("optimizations").Count(ctx)
	if err != nil {
		return fmt.Errorf("count the optimizations: %w", err)
	}
	if n < int64(s.options.MaxSaved) {
		return nil
	}
	return fault.Conflict(
		"optimizations_too_many", "there are %d optimizations already, and an installation keeps at most %d", n,
		s.options.MaxSaved,
	).
		WithHint("delete those that are no longer needed: DELETE /v1/optimizations/ID")
}

// checkNameFree returns a fault when another optimization has the name.
func checkNameFree(ctx context.Context, db bun.IDB, r *row) error {
	if r.Folded == "" {
		return nil
	}
	taken, err := db.NewSelect().Table("optimizations").Where("folded = ? AND id <> ?", r.Folded, r.ID).Exists(ctx)
	if err != nil {
		return fmt.Errorf("look up the name of an optimization: %w", err)
	}
	if !taken {
		return nil
	}
	return fault.Conflict("name_taken", "there is an optimization named %q already", r.Name).
		WithHint("choose another name, or delete that one first")
}

// storeFailure stores a failed optimization, so that clients can read its reason. The operation fails in its own
// transaction right after.
func (s *Service) storeFailure(ctx context.Context, r *row, failure error) error {
	return s.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		r.CreatedAt, r.Folded = tx.Now().UnixMicro(), "" // its name stays free
		return saveFailure(tx, r, failure)
	})
}

// saveFailure stores the failure of a run in a row.
func saveFailure(tx *store.Tx, r *row, failure error) error {
	text, err := json.Marshal(fault.Of(failure))
	if err != nil {
		return err
	}
	r.Status, r.Error, r.UpdatedAt = store.Failed, string(text), tx.Now().UnixMicro()
	r.Runs++
	save(tx, r)
	return nil
}

// recompute runs an optimization that follows again, once its inputs are quiet. A failure is stored, and the
// optimization goes on following.
func (s *Service) recompute(ctx context.Context, run *bus.Run, c Recompute) error {
	if err := s.waitUntilQuiet(ctx, c.ID); err != nil {
		return err
	}
	r, err := find(ctx, s.db.Read(), c.ID)
	if err != nil || r == nil || r.Follow == 0 {
		return errors.Join(err, s.dequeue(ctx, run, c.ID))
	}
	request, err := r.request()
	if err != nil {
		return bus.Permanent(err)
	}
	j := &job{Service: s, run: run, request: request}
	result, failure := j.compute(ctx)
	if failure != nil && (!bus.IsPermanent(failure) || ctx.Err() != nil) {
		return failure
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := find(ctx, tx, c.ID)
		if err != nil || r == nil {
			return err
		}
		if failure == nil {
			return j.storeResult(ctx, tx, r, result)
		}
		if err := j.recordInputs(ctx, tx, r); err != nil {
			return err
		}
		return saveFailure(tx, r, failure)
	})
}

// dequeue removes an optimization from the queue that is not to run again.
func (s *Service) dequeue(ctx context.Context, run *bus.Run, id string) error {
	return run.Commit(ctx, func(_ context.Context, tx *store.Tx) error {
		tx.Queue(tx.NewRaw("UPDATE optimizations SET queued_at = 0 WHERE id = ?", id))
		return nil
	})
}

// compute reads the data, estimates and solves, within the time of the request.
func (j *job) compute(ctx context.Context) (*Result, error) {
	start := time.Now()
	j.request.fill()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(j.request.Timeout*float64(time.Second)), errTimeout)
	defer cancel()
	result, err := j.solve(ctx)
	if errors.Is(context.Cause(ctx), errTimeout) {
		return nil, timeoutFault(j.request.Timeout)
	}
	if err != nil {
		return nil, err
	}
	result.Data.PortfolioVersion, result.Distance = j.portfolio.Version, j.distance(result)
	result.TookMS = float64(time.Since(start).Microseconds()) / 1000
	return result, nil
}

// solve reads the inputs of a request and solves it.
func (j *job) solve(ctx context.Context) (*Result, error) {
	db := j.db.Read()
	j.symbols = j.request.Symbols
	if id := j.request.PortfolioID; id != "" {
		var err error
		if j.portfolio, err = loadPortfolio(ctx, db, id); err != nil {
			return nil, err
		}
		j.symbols = make([]string, len(j.portfolio.Assets))
		for i, a := range j.portfolio.Assets {
			j.symbols[i] = a.Symbol
		}
		if err := j.request.belongs(j.symbols); err != nil {
			return nil, err
		}
	}
	var err error
	if j.seen, err = revisions(
		ctx, db, j.request.PortfolioID, j.symbols,
	); err != nil { // before the data, so that later changes are detected
		return nil, err
	}
	e, err := newEstimates(ctx, db, &j.request, j.symbols)
	if err != nil {
		return nil, err
	}
	return e.solve(ctx, weightsOf(j.portfolio), j.reportProgress(ctx))
}

// progressDelay is the time before a run reports progress, so that short runs report none.
const progressDelay = 250 * time.Millisecond

// reportProgress returns a function that stores the progress of the solver in the operation.
func (j *job) reportProgress(ctx context.Context) func(optimize.Progress) {
	start := time.Now()
	return func(p optimize.Progress) {
		if time.Since(start) < progressDelay {
			return
		}
		text := "solving: step"
		if p.Gap > 0 && p.Gap < 1 {
			text = fmt.Sprintf("solving: gap 1e%.0f, step", math.Log10(p.Gap))
		}
		_ = j.run.Progress(ctx, int64(p.Iteration), 0, text) // a run goes on without progress
	}
}

// distance returns the distance of the portfolio from a result; nil without a portfolio.
func (j *job) distance(r *Result) *Distance {
	if j.portfolio.ID == "" || len(r.Weights) == 0 {
		return nil
	}
	current := weightsOf(j.portfolio)
	d := &Distance{Trades: []events.Trade{}}
	for _, s := range j.symbols {
		change := r.Weights[s] - current[s]
		d.Turnover += math.Abs(change) / 2
		if math.Abs(change) >= negligible {
			d.Trades = append(d.Trades, events.Trade{Symbol: s, From: current[s], To: r.Weights[s], Change: change})
		}
	}
	slices.SortStableFunc(d.Trades, func(a, b events.Trade) int {
		return cmp.Compare(math.Abs(b.Change), math.Abs(a.Change))
	})
	return d
}

// negligible is the change of a weight that is too small to trade.
const negligible = 1e-6

// storeResult stores and publishes a result. If the inputs changed meanwhile, the optimization stays in the queue.
func (j *job) storeResult(ctx context.Context, tx *store.Tx, r *row, result *Result) error {
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	if err := j.recordInputs(ctx, tx, r); err != nil {
		return err
	}
	r.Status, r.Answer, r.Error, r.UpdatedAt = store.Succeeded, string(text), "", tx.Now().UnixMicro()
	r.Runs++
	save(tx, r)
	return tx.Emit(completedEvent(r, result))
}

// recordInputs stores the revisions of the inputs. An optimization that follows is enqueued again when they changed
// meanwhile.
func (j *job) recordInputs(ctx context.Context, tx *store.Tx, r *row) error {
	r.Seen, r.QueuedAt = j.seen, 0
	if r.Follow == 0 {
		return nil
	}
	tx.Lock(nil, append([]string{"portfolio " + r.PortfolioID}, j.symbols...)) // later changes find the follower
	now, err := revisions(ctx, tx, r.PortfolioID, j.symbols)
	if err != nil || now == j.seen {
		return err
	}
	r.ChangedAt, r.QueuedAt = tx.Now().UnixMicro(), tx.Now().UnixMicro()
	return tx.Enqueue(j.Name(), Recompute{ID: r.ID})
}

// completedEvent returns the event of a result.
func completedEvent(r *row, result *Result) events.OptimizationCompleted {
	e := events.OptimizationCompleted{
		ID:               r.ID,
		Name:             r.Name,
		Objective:        r.Objective,
		PortfolioID:      r.PortfolioID,
		PortfolioVersion: result.Data.PortfolioVersion,
		AsOf:             result.Data.AsOf,
		AnnualReturn:     result.AnnualReturn,
		AnnualVolatility: result.AnnualVolatility,
		Sharpe:           result.Sharpe,
	}
	if len(result.Weights) > 0 {
		for _, s := range result.Data.Symbols {
			e.Symbols, e.Weights = append(e.Symbols, s), append(e.Weights, result.Weights[s])
		}
	}
	if result.Distance != nil {
		e.Turnover, e.Trades = &result.Distance.Turnover, result.Distance.Trades
	}
	return e
}
