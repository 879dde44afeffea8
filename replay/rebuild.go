package replay

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// Views describes the read views that a service builds from the events of others, and how they are rebuilt.
type Views struct {
	Service  string
	Topics   []string // of their events
	Entities []Entities
	// Finish completes the rebuild after every entity has been replaced; nil: nothing to do.
	Finish func(ctx context.Context, tx *store.Tx) error
}

// Entities are owned by one service; columns of read views hold their keys.
type Entities struct {
	Owner string
	Keys  []Column
}

// Column names a column of a table.
type Column struct{ Table, Name string }

// patience is the time without progress after which another rebuild may replace one.
const patience = 15 * time.Minute

// rebuild is the row of the running rebuild.
type rebuild struct {
	operation string
	startedAt int64
	movedAt   int64
	owners    map[string]*progress
}

// progress is the progress with the entities of one owner.
type progress struct {
	Total  int64 `json:"total"`
	Listed bool  `json:"listed"` // all its pages have arrived
	Done   bool  `json:"done"`   // and the entities that it did not list have been requested
}

// Register adds the handlers of a running rebuild.
func (v *Views) Register(d *bus.Dispatcher) {
	bus.Handle(d, v.paged)
	bus.Handle(d, v.stalled)
}

// load returns the running rebuild, and locks it until the unit ends; nil without one.
func (v *Views) load(ctx context.Context, tx *store.Tx) (*rebuild, error) {
	query := "SELECT operation, started_at, moved_at, owners FROM rebuilds"
	if tx.Dialect().Name() == dialect.PG {
		query += " FOR UPDATE"
	}
	var r rebuild
	var owners string
	err := tx.QueryRowContext(ctx, query).Scan(&r.operation, &r.startedAt, &r.movedAt, &owners)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // no rebuild runs
	}
	if err != nil {
		return nil, fmt.Errorf("read the running rebuild: %w", err)
	}
	return &r, json.Unmarshal([]byte(owners), &r.owners)
}

// Start begins a rebuild as the operation of this unit of work. While another one is running it is refused.
func (v *Views) Start(ctx context.Context, tx *store.Tx) error {
	operation, now := tx.Cause().Correlation, tx.Now()
	r, err := v.load(ctx, tx)
	if err != nil {
		return err
	}
	if r != nil {
		cancelled, err := cancelled(ctx, tx, r.operation)
		if err != nil {
			return err
		}
		if !cancelled && now.Sub(time.UnixMicro(r.movedAt)) < patience {
			return fault.Conflict("rebuild_running", "the views of %s are being rebuilt by operation %s", v.Service,
				r.operation).
				WithHint("wait for it: GET /v1/operations/%s; or end it: POST /v1/operations/%s/cancel", r.operation,
					r.operation)
		}
		if err := v.end(ctx, tx, r, abandoned(r, cancelled)); err != nil {
			return err
		}
	}
	owners := map[string]*progress{}
	for _, e := range v.Entities {
		owners[e.Owner] = &progress{}
	}
	text, err := json.Marshal(owners)
	if err != nil {
		return err
	}
	// The replay carries the content of dead letters, which would block it.
	tx.Queue(tx.NewRaw("DELETE FROM parked WHERE state = ? AND topic IN (?)", store.Dead, bun.List(v.Topics)))
	tx.Queue(tx.NewRaw("DELETE FROM rebuild_keys"))
	tx.Queue(tx.NewRaw("INSERT INTO rebuilds (one, operation, started_at, moved_at, owners) VALUES (1, ?, ?, ?, ?)",
		operation, now.UnixMicro(), now.UnixMicro(), string(text)))
	return tx.Emit(events.ReplayRequested{Service: v.Service, Topics: v.Topics, Rebuild: operation})
}

func abandoned(r *rebuild, cancelled bool) *fault.Fault {
	if cancelled {
		return fault.Conflict("operation_cancelled", "the rebuild was cancelled; what it has replaced stays")
	}
	return fault.Unavailable("rebuild_abandoned", "the rebuild has made no progress since %s",
		time.UnixMicro(r.movedAt).UTC().Format(time.RFC3339)).
		WithHint("check with stega doctor that the services that own the data run, and rebuild again")
}

