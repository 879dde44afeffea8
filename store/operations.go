package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"stega/events"
	"stega/fault"
)

// OperationStatus is the status of an operation.
type OperationStatus string

// The statuses of an operation.
const (
	Accepted  OperationStatus = "accepted"
	Running   OperationStatus = "running"
	Succeeded OperationStatus = "succeeded"
	Failed    OperationStatus = "failed"
)

// Operation is what a submitted command became.
type Operation struct {
	ID         string          `json:"id"`
	Command    string          `json:"command"`
	Service    string          `json:"service"`
	Subject    string          `json:"subject"`
	EntityID   string          `json:"entity_id,omitempty"`
	Status     OperationStatus `json:"status"`
	Error      *fault.Fault    `json:"error,omitempty"`
	AcceptedAt time.Time       `json:"accepted_at"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Progress   *Progress       `json:"progress,omitempty"`

	BodyHash string `json:"-"` // of command and body: the same id with another body is a mistake
}

// Progress is how far a deferred command is.
type Progress struct {
	Done  int64     `json:"done"`
	Total int64     `json:"total,omitempty"` // 0: not known
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at"`
}

// Done reports whether the command has run to its end.
func (o Operation) Done() bool { return o.Status == Succeeded || o.Status == Failed }

// operationRow is a row of the table operations.
type operationRow struct {
	bun.BaseModel `bun:"table:operations"`

	ID         string `bun:",pk"`
	Command    string
	Subject    string
	EntityID   string
	Status     OperationStatus
	Error      string // a fault as JSON; empty for none
	AcceptedAt int64
	FinishedAt int64
	BodyHash   string
	Progress   string

	CancelRequestedAt int64
}

func (d *DB) operation(r operationRow) (Operation, error) {
	o := Operation{
		ID: r.ID, Command: r.Command, Service: d.service, Subject: r.Subject, EntityID: r.EntityID, Status: r.Status,
		AcceptedAt: at(r.AcceptedAt), BodyHash: r.BodyHash,
	}
	if r.FinishedAt != 0 {
		end := at(r.FinishedAt)
		o.FinishedAt = &end
	}
	if r.Progress != "" {
		o.Progress = new(Progress)
		if err := json.Unmarshal([]byte(r.Progress), o.Progress); err != nil {
			return o, fmt.Errorf("read the progress of operation %s: %w", r.ID, err)
		}
	}
	if r.Error != "" {
		o.Error = new(fault.Fault)
		if err := json.Unmarshal([]byte(r.Error), o.Error); err != nil {
			return o, fmt.Errorf("read the outcome of operation %s: %w", r.ID, err)
		}
	}
	return o, nil
}

// Operations changes the operations of the service in one unit of work.
type Operations struct {
	tx       *Tx
	started  map[string]*Operation // that this unit recorded
	finished []string              // that this unit ended
	states   []state               // to publish with the unit
}

// OperationsOf returns the operations of a unit of work.
func OperationsOf(tx *Tx) *Operations { return &tx.operations }

// Start records an operation in this unit. When the id is known already, existing has it and nothing is
// written.
func (ops *Operations) Start(ctx context.Context, o Operation) (existing *Operation, err error) {
	result, err := ops.tx.ExecContext(ctx, `INSERT INTO operations
		(id, command, subject, entity_id, status, error, accepted_at, finished_at, body_hash)
		VALUES (?, ?, ?, ?, ?, '', ?, 0, ?) ON CONFLICT (id) DO NOTHING`,
		o.ID, o.Command, o.Subject, o.EntityID, o.Status, micros(o.AcceptedAt), o.BodyHash)
	if err != nil {
		return nil, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return nil, err
	}
	if n == 1 {
		if ops.started == nil {
			ops.started = map[string]*Operation{}
		}
		ops.started[o.ID] = &o
		ops.states = append(ops.states, state{OperationState: ops.tx.db.stateOf(o), deferred: true})
		return nil, nil //nolint:nilnil // there was none
	}
	var row operationRow
	if err := ops.tx.NewSelect().Model(&row).Where("id = ?", o.ID).Scan(ctx); err != nil {
		return nil, err
	}
	was, err := ops.tx.db.operation(row)
	return &was, err
}

