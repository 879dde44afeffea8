package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/events"
	"stega/fault"
)

// ParkedState is the state of a parked message.
type ParkedState string

// The states of a parked message.
const (
	Parked  ParkedState = "parked"  // failed; tried again when due
	Waiting ParkedState = "waiting" // lines up behind an earlier message of its subject
	Leased  ParkedState = "running" // a job that is tried again at present; when due, its process has died
	Suspect ParkedState = "suspect" // its consumer died with it in hand, maybe because of it: tried alone when due
	Dead    ParkedState = "dead"    // given up; an operator decides
)

// ParkedMessage is a message that was set aside for a handler.
type ParkedMessage struct {
	ID        int64 // order of arrival
	Handler   string
	Message   events.Message
	State     ParkedState
	Attempts  int
	LastError string
	Cause     string // what failures are grouped by: the fault code or the shape of the error
	ParkedAt  time.Time
	DueAt     time.Time
	DiedAt    time.Time
	Holds     bool // while it is dead, later messages of its subject wait
}

// Lane is what order is kept in: one subject as seen by one handler.
type Lane struct {
	Handler string
	Subject string
}

// parkedRow is a row of the table parked.
type parkedRow struct {
	bun.BaseModel `bun:"table:parked"`

	ID          int64 `bun:",pk,autoincrement"`
	Handler     string
	MessageID   string
	Source      string
	Topic       string
	Subject     string
	EmittedAt   int64
	Correlation string
	Causation   string
	Sequence    int64
	Traceparent string
	ContentType string
	Data        []byte
	State       ParkedState
	Attempts    int
	LastError   string
	Cause       string
	ParkedAt    int64
	DueAt       int64
	DiedAt      int64
	Holds       bool
}

func (r parkedRow) message() ParkedMessage {
	return ParkedMessage{
		ID: r.ID, Handler: r.Handler, State: r.State, Attempts: r.Attempts, LastError: r.LastError, Cause: r.Cause,
		ParkedAt: at(r.ParkedAt), DueAt: at(r.DueAt), DiedAt: at(r.DiedAt), Holds: r.Holds,
		Message: events.Message{Envelope: events.Envelope{
			ID: r.MessageID, Source: r.Source, Type: r.Topic, Subject: r.Subject, Time: at(r.EmittedAt),
			Correlation: r.Correlation,
			Causation:   r.Causation, Sequence: r.Sequence, TraceParent: r.Traceparent, ContentType: r.ContentType,
		}, Data: r.Data},
	}
}

// at reads a stored time; 0 is none.
func at(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Park sets a message aside in this unit.
func (in *Inbox) Park(ctx context.Context, m ParkedMessage) error {
	e := m.Message.Envelope
	row := parkedRow{
		Handler:     m.Handler,
		MessageID:   plain(e.ID),
		Source:      plain(e.Source),
		Topic:       plain(e.Type),
		Subject:     plain(e.Subject),
		EmittedAt:   micros(e.Time),
		Correlation: plain(e.Correlation),
		Causation:   plain(e.Causation),
		Sequence:    e.Sequence,
		Traceparent: plain(e.TraceParent),
		ContentType: plain(e.ContentType),
		Data:        m.Message.Data,
		State:       m.State,
		Attempts:    m.Attempts,
		LastError:   plain(m.LastError),
		Cause:       plain(m.Cause),
		ParkedAt:    micros(m.ParkedAt),
		DueAt:       micros(m.DueAt),
		DiedAt:      micros(m.DiedAt),
		Holds:       m.Holds,
	}
	if row.Data == nil {
		row.Data = []byte{}
	}
	in.tx.Queue(in.tx.NewInsert().Model(&row).ExcludeColumn("id"))
	return nil
}

// inLine selects the messages that block their lane.
const inLine = "(state <> 'dead' OR holds)"

// Blocked returns which of some lanes have a message that is parked or waiting, or dead and holding, so that later
// messages must wait in line.
func (in *Inbox) Blocked(ctx context.Context, keys []Lane) (map[Lane]bool, error) {
	blocked := map[Lane]bool{}
	if len(keys) == 0 {
		return blocked, nil
	}
	var b strings.Builder
	args := make([]any, 0, 2*len(keys))
	requested := make(map[Lane][]Lane, len(keys)) // by the lane as it is stored
	b.WriteString("SELECT DISTINCT handler, subject FROM parked WHERE " + inLine +
		" AND (handler, subject) IN (VALUES ")
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(?, ?)")
		stored := Lane{k.Handler, plain(k.Subject)}
		requested[stored] = append(requested[stored], k)
		args = append(args, stored.Handler, stored.Subject)
	}
	b.WriteString(")")
	rows, err := in.tx.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var k Lane
		if err := rows.Scan(&k.Handler, &k.Subject); err != nil {
			return nil, err
		}
		for _, of := range requested[k] {
			blocked[of] = true
		}
	}
	return blocked, rows.Err()
}

