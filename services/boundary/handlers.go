package boundary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"stega/events"
	"stega/store"
)

func (s *Service) accepted(_ context.Context, tx *store.Tx, e events.OperationAccepted) error {
	s.enter(tx, e.ID, entry{Service: e.Service, State: &e.OperationState})
	return nil
}

func (s *Service) resolved(_ context.Context, tx *store.Tx, e events.OperationResolved) error {
	s.enter(tx, e.ID, entry{Service: e.Service, State: &e.OperationState})
	return nil
}

// progressed keeps the latest progress; one that comes late changes nothing.
func (s *Service) progressed(_ context.Context, tx *store.Tx, e events.OperationProgressed) error {
	b, err := json.Marshal(store.Progress{Done: e.Done, Total: e.Total, Text: e.Text, At: e.At})
	if err != nil {
		return err
	}
	tx.Queue(tx.NewRaw("UPDATE ledger SET progress = ?, status = ? WHERE id = ? AND finished_at = 0", string(b),
		string(store.Running), e.ID))
	return nil
}

// handled enters the receipts of one unit of work, by operation.
func (s *Service) handled(_ context.Context, tx *store.Tx, e events.Handled) error {
	by := map[string][]events.Receipt{}
	var operations []string
	for _, r := range e.Items {
		if by[r.Operation] == nil {
			operations = append(operations, r.Operation)
		}
		by[r.Operation] = append(by[r.Operation], r)
	}
	slices.Sort(operations)
	for _, id := range operations {
		s.enter(tx, id, entry{Service: e.Service, Receipts: by[id]})
	}
	return nil
}

// subscriptions records in an entry which services handle the topics that it names, so that a later version of the
// program evaluates it the same.
func (s *Service) subscriptions(e *entry) {
	note := func(emitted []events.Emitted) {
		for _, m := range emitted {
			if services := s.opts.Subscriptions[m.Topic]; m.Service == "" && len(services) > 0 {
				if e.Subscriptions == nil {
					e.Subscriptions = map[string][]string{}
				}
				e.Subscriptions[m.Topic] = services
			}
		}
	}
	if e.State != nil {
		note(e.State.Emitted)
	}
	for _, r := range e.Receipts {
		note(r.Emitted)
	}
}

// operationEntry is an entry for an operation.
type operationEntry struct {
	id    string
	entry entry
}

// enter records an entry for the ledger. All entries of a unit of work are added at its end, so that the ledger is
// read and written once for a batch of messages.
func (s *Service) enter(tx *store.Tx, id string, e entry) {
	s.subscriptions(&e)
	store.Collect(tx, "ledger", operationEntry{id, e}, s.post)
}

// post adds entries to the ledger and publishes what changed, for their operations and for those that depend on
// these.
func (s *Service) post(ctx context.Context, tx *store.Tx, entries []operationEntry) error {
	return s.withLedger(ctx, tx, func(b *ledgerTx) error {
		ids := make([]string, len(entries))
		for i, p := range entries {
			ids[i] = p.id
		}
		if err := b.fetch(ctx, ids); err != nil {
			return err
		}
		for _, p := range entries {
			if err := b.add(ctx, p); err != nil {
				return err
			}
		}
		return b.evaluate(ctx, false)
	})
}

// add adds an entry to its operation.
func (b *ledgerTx) add(ctx context.Context, p operationEntry) error {
	a, err := b.load(ctx, p.id)
	if err != nil {
		return err
	}
	foreign := len(a.tree.foreign)
	a.tree.add(p.entry)
	body, err := json.Marshal(p.entry)
	if err != nil {
		return err
	}
	a.row.Stamp = events.NewID()
	b.tx.Queue(b.tx.NewRaw("INSERT INTO receipts (operation, stamp, body) VALUES (?, ?, ?)", p.id, a.row.Stamp,
		string(body)))
	b.touch(a)
	for _, f := range a.tree.foreign[foreign:] {
		if err := b.depend(ctx, f.Operation, p.id); err != nil {
			return err
		}
	}
	return nil
}

// depend records that an operation waits for something that another operation accounts for.
func (b *ledgerTx) depend(ctx context.Context, other, dependent string) error {
	a, err := b.load(ctx, other)
	if err != nil {
		return err
	}
	b.tx.Queue(b.tx.NewRaw("INSERT INTO dependents (operation, dependent) VALUES (?, ?) ON CONFLICT DO NOTHING", other,
		dependent))
	if !a.row.Shared {
		a.row.Shared = true
		b.touch(a)
	}
	return nil
}

// touch marks an operation to be evaluated.
func (b *ledgerTx) touch(a *operationState) {
	if !a.touched {
		a.touched = true
		b.touched = append(b.touched, a)
	}
}

// evaluate sets the outcomes of the touched operations and, wherever what an operation waits for changed, of those
// that depend on it. An outcome follows from the trees alone, which do not change any more here. So it evaluates each
// operation once, in any order and however they depend on each other.
func (b *ledgerTx) evaluate(ctx context.Context, late bool) error {
	direct := len(b.touched)
	for i := 0; i < len(b.touched); i++ { //nolint:intrange // it grows on the way
		a := b.touched[i]
		before, written := a.row, a.changed
		changed, err := b.evaluateOne(ctx, a, late && i < direct)
		if err != nil {
			return err
		}
		// it still waits for the same, and since the same time
		if before.ChangedAt = a.row.ChangedAt; i >= direct && before == a.row {
			a.changed = written
		}
		if !changed || !a.row.Shared {
			continue
		}
		dependents, err := b.dependents(ctx, a.row.ID)
		if err != nil {
			return err
		}
		for _, d := range dependents {
			b.touch(d)
		}
	}
	return nil
}

