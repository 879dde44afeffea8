package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"stega/events"
)

// Tx is a unit of work under way, as a handler has it. It is a bun.IDB, for the handler's own tables, and for one
// goroutine. What the bus records in the same unit has types of its own: Inbox, Operations and Receipts.
type Tx struct {
	bun.IDB

	db      *DB
	session *session
	now     time.Time
	cause   events.Envelope
	beside  []events.Envelope // further messages that emissions come from, besides the cause
	ended   bool

	emitted []emission
	wrote   int // outbox rows
	batch   batch

	inbox      Inbox
	operations Operations
	receipts   Receipts
}

// emission is one message that is to join the outbox.
type emission struct {
	events.Message
	service string // whose command queue; empty for an event
}

// maxMessage bounds the data of one message.
const maxMessage = 1 << 20

// flushBytes is how much emitted data a unit holds before it is written to the outbox.
const flushBytes = 4 << 20

var errEnded = errors.New("the unit of work has ended")

// now is the time in the precision that is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func newTx(d *DB, s *session) *Tx {
	tx := &Tx{IDB: s, db: d, session: s, now: now()}
	tx.inbox.tx, tx.operations.tx, tx.receipts.tx = tx, tx, tx
	return tx
}

// SetCause sets the message that the following emissions come from: they get its correlation, and it becomes their
// causation.
func (t *Tx) SetCause(cause events.Envelope) { t.cause = cause }

// Cause returns the message of the last SetCause.
func (t *Tx) Cause() events.Envelope { return t.cause }

// Now returns the time of the unit of work, UTC, in microseconds; one value for the whole unit.
func (t *Tx) Now() time.Time { return t.now }

// Emit publishes an event if and when the unit commits: it joins the outbox with the subject's next
// sequence. It fails after the unit has ended.
func (t *Tx) Emit(e events.Typed) error { return t.emit("", e) }

// Enqueue sends a deferred command to the command queue of a service (usually its own) if and when the unit commits.
func (t *Tx) Enqueue(service string, c events.Typed) error { return t.emit(service, c) }

func (t *Tx) emit(service string, m events.Typed) error {
	if t.ended {
		return fmt.Errorf("emit %s: %w", m.Topic(), errEnded)
	}
	data, err := events.Marshal(m)
	if err != nil {
		return fmt.Errorf("emit %s: %w", m.Topic(), err)
	}
	if len(data) > maxMessage {
		return fmt.Errorf("emit %s: %d bytes of data are more than the %d that a message may have", m.Topic(),
			len(data),
			maxMessage)
	}
	id := events.NewID()
	e := events.Envelope{
		ID: id, Source: events.Source(t.db.service), Type: m.Topic(), Subject: m.Subject(), Time: t.now,
		Correlation: t.cause.Correlation, Causation: t.cause.ID, TraceParent: t.cause.TraceParent,
		ContentType: "application/json",
	}
	if e.Correlation == "" {
		e.Correlation = id
	}
	if e.Subject == "" { // it has no order with others
		e.Subject = id
	}
	t.emitted = append(t.emitted, emission{events.Message{Envelope: e, Data: data}, service})
	t.receipts.caused(&t.emitted[len(t.emitted)-1])
	return nil
}

// Queue adds a statement without a result, to be sent together with others in one round trip: before the next
// statement of the unit that has a result, or with the commit. Order is kept. bun queries (NewInsert() …) fit.
func (t *Tx) Queue(q bun.Query) {
	b, err := q.AppendQuery(t.session.db.QueryGen(), nil)
	if err != nil {
		t.session.fail(err)
		return
	}
	t.session.queue(string(b))
}

// Flush sends the queued statements, and writes emitted events to the outbox.
func (t *Tx) Flush(ctx context.Context) error {
	if err := t.outbox(ctx); err != nil {
		return err
	}
	return t.session.flush(ctx)
}

// finish does what is due before the commit.
func (t *Tx) finish(ctx context.Context) error {
	if err := t.batch.finish(ctx); err != nil {
		return err
	}
	if err := t.receipts.emit(); err != nil {
		return err
	}
	t.inbox.putSequences()
	if err := t.outbox(ctx); err != nil {
		return err
	}
	return t.session.put(ctx)
}