// heads selects what can be tried: the first of each lane, unless it is dead and holds the others. Messages of one
// source stand in the order of their sequence, for one may have come to be parked after its successors: from the dead
// queue. Others stand in the order in which they were parked.
const heads = `state <> 'dead' AND NOT EXISTS (SELECT 1 FROM parked AS earlier
	WHERE earlier.handler = p.handler AND earlier.subject = p.subject AND earlier.id <> p.id
	AND (earlier.state <> 'dead' OR earlier.holds)
	AND CASE WHEN earlier.source = p.source AND earlier.sequence > 0 AND p.sequence > 0
		AND earlier.sequence <> p.sequence
		THEN earlier.sequence < p.sequence ELSE earlier.id < p.id END)`

// NextDue takes (locked for this unit, skipping what others hold) the first message of a lane whose head is due, or
// ok == false. Only heads are returned: the oldest not-dead message of its lane, when no dead one holds the lane. A
// waiting head is due at once.
func (in *Inbox) NextDue(ctx context.Context) (m ParkedMessage, ok bool, err error) {
	return in.take(ctx, in.due())
}

// Take takes the parked message of an id like NextDue; ok is false when another unit holds it, or it is gone.
func (in *Inbox) Take(ctx context.Context, id int64) (m ParkedMessage, ok bool, err error) {
	return in.take(ctx, in.tx.NewSelect().TableExpr("parked AS p").ColumnExpr("p.*").Where("id = ?", id))
}

func (in *Inbox) due() *bun.SelectQuery {
	return in.tx.NewSelect().TableExpr("parked AS p").ColumnExpr("p.*").Where(heads).
		Where("due_at <= ? OR state = 'waiting'", in.tx.now.UnixMicro()).
		OrderExpr("due_at, id").Limit(1)
}

func (in *Inbox) take(ctx context.Context, query *bun.SelectQuery) (m ParkedMessage, ok bool, err error) {
	if in.tx.Dialect().Name() == dialect.PG {
		query = query.For("UPDATE OF p SKIP LOCKED")
	}
	var rows []parkedRow
	if err := query.Scan(ctx, &rows); err != nil {
		return m, false, err
	}
	if len(rows) == 0 {
		return m, false, nil
	}
	return rows[0].message(), true, nil
}

// Unpark removes a message that was handled, or dropped.
func (in *Inbox) Unpark(_ context.Context, id int64) error {
	in.tx.Queue(in.tx.NewRaw("DELETE FROM parked WHERE id = ?", id))
	return nil
}

// Repark updates attempts, error, state and due time after another failure.
func (in *Inbox) Repark(_ context.Context, m ParkedMessage) error {
	in.tx.Queue(in.tx.NewRaw(`UPDATE parked
		SET attempts = ?, last_error = ?, cause = ?, state = ?, due_at = ?, died_at = ? WHERE id = ?`,
		m.Attempts, plain(m.LastError), plain(m.Cause), m.State, micros(m.DueAt), micros(m.DiedAt), m.ID))
	return nil
}