// dependents loads the open operations that depend on one.
func (b *ledgerTx) dependents(ctx context.Context, id string) ([]*operationState, error) {
	var ids []string
	err := b.tx.NewSelect().Table("dependents").Column("dependent").Where("operation = ?", id).
		Where("NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.id = dependent AND outcome = ?)",
			Settled).OrderExpr("dependent").Scan(ctx, &ids)
	if err != nil {
		return nil, err
	}
	if err := b.fetch(ctx, ids); err != nil {
		return nil, err
	}
	var open []*operationState
	for _, id := range ids {
		if a := b.operations[id]; a.row.Outcome != Settled {
			open = append(open, a)
		}
	}
	return open, nil
}

// evaluateOne sets an operation's row by its tree and publishes a change. late means that the operation has waited
// for long. It reports whether what the operation waits for may have changed.
func (b *ledgerTx) evaluateOne(ctx context.Context, a *operationState, late bool) (changed bool, err error) {
	row, t := &a.row, a.tree
	open, err := b.waiting(ctx, t)
	if err != nil {
		return false, err
	}
	if row.Shared {
		if sum := digest(open); sum != a.digest {
			changed, a.digest = true, sum
			row.Stamp = events.NewID() // a unit that is rolled back leaves no digest behind
		}
	}
	was, waited := row.Outcome, row.Waiting
	row.Outcome = outcomeOf(t.resolved(), open)
	if row.Outcome == Pending && (late || was == Stalled && t.resolved()) {
		row.Outcome = Stalled
	}
	if was == Settled { // what is once settled stays so: all of it was committed
		row.Outcome = Settled
	}
	row.describe(t)
	row.Waiting = ""
	if row.Outcome == Stalled || row.Outcome == Failed {
		text, err := json.Marshal(named(open))
		if err != nil {
			return false, err
		}
		row.Waiting = string(text)
	}
	now := b.tx.Now()
	row.ChangedAt, a.changed = now.UnixMicro(), true
	switch {
	case row.Outcome == Settled && was != Settled:
		row.SettledAt = now.UnixMicro()
		if err := b.rebuilt(t); err != nil {
			return false, err
		}
		err = emitFor(b.tx, t.id, events.OperationSettled{
			ID:         t.id,
			Command:    t.state.Command,
			Service:    t.state.Service,
			About:      t.state.About,
			EntityID:   t.state.EntityID,
			Status:     row.Status,
			Error:      t.state.Error,
			AcceptedAt: t.state.AcceptedAt,
			FinishedAt: t.state.FinishedAt,
			SettledAt:  now,
		})
	case row.Waiting != "" && (row.Outcome != was || row.Waiting != waited):
		err = emitFor(b.tx, t.id,
			events.OperationStalled{ID: t.id, Outcome: row.Outcome, Waiting: named(open), At: now})
	}
	return changed, err
}

// maxWaiting bounds the list of what an operation waits for.
const maxWaiting = 20

// named returns the first of what an operation waits for; failures come first.
func named(open []events.Waiting) []events.Waiting {
	if len(open) <= maxWaiting {
		return open
	}
	failing := func(w events.Waiting) int {
		switch w.State {
		case events.ReceiptDead:
			return 0
		case events.ReceiptParked:
			return 1
		}
		return 2
	}
	open = slices.Clone(open)
	slices.SortStableFunc(open, func(a, b events.Waiting) int { return failing(a) - failing(b) })
	return open[:maxWaiting]
}

// digest returns a hash of what an operation waits for, which is never 0.
func digest(open []events.Waiting) uint64 {
	h := fnv.New64a()
	for _, w := range open {
		_, _ = fmt.Fprintf(h, "%q %q %q %q ", w.Message, w.Service, w.Handler, w.State)
	}
	return max(h.Sum64(), 1)
}

func emitFor(tx *store.Tx, id string, e events.Typed) error {
	cause := tx.Cause()
	defer tx.SetCause(cause)
	tx.SetCause(events.Envelope{ID: cause.ID, Correlation: id, TraceParent: cause.TraceParent})
	return tx.Emit(e)
}

// waiting lists what an operation waits for: its own messages, and those that it caused together with other
// operations, each with what followed from it. What else those operations wait for does not concern it.
func (b *ledgerTx) waiting(ctx context.Context, t *tree) ([]events.Waiting, error) {
	open := t.open()
	if len(t.foreign) == 0 {
		return open, nil
	}
	todo := slices.Clone(t.foreign)
	owners := make([]string, len(todo))
	for i, f := range todo {
		owners[i] = f.Operation
	}
	if err := b.fetch(ctx, owners); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(todo))
	for len(todo) > 0 {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if f.Operation == t.id || seen[f.ID] {
			continue
		}
		seen[f.ID] = true
		other, err := b.load(ctx, f.Operation)
		if err != nil {
			return nil, err
		}
		if other.row.Outcome == Settled {
			continue
		}
		n := other.tree.nodes[f.ID]
		if n == nil || !n.known {
			open = append(open, events.Waiting{Message: f.ID, Topic: f.Topic, Subject: f.Subject, State: pending,
				Since: t.state.AcceptedAt})
			continue
		}
		open = append(open, other.tree.waiting(n)...)
		for _, child := range n.children {
			todo = append(todo, other.tree.emitted(child))
		}
	}
	sortWaiting(open)
	return open, nil
}

var errUnreadable = errors.New("an entry of the ledger cannot be read")