// Finish sets the outcome: succeeded when f is nil, else failed. Finishing a finished one again is
// ErrOperationOver; one that is to end cannot succeed: ErrCancelRequested.
func (ops *Operations) Finish(ctx context.Context, id string, f *fault.Fault) error {
	status, text := Succeeded, ""
	if f != nil {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		status, text = Failed, plain(string(b))
	}
	query := ops.tx.NewRaw(`UPDATE operations SET status = ?, error = ?, finished_at = ? WHERE id = ?
		AND finished_at = 0
		RETURNING command, subject, entity_id, accepted_at, cancel_requested_at`, status, text,
		ops.tx.now.UnixMicro(), id)
	o := ops.started[id]
	if o != nil { // no other service has it yet, so its acceptance is not published
		delete(ops.started, id)
		ops.states = slices.DeleteFunc(ops.states, func(s state) bool { return s.ID == id })
		ops.tx.Queue(query)
	} else {
		o = &Operation{ID: id}
		var accepted, cancelRequested int64
		err := query.Scan(ctx, &o.Command, &o.Subject, &o.EntityID, &accepted, &cancelRequested)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("operation %s: %w", id, ErrOperationOver)
		}
		if err != nil {
			return err
		}
		if status == Succeeded && cancelRequested != 0 {
			return fmt.Errorf("operation %s: %w", id, ErrCancelRequested)
		}
		o.AcceptedAt = at(accepted)
	}
	ops.finished = append(ops.finished, id)
	s := ops.tx.db.stateOf(*o)
	s.Status, s.FinishedAt = string(status), &ops.tx.now
	if text != "" {
		s.Error = json.RawMessage(text)
	}
	// It ran as a job: its end names the job, for those who receive only that.
	if c := ops.tx.cause; c.ID != "" && c.ID != id {
		s.Emitted = []events.Emitted{{ID: c.ID, Topic: c.Type, Subject: c.Subject, Service: ops.tx.db.service}}
	}
	ops.states = append(ops.states, state{OperationState: s})
	return nil
}

// stateOf returns an operation as it is published.
func (d *DB) stateOf(o Operation) events.OperationState {
	return events.OperationState{
		ID:         o.ID,
		Command:    o.Command,
		Service:    d.service,
		About:      o.Subject,
		EntityID:   o.EntityID,
		Status:     string(o.Status),
		AcceptedAt: o.AcceptedAt,
	}
}

// MarkRunning moves an accepted operation to running.
func (ops *Operations) MarkRunning(_ context.Context, id string) error {
	ops.tx.Queue(ops.tx.NewRaw("UPDATE operations SET status = ? WHERE id = ? AND status = ?", Running, id, Accepted))
	return ops.progressed(id, Progress{At: ops.tx.now})
}

// Progress records and publishes how far an operation that runs is.
func (ops *Operations) Progress(id string, p Progress) error {
	p.At = ops.tx.now
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	ops.tx.Queue(ops.tx.NewRaw("UPDATE operations SET progress = ? WHERE id = ? AND finished_at = 0", plain(string(b)),
		id))
	return ops.progressed(id, p)
}

func (ops *Operations) progressed(id string, p Progress) error {
	cause := ops.tx.cause
	defer ops.tx.SetCause(cause)
	ops.tx.SetCause(events.Envelope{ID: id, Correlation: id})
	return ops.tx.Emit(events.OperationProgressed{ID: id, Done: p.Done, Total: p.Total, Text: p.Text, At: p.At})
}

