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

// job is one optimization under way.
type job struct {
	*Service
	run     *bus.Run
	request Request // with its defaults
	symbols []string
	seen    string // what was known when the data were read
	held    events.Portfolio
}

// run makes an optimization and keeps it together with the success of its operation. One that cannot be is kept too,
// and says why.
func (s *Service) run(ctx context.Context, run *bus.Run, c Run) error {
	asked, err := json.Marshal(c.Request)
	if err != nil {
		return err
	}
	r := &row{ID: c.ID, Name: c.Request.Name, Folded: text.Fold(c.Request.Name), Objective: c.Request.Objective, PortfolioID: c.Request.PortfolioID, Asked: string(asked)}
	if err := errors.Join(s.room(ctx, s.db.Read()), unused(ctx, s.db.Read(), r)); err != nil {
		return err
	}
	j := &job{Service: s, run: run, request: c.Request}
	result, err := j.answer(ctx)
	if err != nil {
		if bus.IsPermanent(err) && ctx.Err() == nil {
			return errors.Join(s.keepFailure(ctx, r, err), err)
		}
		return err
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
		if c.Request.Follow {
			r.Follow = 1
		}
		r.CreatedAt = tx.Now().UnixMicro()
		if err := errors.Join(s.room(ctx, tx), unused(ctx, tx, r)); err != nil {
			return err
		}
		return j.keepAnswer(ctx, tx, r, result)
	})
}

// room refuses an optimization beyond the quota. It is looked at before the work and again when the answer is kept;
// the few that run at the same time may exceed it.
func (s *Service) room(ctx context.Context, db bun.IDB) error {
	n, err := db.NewSelect().Table("optimizations").Count(ctx)
	if err != nil {
		return fmt.Errorf("count the optimizations: %w", err)
	}
	if n < int64(s.options.MaxSaved) {
		return nil
	}
	return fault.Conflict("optimizations_too_many", "there are %d optimizations already, and an installation keeps at most %d", n, s.options.MaxSaved).
		WithHint("delete those that are no longer needed: DELETE /v1/optimizations/ID")
}

// unused refuses an optimization whose name another one has.
func unused(ctx context.Context, db bun.IDB, r *row) error {
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

// keepFailure keeps what cannot be, so that it can be looked at. The operation fails in a unit of its own, right after.
func (s *Service) keepFailure(ctx context.Context, r *row, failure error) error {
	return s.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		r.CreatedAt, r.Folded = tx.Now().UnixMicro(), "" // its name stays free
		return failed(tx, r, failure)
	})
}

func failed(tx *store.Tx, r *row, failure error) error {
	text, err := json.Marshal(fault.Of(failure))
	if err != nil {
		return err
	}
	r.Status, r.Error, r.UpdatedAt = store.Failed, string(text), tx.Now().UnixMicro()
	r.Runs++
	save(tx, r)
	return nil
}

// recompute makes an optimization that follows anew, once what it follows has come to rest. An answer that cannot be
// is kept as a failure, and it goes on following.
func (s *Service) recompute(ctx context.Context, run *bus.Run, c Recompute) error {
	if err := s.rest(ctx, c.ID); err != nil {
		return err
	}
	r, err := find(ctx, s.db.Read(), c.ID)
	if err != nil || r == nil || r.Follow == 0 {
		return errors.Join(err, s.leave(ctx, run, c.ID))
	}
	asked, err := r.request()
	if err != nil {
		return bus.Permanent(err)
	}
	j := &job{Service: s, run: run, request: asked}
	result, failure := j.answer(ctx)
	if failure != nil && (!bus.IsPermanent(failure) || ctx.Err() != nil) {
		return failure
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := find(ctx, tx, c.ID)
		if err != nil || r == nil {
			return err
		}
		if failure == nil {
			return j.keepAnswer(ctx, tx, r, result)
		}
		if err := j.settle(ctx, tx, r); err != nil {
			return err
		}
		return failed(tx, r, failure)
	})
}

// leave takes an optimization that is not to be made anew out of the queue.
func (s *Service) leave(ctx context.Context, run *bus.Run, id string) error {
	return run.Commit(ctx, func(_ context.Context, tx *store.Tx) error {
		tx.Queue(tx.NewRaw("UPDATE optimizations SET queued_at = 0 WHERE id = ?", id))
		return nil
	})
}

