package boundary

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// Operation is what became of a write, with what follows from it.
type Operation struct {
	store.Operation
	Settled   bool             `json:"settled"`
	Outcome   string           `json:"outcome"`
	SettledAt *time.Time       `json:"settled_at,omitempty"`
	Waiting   []events.Waiting `json:"waiting,omitempty"` // handlers that have not handled a message, or have given up
	Tree      *Branch          `json:"tree,omitempty"`
}

// Over reports whether nothing more is expected: the operation is settled, or the rest was given up.
func (o Operation) Over() bool { return o.Outcome == Settled || o.Outcome == Failed }

// Branch is a message of an operation's tree; the first is the command.
type Branch struct {
	Message   string        `json:"message"`
	Topic     string        `json:"topic"`
	Subject   string        `json:"subject,omitempty"`
	Service   string        `json:"service,omitempty"` // the one that a command is for
	EmittedAt *time.Time    `json:"emitted_at,omitempty"`
	Handlings []HandlingRow `json:"handlings"`
	Children  []*Branch     `json:"children,omitempty"`
	// Operation is the one that accounts for the message and what it caused, when several caused it together.
	Operation string `json:"operation,omitempty"`
}

// HandlingRow is the state of a message in one handler.
type HandlingRow struct {
	Service  string     `json:"service"`
	Handler  string     `json:"handler,omitempty"`
	State    string     `json:"state"`
	Attempts int        `json:"attempts,omitempty"`
	Error    string     `json:"error,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	TookMS   float64    `json:"took_ms,omitempty"` // from its emission until it was committed
}

// Operation returns an operation of the ledger; a fault of kind not found when there is none.
func (s *Service) Operation(ctx context.Context, id string, tree bool) (Operation, error) {
	var row ledgerRow
	err := s.db.Read().NewSelect().Model(&row).Where("id = ? AND command <> ''", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Operation{}, unknown(id)
	}
	if err != nil {
		return Operation{}, err
	}
	o, err := row.operation()
	if err != nil || (!tree && o.Outcome != Pending) {
		return o, err
	}
	trees, err := s.grow(ctx, s.db.Read(), id)
	if err != nil {
		return o, err
	}
	t := trees[id]
	if o.Outcome == Pending {
		o.Waiting = named(t.open())
	}
	if tree {
		o.Tree = t.branch(t.id, map[string]bool{})
	}
	return o, nil
}

func unknown(id string) *fault.Fault {
	return fault.NotFound("operation_unknown", "there is no operation %.64s", id).
		WithHint("the id is the operation_id that a write answered with; finished operations are kept for a time only")
}

// Operations lists them, newest first, from before the id in cursor.
func (s *Service) Operations(ctx context.Context, limit int, cursor string) ([]Operation, error) {
	var rows []ledgerRow
	query := s.db.Read().NewSelect().Model(&rows).Where("command <> ''").OrderExpr("id DESC").Limit(int64(limit))
	if cursor != "" {
		query = query.Where("id < ?", cursor)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, err
	}
	all := make([]Operation, len(rows))
	for i, row := range rows {
		var err error
		if all[i], err = row.operation(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *ledgerRow) operation() (Operation, error) {
	o := Operation{
		Operation: store.Operation{
			ID: r.ID, Command: r.Command, Service: r.Service, Subject: r.Subject, EntityID: r.EntityID,
			Status:     store.OperationStatus(r.Status),
			AcceptedAt: time.UnixMicro(r.AcceptedAt).UTC(), FinishedAt: instant(r.FinishedAt),
		},
		Settled: r.Outcome == Settled, Outcome: r.Outcome, SettledAt: instant(r.SettledAt),
	}
	for _, part := range []struct {
		text string
		into any
	}{{r.Error, &o.Error}, {r.Progress, &o.Progress}, {r.Waiting, &o.Waiting}} {
		if part.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
			return o, errors.Join(errUnreadable, err)
		}
	}
	return o, nil
}

func instant(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

// branch returns a message with those that it caused.
func (t *tree) branch(id string, seen map[string]bool) *Branch {
	n := t.nodes[id]
	if n == nil || seen[id] {
		return nil
	}
	seen[id] = true
	b := &Branch{Message: n.ID, Topic: n.Topic, Subject: n.Subject, Service: n.Service, Handlings: t.handlings(n)}
	if id == t.id {
		b.Subject, b.Topic = t.state.About, t.state.Command
		if !t.state.AcceptedAt.IsZero() {
			b.EmittedAt = &t.state.AcceptedAt
		}
	}
	for _, h := range n.reports {
		for _, at := range h.handlers {
			if b.EmittedAt == nil && !at.sent.IsZero() {
				b.EmittedAt = &at.sent
			}
		}
	}
	for _, child := range n.children {
		if c := t.branch(child, seen); c != nil {
			b.Children = append(b.Children, c)
		}
	}
	for _, f := range t.foreign {
		if slices.Contains(n.children, f.ID) {
			b.Children = append(b.Children,
				&Branch{Message: f.ID, Topic: f.Topic, Subject: f.Subject, Operation: f.Operation,
					Handlings: []HandlingRow{}})
		}
	}
	return b
}

func (t *tree) handlings(n *node) []HandlingRow {
	rows := []HandlingRow{}
	if n.ID == t.id && t.state.Status != "" {
		row := HandlingRow{
			Service: t.state.Service,
			Handler: t.state.Service + ":" + t.state.Command,
			State:   t.state.Status,
			At:      t.state.FinishedAt}
		if t.state.FinishedAt != nil {
			row.TookMS = milliseconds(t.state.FinishedAt.Sub(t.state.AcceptedAt))
		}
		return append(rows, row)
	}
	for _, service := range n.expects {
		if n.reports[service] == nil {
			rows = append(rows, HandlingRow{Service: service, State: pending})
		}
	}
	for service, h := range n.reports {
		for handler, at := range h.handlers {
			row := HandlingRow{
				Service:  service,
				Handler:  handler,
				State:    at.state,
				Attempts: at.attempts,
				Error:    at.err,
			}
			if !at.at.IsZero() {
				row.At, row.TookMS = &at.at, milliseconds(at.at.Sub(at.sent))
			}
			rows = append(rows, row)
		}
		if h.nobody {
			rows = append(rows, HandlingRow{Service: service, State: events.ReceiptUnhandled})
		}
	}
	slices.SortFunc(rows, func(a, b HandlingRow) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Handler, b.Handler))
	})
	return rows
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
