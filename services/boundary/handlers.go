package boundary

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"stega/events"
	"stega/store"
)

func (s *Service) accepted(ctx context.Context, tx *store.Tx, e events.OperationAccepted) error {
	return s.enter(ctx, tx, e.ID, entry{Service: e.Service, State: &e.OperationState})
}

func (s *Service) resolved(ctx context.Context, tx *store.Tx, e events.OperationResolved) error {
	return s.enter(ctx, tx, e.ID, entry{Service: e.Service, State: &e.OperationState})
}

// progressed keeps the last word; one that comes too late changes nothing.
func (s *Service) progressed(_ context.Context, tx *store.Tx, e events.OperationProgressed) error {
	b, err := json.Marshal(store.Progress{Done: e.Done, Total: e.Total, Text: e.Text, At: e.At})
	if err != nil {
		return err
	}
	tx.Later(tx.NewRaw("UPDATE ledger SET progress = ?, status = ? WHERE id = ? AND finished_at = 0", string(b), string(store.Running), e.ID))
	return nil
}

// handled takes in the receipts of one unit of work, by operation.
func (s *Service) handled(ctx context.Context, tx *store.Tx, e events.Handled) error {
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
		if err := s.enter(ctx, tx, id, entry{Service: e.Service, Receipts: by[id]}); err != nil {
			return err
		}
	}
	return nil
}

// takes says which services take the topics that an entry names, so that a later version of the program judges it no differently.
func (s *Service) takes(e *entry) {
	note := func(emitted []events.Emitted) {
		for _, m := range emitted {
			if services := s.opts.Takes[m.Topic]; m.Service == "" && len(services) > 0 {
				if e.Takes == nil {
					e.Takes = map[string][]string{}
				}
				e.Takes[m.Topic] = services
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

// enter adds an entry to the ledger and says what changed by it, for the operation and for those that depend on it.
func (s *Service) enter(ctx context.Context, tx *store.Tx, id string, e entry) error {
	if err := alone(ctx, tx); err != nil {
		return err
	}
	s.takes(&e)
	s.mu.Lock()
	defer s.mu.Unlock()
	row, t, err := s.load(ctx, tx, id)
	if err != nil {
		return err
	}
	foreign := len(t.foreign)
	t.add(e)
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	row.Stamp = events.NewID()
	tx.Later(tx.NewRaw("INSERT INTO receipts (operation, stamp, body) VALUES (?, ?, ?)", id, row.Stamp, string(body)))
	for _, f := range t.foreign[foreign:] {
		if err := s.depend(ctx, tx, f.Operation, id); err != nil {
			return err
		}
	}
	if err := s.judge(ctx, tx, &row, t, false); err != nil {
		return err
	}
	if !row.Shared {
		return nil
	}
	return s.again(ctx, tx, id)
}

// depend notes that an operation waits for something that another one accounts for.
func (s *Service) depend(ctx context.Context, tx *store.Tx, other, dependent string) error {
	row, t, err := s.load(ctx, tx, other)
	if err != nil {
		return err
	}
	tx.Later(tx.NewRaw("INSERT INTO dependents (operation, dependent) VALUES (?, ?) ON CONFLICT DO NOTHING", other, dependent))
	if row.Shared {
		return nil
	}
	row.Shared = true
	return s.judge(ctx, tx, &row, t, false)
}

// again judges the operations that depend on one.
func (s *Service) again(ctx context.Context, tx *store.Tx, id string) error {
	var dependents []string
	err := tx.NewSelect().Table("dependents").Column("dependent").Where("operation = ?", id).OrderExpr("dependent").Scan(ctx, &dependents)
	if err != nil {
		return err
	}
	for _, d := range dependents {
		row, t, err := s.load(ctx, tx, d)
		if err == nil && row.Outcome != Settled {
			err = s.judge(ctx, tx, &row, t, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge writes the operation's row as the tree has it, and tells of a change. late says that it has been waiting for long.
func (s *Service) judge(ctx context.Context, tx *store.Tx, row *ledgerRow, t *tree, late bool) error {
	open, err := s.open(ctx, tx, t, "", map[string]bool{})
	if err != nil {
		return err
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
		b, err := json.Marshal(open[:min(len(open), maxWaiting)])
		if err != nil {
			return err
		}
		row.Waiting = string(b)
	}
	row.ChangedAt = tx.Now().UnixMicro()
	switch {
	case row.Outcome == Settled && was != Settled:
		row.SettledAt = tx.Now().UnixMicro()
		err = tell(tx, t.id, events.OperationSettled{ID: t.id, Status: row.Status, AcceptedAt: t.state.AcceptedAt, SettledAt: tx.Now()})
	case row.Waiting != "" && (row.Outcome != was || row.Waiting != waited):
		err = tell(tx, t.id, events.OperationStalled{ID: t.id, Outcome: row.Outcome, Waiting: open[:min(len(open), maxWaiting)], At: tx.Now()})
	}
	if err != nil {
		return err
	}
	return s.save(ctx, tx, row, t)
}

// maxWaiting bounds how many of those that an operation waits for are named.
const maxWaiting = 20

func tell(tx *store.Tx, id string, e events.Typed) error {
	cause := tx.Cause()
	defer tx.Because(cause)
	tx.Because(events.Envelope{ID: cause.ID, Correlation: id, TraceParent: cause.TraceParent})
	return tx.Emit(e)
}

// open is what an operation waits for, with what other operations account for; seen keeps it from going round.
func (s *Service) open(ctx context.Context, tx *store.Tx, t *tree, from string, seen map[string]bool) ([]events.Waiting, error) {
	open := t.open(from)
	for _, f := range t.foreign {
		if seen[f.ID] {
			continue
		}
		seen[f.ID] = true
		row, other, err := s.load(ctx, tx, f.Operation)
		if err != nil {
			return nil, err
		}
		if row.Outcome == Settled {
			continue
		}
		if n := other.nodes[f.ID]; n == nil || !n.known {
			open = append(open, events.Waiting{Message: f.ID, Topic: f.Topic, Subject: f.Subject, State: pending, Since: t.state.AcceptedAt})
			continue
		}
		more, err := s.open(ctx, tx, other, f.ID, seen)
		if err != nil {
			return nil, err
		}
		open = append(open, more...)
	}
	return open, nil
}

var errUnreadable = errors.New("an entry of the ledger cannot be read")
