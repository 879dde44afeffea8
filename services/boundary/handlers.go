package boundary

import (
	"context"
	"encoding/json"
	"errors"
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

// posting is an entry for an operation.
type posting struct {
	id    string
	entry entry
}

// enter puts an entry down for the ledger. All entries of a unit of work are posted together at its end, so that the ledger is read and written once
// for as many messages as came at once.
func (s *Service) enter(tx *store.Tx, id string, e entry) {
	s.takes(&e)
	store.Gather(tx, "ledger", posting{id, e}, s.post)
}

// post adds entries to the ledger and says what changed by them, for their operations and for those that depend on these.
func (s *Service) post(ctx context.Context, tx *store.Tx, postings []posting) error {
	return s.keepBook(ctx, tx, func(b *book) error {
		ids := make([]string, len(postings))
		for i, p := range postings {
			ids[i] = p.id
		}
		if err := b.fetch(ctx, ids); err != nil {
			return err
		}
		var touched []*account
		for _, p := range postings {
			a, err := b.add(ctx, p)
			if err != nil {
				return err
			}
			if !slices.Contains(touched, a) {
				touched = append(touched, a)
			}
		}
		for _, a := range touched {
			if err := b.judge(ctx, a, false); err != nil {
				return err
			}
		}
		for _, a := range touched {
			if err := b.again(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// add adds an entry to the account of its operation.
func (b *book) add(ctx context.Context, p posting) (*account, error) {
	a, err := b.load(ctx, p.id)
	if err != nil {
		return nil, err
	}
	foreign := len(a.tree.foreign)
	a.tree.add(p.entry)
	body, err := json.Marshal(p.entry)
	if err != nil {
		return nil, err
	}
	a.row.Stamp = events.NewID()
	b.tx.Later(b.tx.NewRaw("INSERT INTO receipts (operation, stamp, body) VALUES (?, ?, ?)", p.id, a.row.Stamp, string(body)))
	for _, f := range a.tree.foreign[foreign:] {
		if err := b.depend(ctx, f.Operation, p.id); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// depend notes that an operation waits for something that another one accounts for.
func (b *book) depend(ctx context.Context, other, dependent string) error {
	a, err := b.load(ctx, other)
	if err != nil {
		return err
	}
	b.tx.Later(b.tx.NewRaw("INSERT INTO dependents (operation, dependent) VALUES (?, ?) ON CONFLICT DO NOTHING", other, dependent))
	if a.row.Shared {
		return nil
	}
	a.row.Shared = true
	return b.judge(ctx, a, false)
}

// again judges the operations that depend on one.
func (b *book) again(ctx context.Context, a *account) error {
	if !a.row.Shared {
		return nil
	}
	var dependents []string
	err := b.tx.NewSelect().Table("dependents").Column("dependent").Where("operation = ?", a.row.ID).OrderExpr("dependent").Scan(ctx, &dependents)
	if err != nil {
		return err
	}
	if err := b.fetch(ctx, dependents); err != nil {
		return err
	}
	for _, id := range dependents {
		d, err := b.load(ctx, id)
		if err == nil && d.row.Outcome != Settled {
			err = b.judge(ctx, d, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// judge makes of an operation's row what the tree has it be, and tells of a change. late says that it has been waiting for long.
func (b *book) judge(ctx context.Context, a *account, late bool) error {
	row, t := &a.row, a.tree
	open, err := b.waiting(ctx, t, "", map[string]bool{})
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
		text, err := json.Marshal(open[:min(len(open), maxWaiting)])
		if err != nil {
			return err
		}
		row.Waiting = string(text)
	}
	now := b.tx.Now()
	row.ChangedAt, a.changed = now.UnixMicro(), true
	switch {
	case row.Outcome == Settled && was != Settled:
		row.SettledAt = now.UnixMicro()
		err = tell(b.tx, t.id, events.OperationSettled{
			ID: t.id, Command: t.state.Command, Service: t.state.Service, About: t.state.About, EntityID: t.state.EntityID, Status: row.Status,
			Error: t.state.Error, AcceptedAt: t.state.AcceptedAt, FinishedAt: t.state.FinishedAt, SettledAt: now,
		})
	case row.Waiting != "" && (row.Outcome != was || row.Waiting != waited):
		err = tell(b.tx, t.id, events.OperationStalled{ID: t.id, Outcome: row.Outcome, Waiting: open[:min(len(open), maxWaiting)], At: now})
	}
	return err
}

// maxWaiting bounds how many of those that an operation waits for are named.
const maxWaiting = 20

func tell(tx *store.Tx, id string, e events.Typed) error {
	cause := tx.Cause()
	defer tx.Because(cause)
	tx.Because(events.Envelope{ID: cause.ID, Correlation: id, TraceParent: cause.TraceParent})
	return tx.Emit(e)
}

// waiting is what an operation waits for, with what other operations account for; seen keeps it from going round.
func (b *book) waiting(ctx context.Context, t *tree, from string, seen map[string]bool) ([]events.Waiting, error) {
	open := t.open(from)
	for _, f := range t.foreign {
		if seen[f.ID] {
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
		if n := other.tree.nodes[f.ID]; n == nil || !n.known {
			open = append(open, events.Waiting{Message: f.ID, Topic: f.Topic, Subject: f.Subject, State: pending, Since: t.state.AcceptedAt})
			continue
		}
		more, err := b.waiting(ctx, other.tree, f.ID, seen)
		if err != nil {
			return nil, err
		}
		open = append(open, more...)
	}
	return open, nil
}

var errUnreadable = errors.New("an entry of the ledger cannot be read")