// cancelled reports whether the cancellation of an operation was requested.
func cancelled(ctx context.Context, tx *store.Tx, operation string) (bool, error) {
	var at int64
	err := tx.QueryRowContext(ctx, "SELECT cancel_requested_at FROM operations WHERE id = ?", operation).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return at != 0, err
}

// Running reports whether an event was replayed for the running rebuild.
func (v *Views) Running(ctx context.Context, tx *store.Tx, mark *events.Replay) (bool, error) {
	if mark == nil || mark.Rebuild == "" {
		return false, nil
	}
	operation, err := v.runningRebuild(ctx, tx)
	return operation == mark.Rebuild, err
}

// Skip returns nil instead of the failure of an event that met a damaged view during a rebuild. The replay still
// carries the event's content, and the event would block the replay.
func (v *Views) Skip(ctx context.Context, tx *store.Tx, failure error) error {
	if operation, err := v.runningRebuild(ctx, tx); err != nil || operation != "" {
		return err
	}
	return failure
}

// runningRebuild returns the operation of the running rebuild; empty without one.
func (v *Views) runningRebuild(ctx context.Context, tx *store.Tx) (string, error) {
	return store.Shared(tx, "rebuild under way", func() (string, error) {
		var operation string
		err := tx.QueryRowContext(ctx, "SELECT operation FROM rebuilds").Scan(&operation)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return operation, err
	})
}

// step is the contribution of a unit of work to a rebuild: a replaced entity, or a page.
type step struct {
	rebuild string
	owner   string
	key     string
	page    *events.ReplayPaged
}

// Replaced records that an event with the mark replaced an entity, completely if it is the last event of the entity.
func (v *Views) Replaced(tx *store.Tx, mark *events.Replay, owner, key string) {
	if mark != nil && mark.Rebuild != "" && mark.Last() {
		store.Collect(tx, "rebuild", step{rebuild: mark.Rebuild, owner: owner, key: key}, v.advance)
	}
}

func (v *Views) paged(_ context.Context, tx *store.Tx, e events.ReplayPaged) error {
	if e.Service == v.Service {
		store.Collect(tx, "rebuild", step{rebuild: e.Rebuild, owner: e.Owner, page: &e}, v.advance)
	}
	return nil
}

var (
	expect = store.NewUpsert("rebuild_keys", 2, "owner", "key", "replaced").Setting("replaced = rebuild_keys.replaced")
	note   = store.NewUpsert("rebuild_keys", 2, "owner", "key", "replaced")
)

// advance applies the steps of a unit of work, requests the next page, and ends the rebuild when everything has been
// replaced.
func (v *Views) advance(ctx context.Context, tx *store.Tx, steps []step) error {
	r, err := v.load(ctx, tx)
	if err != nil || r == nil {
		return err
	}
	var pages []*events.ReplayPaged
	moved := false
	for _, s := range steps {
		p := r.owners[s.owner]
		if s.rebuild != r.operation || p == nil {
			continue
		}
		moved = true
		if s.page == nil {
			tx.Put(note, s.owner, s.key, 1)
			continue
		}
		for _, key := range s.page.Keys {
			tx.Put(expect, s.owner, key, 0)
		}
		p.Total = max(p.Total, s.page.Total)
		pages = append(pages, s.page)
	}
	if !moved {
		return nil
	}
	if cancelled, err := cancelled(ctx, tx, r.operation); err != nil {
		return err
	} else if cancelled {
		return v.end(ctx, tx, r, abandoned(r, true))
	}
	for _, page := range pages {
		if err := v.follow(ctx, tx, r, page); err != nil {
			return err
		}
	}
	return v.save(ctx, tx, r, len(pages) > 0)
}

