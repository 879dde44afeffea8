package boundary

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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

// describe fills in what the tree knows of the command.
func (r *ledgerRow) describe(t *tree) {
	if s := t.state; s.Status != "" {
		r.Command, r.Service, r.Subject, r.EntityID, r.Error = s.Command, s.Service, s.About, s.EntityID, string(s.Error)
		if r.Status != string(store.Running) || s.FinishedAt != nil {
			r.Status = s.Status
		}
		r.AcceptedAt = s.AcceptedAt.UnixMicro()
		if s.FinishedAt != nil {
			r.FinishedAt = s.FinishedAt.UnixMicro()
		}
	}
}

// alone makes units that change the ledger take turns: two that know half each of what they must compare would both be wrong.
func alone(ctx context.Context, tx *store.Tx) error {
	if tx.Dialect().Name() != dialect.PG {
		return nil
	}
	tx.Later(tx.NewRaw("SELECT pg_advisory_xact_lock(hashtext('stega ledger'))"))
	return ctx.Err()
}

// cached is a tree as it was when its row had the stamp.
type cached struct {
	stamp string
	tree  *tree
}

// maxCached bounds the trees in memory.
const maxCached = 4096

// load reads an operation of the ledger; one that is not known is empty. A tree in memory is the one of the row only when their stamps are the
// same: a unit that was taken back leaves another one behind.
func (s *Service) load(ctx context.Context, tx *store.Tx, id string) (ledgerRow, *tree, error) {
	row := ledgerRow{ID: id, Outcome: Pending}
	err := tx.NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		delete(s.cache, id)
		return row, newTree(id), nil
	}
	if err != nil {
		return row, nil, err
	}
	c, ok := s.cache[id]
	delete(s.cache, id) // it will be changed: save puts it back
	if ok && c.stamp == row.Stamp {
		return row, c.tree, nil
	}
	t, err := grow(ctx, tx, id)
	return row, t, err
}

// grow makes a tree of what was kept.
func grow(ctx context.Context, db bun.IDB, id string) (*tree, error) {
	var bodies []string
	if err := db.NewSelect().Table("receipts").Column("body").Where("operation = ?", id).OrderExpr("stamp").Scan(ctx, &bodies); err != nil {
		return nil, err
	}
	t := newTree(id)
	for _, body := range bodies {
		var e entry
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return nil, fmt.Errorf("%w: of operation %s: %w", errUnreadable, id, err)
		}
		t.add(e)
	}
	return t, nil
}

// save writes the row, and keeps the tree in memory while the operation is open.
func (s *Service) save(_ context.Context, tx *store.Tx, row *ledgerRow, t *tree) error {
	tx.Later(tx.NewInsert().Model(row).On("CONFLICT (id) DO UPDATE").
		Set("stamp = EXCLUDED.stamp, command = EXCLUDED.command, service = EXCLUDED.service, subject = EXCLUDED.subject").
		Set("entity_id = EXCLUDED.entity_id, status = EXCLUDED.status, error = EXCLUDED.error, outcome = EXCLUDED.outcome").
		Set("waiting = EXCLUDED.waiting, shared = EXCLUDED.shared, accepted_at = EXCLUDED.accepted_at").
		Set("finished_at = EXCLUDED.finished_at, settled_at = EXCLUDED.settled_at, changed_at = EXCLUDED.changed_at"))
	if row.Outcome == Settled && !row.Shared {
		delete(s.cache, row.ID)
		return nil
	}
	for other := range s.cache {
		if len(s.cache) < maxCached {
			break
		}
		delete(s.cache, other)
	}
	s.cache[row.ID] = cached{row.Stamp, t}
	return nil
}

// sweep looks after operations that do not get on by themselves: those that wait for long are said to be stalled, and those that are settled are
// forgotten after a while.
func (s *Service) sweep(ctx context.Context) error {
	var late []string
	now := time.Now()
	err := s.db.Read().NewSelect().Table("ledger").Column("id").
		Where("outcome = ? AND command <> '' AND changed_at < ?", Pending, now.Add(-stalledAfter).UnixMicro()).Limit(sweepRows).Scan(ctx, &late)
	if err != nil {
		return err
	}
	for _, id := range late {
		err := s.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
			if err := alone(ctx, tx); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			row, t, err := s.load(ctx, tx, id)
			if err != nil || row.Outcome != Pending || row.Command == "" {
				return err
			}
			return s.judge(ctx, tx, &row, t, row.Status != string(store.Running))
		})
		if err != nil {
			return err
		}
	}
	return s.forget(ctx, now)
}

// How long things are kept, and when an operation is said to be stalled.
const (
	stalledAfter    = 5 * time.Second
	receiptsKept    = 24 * time.Hour      // the tree of a settled operation
	operationsKept  = 30 * 24 * time.Hour // its outcome
	sweepRows       = 200
	sweepEach       = time.Second
	forgetEach      = 10 * time.Minute
	forgetRows      = 2000
	unknownKeptOpen = 7 * 24 * time.Hour // what nobody ever submitted
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
	return s.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		tx.Later(tx.NewRaw(`DELETE FROM receipts WHERE operation IN
			(SELECT id FROM ledger WHERE settled_at > 0 AND settled_at < ? AND EXISTS (SELECT 1 FROM receipts r WHERE r.operation = ledger.id) LIMIT ?)`,
			before(receiptsKept), forgetRows))
		tx.Later(tx.NewRaw(`DELETE FROM dependents WHERE dependent IN (SELECT id FROM ledger WHERE settled_at > 0 AND settled_at < ?)`, before(receiptsKept)))
		tx.Later(tx.NewRaw(`DELETE FROM ledger WHERE id IN (SELECT id FROM ledger WHERE settled_at > 0 AND settled_at < ? LIMIT ?)`,
			before(operationsKept), forgetRows))
		for _, table := range []string{"receipts WHERE operation", "ledger WHERE id"} {
			tx.Later(tx.NewRaw(`DELETE FROM `+table+` IN (SELECT id FROM ledger WHERE command = '' AND changed_at < ?)`, before(unknownKeptOpen)))
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
