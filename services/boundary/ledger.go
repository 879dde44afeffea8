package boundary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/store"
)

// ledgerRow is a row of the table ledger.
type ledgerRow struct {
	bun.BaseModel `bun:"table:ledger"`

	ID         string `bun:",pk"`
	Stamp      string
	Command    string
	Service    string
	Subject    string
	EntityID   string
	Status     string
	Error      string
	Progress   string
	Outcome    string
	Waiting    string
	Shared     bool
	AcceptedAt int64
	FinishedAt int64
	SettledAt  int64
	ChangedAt  int64
}

// describe fills in the row from the state of the command.
func (r *ledgerRow) describe(t *tree) {
	if s := t.state; s.Status != "" {
		r.Command, r.Service, r.Subject, r.EntityID, r.Error = s.Command, s.Service, s.About, s.EntityID, string(
			s.Error)
		if r.Status != string(store.Running) || s.FinishedAt != nil {
			r.Status = s.Status
		}
		r.AcceptedAt = s.AcceptedAt.UnixMicro()
		if s.FinishedAt != nil {
			r.FinishedAt = s.FinishedAt.UnixMicro()
		}
	}
}

// alone serialises ledger transactions by a PostgreSQL advisory lock. Two concurrent ones would each see only their
// own receipts, and neither would find the operation settled.
func alone(ctx context.Context, tx *store.Tx) error {
	if tx.Dialect().Name() != dialect.PG {
		return nil
	}
	tx.Queue(tx.NewRaw("SELECT pg_advisory_xact_lock(hashtext('stega ledger'))"))
	return ctx.Err()
}

// cached is a tree, and the digest of what its operation waits for, at the stamp of its row.
type cached struct {
	stamp  string
	tree   *tree
	digest uint64
}

// maxCached bounds the trees in memory.
const maxCached = 4096

// ledgerTx is the ledger in one unit of work.
type ledgerTx struct {
	s          *Service
	tx         *store.Tx
	operations map[string]*operationState
	touched    []*operationState // to be evaluated
	settled    bool              // a rebuild
	views      []views           // that were rebuilt; nil: not read yet
}

// operationState is an operation in a ledgerTx.
type operationState struct {
	row     ledgerRow
	tree    *tree
	digest  uint64 // of what it waits for, as last published to those that depend on it; 0: not known
	touched bool
	changed bool
}