// follow requests what comes after a page: the next page, or the local entities that the owner has not listed.
func (v *Views) follow(ctx context.Context, tx *store.Tx, r *rebuild, page *events.ReplayPaged) error {
	request := events.ReplayRequested{Service: v.Service, Topics: v.Topics, Rebuild: r.operation, Owner: page.Owner}
	p := r.owners[page.Owner]
	if page.More {
		request.After = page.Keys[len(page.Keys)-1]
		return tx.Emit(request)
	}
	p.Listed = true
	for _, e := range v.Entities {
		if e.Owner != page.Owner {
			continue
		}
		for _, c := range e.Keys {
			var keys []string
			err := tx.NewRaw("SELECT DISTINCT ? FROM ? AS v WHERE NOT EXISTS "+
				"(SELECT 1 FROM rebuild_keys k WHERE k.owner = ? AND k.key = v.?) LIMIT ?",
				bun.Ident(c.Name), bun.Ident(c.Table), e.Owner, bun.Ident(c.Name), pageKeys).Scan(ctx, &keys)
			if err != nil {
				return fmt.Errorf("find entities that %s has not replayed: %w", e.Owner, err)
			}
			if len(keys) == 0 {
				continue
			}
			for _, key := range keys {
				tx.Put(expect, e.Owner, key, 0)
			}
			request.Keys = keys
			return tx.Emit(request)
		}
	}
	p.Done = true
	return nil
}

// save stores the progress of the rebuild, and ends it when everything has been replaced.
func (v *Views) save(ctx context.Context, tx *store.Tx, r *rebuild, paged bool) error {
	all, total := true, int64(0)
	for _, p := range r.owners {
		all = all && p.Done
		total += p.Total
	}
	var replaced, left int64
	if all || paged {
		err := tx.QueryRowContext(ctx,
			"SELECT coalesce(sum(replaced), 0), coalesce(sum(1 - replaced), 0) FROM rebuild_keys").
			Scan(&replaced, &left)
		if err != nil {
			return fmt.Errorf("count replaced entities: %w", err)
		}
	}
	if all && left == 0 {
		if v.Finish != nil {
			if err := v.Finish(ctx, tx); err != nil {
				return err
			}
		}
		return v.end(ctx, tx, r, nil)
	}
	text, err := json.Marshal(r.owners)
	if err != nil {
		return err
	}
	tx.Queue(tx.NewRaw("UPDATE rebuilds SET moved_at = ?, owners = ?", tx.Now().UnixMicro(), string(text)))
	if !paged {
		return nil
	}
	return store.OperationsOf(tx).Progress(r.operation,
		store.Progress{Done: replaced, Total: max(total, replaced+left), Text: "entities replaced"})
}

// end ends the rebuild and its operation, with success when f is nil.
func (v *Views) end(ctx context.Context, tx *store.Tx, r *rebuild, f *fault.Fault) error {
	tx.Queue(tx.NewRaw("DELETE FROM rebuilds"))
	tx.Queue(tx.NewRaw("DELETE FROM rebuild_keys"))
	var open int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM operations WHERE id = ? AND finished_at = 0",
		r.operation).Scan(&open)
	if err != nil || open == 0 {
		return err
	}
	cause := tx.Cause()
	defer tx.SetCause(cause)
	tx.SetCause(events.Envelope{ID: r.operation, Correlation: r.operation, TraceParent: cause.TraceParent})
	return store.OperationsOf(tx).Finish(ctx, r.operation, f)
}

// stalled fails a rebuild whose replay was given up.
func (v *Views) stalled(ctx context.Context, tx *store.Tx, e events.OperationStalled) error {
	for _, w := range e.Waiting {
		if w.State != events.ReceiptDead || w.Service != v.Service && w.Topic != (events.ReplayRequested{}).Topic() {
			continue
		}
		r, err := v.load(ctx, tx)
		if err != nil || r == nil || r.operation != e.ID {
			return err
		}
		return v.end(ctx, tx, r,
			fault.Conflict("rebuild_incomplete", "%s gave up %s of %s after %d attempts: %s", w.Service,
				w.Topic, w.Subject, w.Attempts, w.Error).
				WithHint("see it with: stega dead list; fix the cause, and rebuild again"))
	}
	return nil
}