// session is the connection of a unit of work. It is a bun.IDB that keeps statements of Queue in their order with the
// others, and remembers that one failed.
type session struct {
	bun.Conn
	db      *bun.DB
	pending []byte
	rows    []*rows // of Put
	begun   bool    // something was sent
	failed  error
	observe func(query string)
	// steady keeps statements from being interrupted midway, which on SQLite would roll back the whole transaction.
	steady bool
}

func (s *session) fail(err error) {
	if s.failed == nil && err != nil {
		s.failed = err
	}
}

func (s *session) queue(query string) {
	if len(s.pending) > 0 {
		s.pending = append(s.pending, ";\n"...)
	}
	s.pending = append(s.pending, query...)
}

// flush sends the statements without a result.
func (s *session) flush(ctx context.Context) error {
	if len(s.rows) > 0 {
		if err := s.put(ctx); err != nil {
			return err
		}
	}
	return s.text(ctx)
}

// text sends what Queue holds.
func (s *session) text(ctx context.Context) error {
	if len(s.pending) == 0 {
		return s.failed
	}
	query := string(s.pending)
	s.pending = s.pending[:0]
	_, err := s.send(ctx, query)
	return err
}

func (s *session) send(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, err := s.before(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.Conn.Conn.ExecContext(ctx, query, args...)
	s.fail(err)
	return result, err
}

func (s *session) before(ctx context.Context, query string) (context.Context, error) {
	if s.failed != nil {
		return ctx, fmt.Errorf("a statement before has failed: %w", s.failed)
	}
	if err := ctx.Err(); err != nil {
		s.fail(err)
		return ctx, err
	}
	if s.observe != nil {
		s.observe(query)
	}
	s.begun = true
	if s.steady {
		ctx = context.WithoutCancel(ctx)
	}
	return ctx, nil
}

func (s *session) format(query string, args []any) string {
	return s.db.QueryGen().FormatQuery(query, args...)
}

// ExecContext executes a statement, and in the same round trip what Queue held.
func (s *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if len(s.rows) > 0 {
		if err := s.put(ctx); err != nil {
			return nil, err
		}
	}
	query = s.format(query, args)
	if len(s.pending) > 0 {
		s.queue(query)
		query = string(s.pending)
		s.pending = s.pending[:0]
	}
	return s.send(ctx, query)
}

// QueryContext runs a query, after what Queue held.
func (s *session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	query = s.format(query, args)
	ctx, err := s.before(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Conn.Conn.QueryContext(ctx, query)
	s.fail(err)
	return rows, err
}

// QueryRowContext runs a query for one row, after what Queue held.
func (s *session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	// An error of flush stays in failed; the commit then fails with it.
	_ = s.flush(ctx)
	query = s.format(query, args)
	steady, err := s.before(ctx, query)
	if err != nil {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return s.Conn.Conn.QueryRowContext(ended, query)
	}
	return s.Conn.Conn.QueryRowContext(steady, query)
}

func (s *session) NewSelect() *bun.SelectQuery { return bun.NewSelectQuery(s.db).Conn(s) }
func (s *session) NewInsert() *bun.InsertQuery { return bun.NewInsertQuery(s.db).Conn(s) }
func (s *session) NewUpdate() *bun.UpdateQuery { return bun.NewUpdateQuery(s.db).Conn(s) }
func (s *session) NewDelete() *bun.DeleteQuery { return bun.NewDeleteQuery(s.db).Conn(s) }
func (s *session) NewValues(model any) *bun.ValuesQuery {
	return bun.NewValuesQuery(s.db, model).Conn(s)
}
func (s *session) NewRaw(query string, args ...any) *bun.RawQuery {
	return bun.NewRawQuery(s.db, query, args...).Conn(s)
}

// BeginTx fails: a unit of work is one transaction.
func (s *session) BeginTx(context.Context, *sql.TxOptions) (bun.Tx, error) {
	return bun.Tx{}, errNested
}

// RunInTx fails: a unit of work is one transaction.
func (s *session) RunInTx(context.Context, *sql.TxOptions, func(context.Context, bun.Tx) error) error {
	return errNested
}

var errNested = errors.New("a unit of work is one transaction and begins no other")

var _ bun.IDB = (*session)(nil)