// RequestCancel requests the end of an operation: the context of its job ends, and a job that has not begun fails.
// The operation cannot succeed any more. An operation that is over is a fault of kind conflict.
func (ops *Operations) RequestCancel(ctx context.Context, id string) error {
	result, err := ops.tx.ExecContext(ctx,
		"UPDATE operations SET cancel_requested_at = ? WHERE id = ? AND finished_at = 0", ops.tx.now.UnixMicro(), id)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.Conflict("operation_over", "operation %.64s is over already", id).
			WithHint("see what became of it: GET /v1/operations/%.64s", id))
	}
	// One that failed and waits for its next try need not wait any longer. One that runs notices by itself.
	ops.tx.Queue(ops.tx.NewRaw("UPDATE parked SET due_at = ? WHERE correlation = ? AND causation = ? AND state = ?",
		ops.tx.now.UnixMicro(), id, id, Parked))
	return nil
}

// ErrOperationOver is the error of finishing an operation that has its outcome, or was never recorded.
var ErrOperationOver = errors.New("unknown or over")

// ErrCancelRequested is the error of an operation that cannot succeed, since its cancellation was requested.
var ErrCancelRequested = errors.New("cancel requested")

// CancelRequested reports whether the cancellation of an operation was requested.
func (d *DB) CancelRequested(ctx context.Context, id string) (bool, error) {
	var at int64
	err := d.Read().NewRaw("SELECT cancel_requested_at FROM operations WHERE id = ?", id).Scan(ctx, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return at != 0, err
}

// Operation returns an operation; a fault of kind not found when there is none.
func (d *DB) Operation(ctx context.Context, id string) (Operation, error) {
	var row operationRow
	err := d.Read().NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Operation{}, fault.NotFound("operation_unknown", "there is no operation %.64s", id).
			WithHint(
				"the id is the operation_id that a write answered with; finished operations are kept for a time only")
	}
	if err != nil {
		return Operation{}, d.explain(ctx, err)
	}
	return d.operation(row)
}

// Operations lists them, newest first, from before the id in cursor (ids are UUIDv7, so order is by id).
func (d *DB) Operations(ctx context.Context, limit int, cursor string) ([]Operation, error) {
	var rows []operationRow
	query := d.Read().NewSelect().Model(&rows).OrderExpr("id DESC").Limit(int64(limit))
	if cursor != "" {
		query = query.Where("id < ?", cursor)
	}
	return d.operations(ctx, query, &rows)
}

// OpenOperations lists those of a command that are not over, newest first, from before the id in cursor.
func (d *DB) OpenOperations(ctx context.Context, command string, limit int, cursor string) ([]Operation, error) {
	var rows []operationRow
	query := d.Read().NewSelect().Model(&rows).Where("finished_at = 0 AND command = ?", command).OrderExpr("id DESC").
		Limit(int64(limit))
	if cursor != "" {
		query = query.Where("id < ?", cursor)
	}
	return d.operations(ctx, query, &rows)
}

func (d *DB) operations(ctx context.Context, query *bun.SelectQuery, rows *[]operationRow) ([]Operation, error) {
	if err := query.Scan(ctx); err != nil {
		return nil, d.explain(ctx, err)
	}
	operations := make([]Operation, len(*rows))
	for i, r := range *rows {
		var err error
		if operations[i], err = d.operation(r); err != nil {
			return nil, err
		}
	}
	return operations, nil
}

// lookAgain is how often a waiter looks at the table besides being woken, since another process may finish the
// operation.
const lookAgain = 100 * time.Millisecond

// WaitOperation waits until an operation is over, or ctx ends; it returns the operation as it is then. It is woken by
// what this process finishes.
func (d *DB) WaitOperation(ctx context.Context, id string) (Operation, error) {
	finished, leave := d.waiters.add(id)
	defer leave()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		o, err := d.Operation(context.WithoutCancel(ctx), id)
		if err != nil || o.Done() || ctx.Err() != nil {
			return o, err
		}
		select {
		case <-finished:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