// DueAt returns when the next head of a lane is due; ok is false when none waits.
func (d *DB) DueAt(ctx context.Context) (when time.Time, ok bool, err error) {
	var due sql.NullInt64
	err = d.Read().NewSelect().TableExpr("parked AS p").
		ColumnExpr("min(CASE WHEN state = 'waiting' THEN parked_at ELSE due_at END)").
		Where(heads).Scan(ctx, &due)
	if err != nil || !due.Valid {
		return when, false, d.explain(ctx, err)
	}
	return at(due.Int64), true, nil
}

// DeadLetters lists parked and dead messages, newest first, from before the given id (0: from the newest). state may
// be empty for all.
func (d *DB) DeadLetters(ctx context.Context, state ParkedState, limit int, before int64) ([]ParkedMessage, error) {
	var rows []parkedRow
	query := d.Read().NewSelect().Model(&rows).OrderExpr("id DESC").Limit(int64(limit))
	if state != "" {
		query = query.Where("state = ?", state)
	}
	if before > 0 {
		query = query.Where("id < ?", before)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, d.explain(ctx, err)
	}
	messages := make([]ParkedMessage, len(rows))
	for i := range rows {
		messages[i] = rows[i].message()
	}
	return messages, nil
}

// DeadLetter returns one of them; a fault of kind not found when there is none.
func (d *DB) DeadLetter(ctx context.Context, id int64) (ParkedMessage, error) {
	var row parkedRow
	err := d.Read().NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return ParkedMessage{}, d.noLetter(id)
	}
	if err != nil {
		return ParkedMessage{}, d.explain(ctx, err)
	}
	return row.message(), nil
}

func (d *DB) noLetter(id int64) error {
	return fault.NotFound("dead_letter_unknown", "%s has no dead letter %d", d.service, id).
		WithHint("list them with: stega dead list")
}

// Revive makes a dead or parked message due now with fresh attempts, optionally with edited data. One that could not
// be sent is sent again.
func (d *DB) Revive(ctx context.Context, id int64, data []byte) error {
	defer signal(d.revived)
	return d.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if message, err := tx.unsent(ctx, id); err != nil {
			return err
		} else if message != "" {
			return errors.Join(tx.resend(ctx, message, data), tx.inbox.Unpark(ctx, id))
		}
		query := tx.NewUpdate().Table("parked").Set("state = ?, attempts = 0, due_at = ?, died_at = 0", Parked,
			tx.now.UnixMicro()).Where("id = ?", id)
		if data != nil {
			query = query.Set("data = ?", data)
		}
		return d.one(ctx, query, id)
	})
}

// Drop removes a dead or parked message for good.
func (d *DB) Drop(ctx context.Context, id int64) error {
	defer signal(d.revived)
	return d.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if message, err := tx.unsent(ctx, id); err != nil {
			return err
		} else if message != "" {
			tx.Queue(tx.NewRaw("DELETE FROM outbox WHERE message_id = ? AND published = ?", message, givenUp))
		}
		return d.one(ctx, tx.NewDelete().Table("parked").Where("id = ?", id), id)
	})
}

// unsent returns the message of a dead letter that is a row of the outbox; empty when it is another, or there is none.
func (t *Tx) unsent(ctx context.Context, id int64) (message string, err error) {
	err = t.NewSelect().Table("parked").Column("message_id").Where("id = ? AND handler = ?", id, Unsent).Scan(ctx,
		&message)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return message, err
}

func (d *DB) one(ctx context.Context, query interface {
	Exec(ctx context.Context, dest ...any) (sql.Result, error)
}, id int64,
) error {
	result, err := query.Exec(ctx)
	if err != nil {
		return fmt.Errorf("change dead letter %d: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, d.noLetter(id))
	}
	return nil
}