// withLedger opens the ledger for fn, which no other unit does at the same time, and writes what fn changed.
func (s *Service) withLedger(ctx context.Context, tx *store.Tx, fn func(*ledgerTx) error) error {
	if err := alone(ctx, tx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &ledgerTx{s: s, tx: tx, operations: map[string]*operationState{}}
	if err := fn(b); err != nil {
		return err
	}
	b.close()
	return nil
}

// load returns an operation of the ledger; an unknown one is empty.
func (b *ledgerTx) load(ctx context.Context, id string) (*operationState, error) {
	if b.operations[id] == nil {
		if err := b.fetch(ctx, []string{id}); err != nil {
			return nil, err
		}
	}
	return b.operations[id], nil
}

// fetch reads operations that are not loaded yet. A cached tree counts only when its stamp is that of the row: a unit
// that was rolled back leaves another tree behind.
func (b *ledgerTx) fetch(ctx context.Context, ids []string) error {
	var missing []string
	for _, id := range ids {
		if b.operations[id] == nil {
			b.operations[id] = &operationState{row: ledgerRow{ID: id, Outcome: Pending}, tree: newTree(id)}
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var rows []ledgerRow
	if err := b.tx.NewSelect().Model(&rows).Where("id IN (?)", bun.List(missing)).Scan(ctx); err != nil {
		return err
	}
	var unknown []string // whose trees are not in memory
	for _, row := range rows {
		a := b.operations[row.ID]
		a.row = row
		if c, ok := b.s.cache[row.ID]; ok && c.stamp == row.Stamp {
			a.tree, a.digest = c.tree, c.digest
		} else {
			unknown = append(unknown, row.ID)
		}
	}
	for _, id := range missing { // they may be changed: close puts them back
		delete(b.s.cache, id)
	}
	trees, err := b.s.grow(ctx, b.tx, unknown...)
	for id, t := range trees {
		b.operations[id].tree = t
	}
	return err
}

// grow builds trees from the entries in the database.
func (s *Service) grow(ctx context.Context, db bun.IDB, ids ...string) (map[string]*tree, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var kept []struct{ Operation, Body string }
	err := db.NewSelect().Table("receipts").Column("operation", "body").Where("operation IN (?)",
		bun.List(ids)).OrderExpr("stamp").Scan(ctx, &kept)
	if err != nil {
		return nil, err
	}
	trees := make(map[string]*tree, len(ids))
	for _, id := range ids {
		trees[id] = newTree(id)
	}
	for _, k := range kept {
		var e entry
		if err := json.Unmarshal([]byte(k.Body), &e); err != nil {
			return nil, fmt.Errorf("%w: of operation %s: %w", errUnreadable, k.Operation, err)
		}
		s.dropFormer(&e)
		trees[k.Operation].add(e)
	}
	return trees, nil
}

// dropFormer removes from an entry the services that handle a topic no more. What an earlier version of such a service
// had not handled is handled by none.
func (s *Service) dropFormer(e *entry) {
	for topic, services := range e.Subscriptions {
		e.Subscriptions[topic] = slices.DeleteFunc(services, func(service string) bool {
			return s.opts.Subscriptions != nil && !slices.Contains(s.opts.Subscriptions[topic], service)
		})
	}
}

// close writes the rows that changed, and caches the trees of open operations.
func (b *ledgerTx) close() {
	if b.settled {
		defer b.lookAgain()
	}
	var rows []*ledgerRow
	for id, a := range b.operations {
		if a.changed {
			rows = append(rows, &a.row)
		}
		if a.row.Stamp != "" && (a.row.Outcome != Settled || a.row.Shared) {
			b.s.keep(id, cached{a.row.Stamp, a.tree, a.digest})
		}
	}
	if len(rows) == 0 {
		return
	}
	slices.SortFunc(rows, func(x, y *ledgerRow) int { return strings.Compare(x.ID, y.ID) })
	b.tx.Queue(b.tx.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE").
		Set(
			"stamp = EXCLUDED.stamp, command = EXCLUDED.command, service = EXCLUDED.service, " +
				"subject = EXCLUDED.subject").
		Set(
			"entity_id = EXCLUDED.entity_id, status = EXCLUDED.status, error = EXCLUDED.error, outcome = " +
				"EXCLUDED.outcome").
		Set("waiting = EXCLUDED.waiting, shared = EXCLUDED.shared, accepted_at = EXCLUDED.accepted_at").
		Set("finished_at = EXCLUDED.finished_at, settled_at = EXCLUDED.settled_at, changed_at = EXCLUDED.changed_at"))
}

// keep caches a tree, in place of another one when there are many.
func (s *Service) keep(id string, c cached) {
	for other := range s.cache {
		if len(s.cache) < maxCached {
			break
		}
		delete(s.cache, other)
	}
	s.cache[id] = c
}

// sweep marks operations that wait for long as stalled, evaluates stalled and failed ones again now and then, and
// deletes old ones.
func (s *Service) sweep(ctx context.Context) error {
	now := time.Now()
	var errs []error
	for _, due := range []struct {
		outcomes []string
		since    time.Time
		rows     int64
	}{
		{[]string{Pending}, now.Add(-stalledAfter), sweepRows},
		{[]string{Stalled, Failed}, now.Add(-lookAgainAfter), lookAgainRows},
	} {
		var ids []string
		err := s.db.Read().NewSelect().Table("ledger").Column("id").Where("outcome <> ?", Settled).
			Where("outcome IN (?)",
				bun.List(due.outcomes)).
			Where("command <> '' AND changed_at < ?", due.since.UnixMicro()).OrderExpr("changed_at").Limit(due.rows).
			Scan(ctx,
				&ids)
		if err != nil {
			return err
		}
		for _, id := range ids { // one that cannot be read holds up no other
			if err := s.reconsider(ctx, id); err != nil {
				errs = append(errs, fmt.Errorf("sweep operation %s: %w", id, err))
			}
		}
	}
	return errors.Join(append(errs, s.forget(ctx, now))...)
}

// reconsider evaluates an operation that has been waiting for long.
func (s *Service) reconsider(ctx context.Context, id string) error {
	return s.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		return s.withLedger(ctx, tx, func(b *ledgerTx) error {
			a, err := b.load(ctx, id)
			if err != nil || a.row.Outcome == Settled || a.row.Command == "" {
				return err
			}
			b.touch(a)
			if err := b.reflect(ctx, a); err != nil {
				return err
			}
			return b.evaluate(ctx, a.row.Status != string(store.Running))
		})
	})
}

// Retention, and when an operation is stalled.
const (
	stalledAfter    = 5 * time.Second
	lookAgainAfter  = 5 * time.Minute     // at stalled and failed operations; a receipt changes them at once
	receiptsKept    = 24 * time.Hour      // the tree of a settled operation
	operationsKept  = 30 * 24 * time.Hour // the outcome of any, the settled and the others
	sweepRows       = 200
	lookAgainRows   = 50
	sweepEach       = time.Second
	forgetEach      = 10 * time.Minute
	forgetRows      = 2000
	unknownKeptOpen = 7 * 24 * time.Hour // without a command
)

func (s *Service) forget(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	due := now.Sub(s.forgot) >= forgetEach
	if due {
		s.forgot = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	before := func(d time.Duration) int64 { return now.Add(-d).UnixMicro() }
	const settled, over = `SELECT id FROM ledger WHERE settled_at > 0 AND settled_at < ?`,
		`SELECT id FROM ledger WHERE outcome <> 'settled'
			AND (command <> '' AND accepted_at < ? OR command = '' AND changed_at < ?)`
	kept, unknown := before(operationsKept), before(unknownKeptOpen)
	return s.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		tx.Queue(tx.NewRaw(`DELETE FROM receipts WHERE operation IN
			(`+settled+` AND EXISTS (SELECT 1 FROM receipts r WHERE r.operation = ledger.id) LIMIT ?)`,
			before(receiptsKept), forgetRows))
		tx.Queue(tx.NewRaw(`DELETE FROM dependents WHERE dependent IN (`+settled+`)`, before(receiptsKept)))
		tx.Queue(tx.NewRaw(`DELETE FROM ledger WHERE id IN (`+settled+` LIMIT ?)`, kept, forgetRows))
		// never settled
		for _, rows := range []string{"receipts WHERE operation", "dependents WHERE dependent", "ledger WHERE id"} {
			tx.Queue(tx.NewRaw(`DELETE FROM `+rows+` IN (`+over+` ORDER BY changed_at LIMIT ?)`, kept, unknown,
				forgetRows))
		}
		return nil
	})
}

// Run sweeps until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("the ledger is swept later", "error", err)
		}
	}
}