// answer reads, estimates and solves, within the time that the request allows.
func (j *job) answer(ctx context.Context) (*Result, error) {
	start := time.Now()
	j.request.fill()
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(j.request.Timeout*float64(time.Second)), errTimeUp)
	defer cancel()
	result, err := j.find(ctx)
	if errors.Is(context.Cause(ctx), errTimeUp) {
		return nil, timeUp(j.request.Timeout)
	}
	if err != nil {
		return nil, err
	}
	result.Data.PortfolioVersion, result.Distance = j.held.Version, j.distance(result)
	result.TookMS = float64(time.Since(start).Microseconds()) / 1000
	return result, nil
}

func (j *job) find(ctx context.Context) (*Result, error) {
	db := j.db.Read()
	j.symbols = j.request.Symbols
	if id := j.request.PortfolioID; id != "" {
		var err error
		if j.held, err = loadPortfolio(ctx, db, id); err != nil {
			return nil, err
		}
		j.symbols = make([]string, len(j.held.Assets))
		for i, a := range j.held.Assets {
			j.symbols[i] = a.Symbol
		}
		if err := j.request.belongs(j.symbols); err != nil {
			return nil, err
		}
	}
	var err error
	if j.seen, err = seen(ctx, db, j.request.PortfolioID, j.symbols); err != nil { // before the data, so that what comes between is noticed
		return nil, err
	}
	e, err := newEstimates(ctx, db, &j.request, j.symbols)
	if err != nil {
		return nil, err
	}
	return e.solve(ctx, weightsOf(j.held), j.tell(ctx))
}

// tellAfter keeps what is quick from writing about its progress.
const tellAfter = 250 * time.Millisecond

// tell says how far the solver is.
func (j *job) tell(ctx context.Context) func(optimize.Progress) {
	start := time.Now()
	return func(p optimize.Progress) {
		if time.Since(start) < tellAfter {
			return
		}
		text := "solving: step"
		if p.Gap > 0 && p.Gap < 1 {
			text = fmt.Sprintf("solving: gap 1e%.0f, step", math.Log10(p.Gap))
		}
		_ = j.run.Progress(ctx, int64(p.Iteration), 0, text) // that it cannot be told is no reason not to go on
	}
}

// distance is that of the portfolio from an answer; nil without one.
func (j *job) distance(r *Result) *Distance {
	if j.held.ID == "" || len(r.Weights) == 0 {
		return nil
	}
	held := weightsOf(j.held)
	d := &Distance{Trades: []events.Trade{}}
	for _, s := range j.symbols {
		change := r.Weights[s] - held[s]
		d.Turnover += math.Abs(change) / 2
		if math.Abs(change) >= dust {
			d.Trades = append(d.Trades, events.Trade{Symbol: s, From: held[s], To: r.Weights[s], Change: change})
		}
	}
	slices.SortStableFunc(d.Trades, func(a, b events.Trade) int { return cmp.Compare(math.Abs(b.Change), math.Abs(a.Change)) })
	return d
}

// dust is the change of a weight that nobody would trade for.
const dust = 1e-6

// keepAnswer writes an answer and tells it. What moved while it was being found makes it due again.
func (j *job) keepAnswer(ctx context.Context, tx *store.Tx, r *row, result *Result) error {
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if err := j.settle(ctx, tx, r); err != nil {
		return err
	}
	r.Status, r.Answer, r.Error, r.UpdatedAt = store.Succeeded, string(text), "", tx.Now().UnixMicro()
	r.Runs++
	save(tx, r)
	return tx.Emit(completed(r, result))
}

// settle says that an optimization has caught up with what it follows; when it has not, it stays in the queue and
// goes round again.
func (j *job) settle(ctx context.Context, tx *store.Tx, r *row) error {
	r.Seen, r.QueuedAt = j.seen, 0
	if r.Follow == 0 {
		return nil
	}
	tx.Lock(nil, append([]string{"portfolio " + r.PortfolioID}, j.symbols...)) // what moves from now on finds that it is followed
	now, err := seen(ctx, tx, r.PortfolioID, j.symbols)
	if err != nil || now == j.seen {
		return err
	}
	r.ChangedAt, r.QueuedAt = tx.Now().UnixMicro(), tx.Now().UnixMicro()
	return tx.Enqueue(j.Name(), Recompute{ID: r.ID})
}

// completed is what others hear of an answer.
func completed(r *row, result *Result) events.OptimizationCompleted {
	e := events.OptimizationCompleted{
		ID: r.ID, Name: r.Name, Objective: r.Objective, PortfolioID: r.PortfolioID, PortfolioVersion: result.Data.PortfolioVersion,
		AsOf: result.Data.AsOf, AnnualReturn: result.AnnualReturn, AnnualVolatility: result.AnnualVolatility, Sharpe: result.Sharpe,
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
