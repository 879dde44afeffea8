package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"stega/fault"
)

// OperationStatus is where an operation stands.
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

	BodyHash string `json:"-"` // of command and body: the same id with another body is a mistake
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
	if r.Error != "" {
		o.Error = new(fault.Fault)
		if err := json.Unmarshal([]byte(r.Error), o.Error); err != nil {
			return o, fmt.Errorf("read the outcome of operation %s: %w", r.ID, err)
		}
	}
	return o, nil
}

// StartOperation records an operation in this unit. When the id is known already, existing has it and nothing is written.
func (t *Tx) StartOperation(ctx context.Context, o Operation) (existing *Operation, err error) {
	result, err := t.ExecContext(ctx, `INSERT INTO operations (id, command, subject, entity_id, status, error, accepted_at, finished_at, body_hash)
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
		if t.started == nil {
			t.started = map[string]bool{}
		}
		t.started[o.ID] = true
		return nil, nil //nolint:nilnil // there was none
	}
	var row operationRow
	if err := t.NewSelect().Model(&row).Where("id = ?", o.ID).Scan(ctx); err != nil {
		return nil, err
	}
	was, err := t.db.operation(row)
	return &was, err
}

// FinishOperation sets the outcome: succeeded when f is nil, else failed. Finishing a finished one again is an error.
func (t *Tx) FinishOperation(ctx context.Context, id string, f *fault.Fault) error {
	status, text := Succeeded, ""
	if f != nil {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		status, text = Failed, plain(string(b))
	}
	query := t.NewRaw("UPDATE operations SET status = ?, error = ?, finished_at = ? WHERE id = ? AND finished_at = 0", status, text, t.now.UnixMicro(), id)
	t.finished = append(t.finished, id)
	if t.started[id] { // nobody else knows it yet
		delete(t.started, id)
		t.Later(query)
		return nil
	}
	result, err := query.Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("operation %s is unknown or over", id))
	}
	return nil
}

// MarkRunning moves an accepted operation to running.
func (t *Tx) MarkRunning(_ context.Context, id string) error {
	t.Later(t.NewRaw("UPDATE operations SET status = ? WHERE id = ? AND status = ?", Running, id, Accepted))
	return nil
}

// Operation is one operation; a fault of kind not found when there is none.
func (d *DB) Operation(ctx context.Context, id string) (Operation, error) {
	var row operationRow
	err := d.Read().NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Operation{}, fault.NotFound("operation_unknown", "there is no operation %.64s", id).
			WithHint("the id is the operation_id that a write answered with; finished operations are kept for a time only")
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
	if err := query.Scan(ctx); err != nil {
		return nil, d.explain(ctx, err)
	}
	operations := make([]Operation, len(rows))
	for i, r := range rows {
		var err error
		if operations[i], err = d.operation(r); err != nil {
			return nil, err
		}
	}
	return operations, nil
}

// lookAgain is how often a waiter looks at the table besides being woken, since another process may finish the operation.
const lookAgain = 100 * time.Millisecond

// WaitOperation waits until an operation is over, or ctx ends; it returns the operation as it is then. It is woken by what this process
// finishes.
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
