package store

import (
	"context"
	"time"

	"stega/events"
	"stega/fault"
)

// --- inbox ---

// Claim marks messages as handled by a handler, in this unit, and says which of them were new. A message that
// is not new was handled before and must not be handled again.
func (t *Tx) Claim(ctx context.Context, claims []Claim) (fresh []bool, err error) { panic("contract") }

// Claim names one handling of one message.
type Claim struct {
	MessageID string
	Handler   string
}

// --- parked and dead messages ---

// ParkedState says where a message that failed stands.
type ParkedState string

// The states of a parked message.
const (
	Parked  ParkedState = "parked"  // failed; tried again when due
	Waiting ParkedState = "waiting" // lines up behind an earlier message of its subject
	DeadNow ParkedState = "dead"    // given up; an operator decides
)

// ParkedMessage is a message set aside for a handler, in the order in which they came.
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

// Park sets a message aside in this unit.
func (t *Tx) Park(ctx context.Context, m ParkedMessage) error { panic("contract") }

// Lined says for which of (handler, subject) there are messages parked or waiting (or dead and holding), so that later ones must line up.
func (t *Tx) Lined(ctx context.Context, keys []Lane) (map[Lane]bool, error) { panic("contract") }

// Lane is what order is kept in: one subject as seen by one handler.
type Lane struct {
	Handler string
	Subject string
}

// NextDue takes (locked for this unit, skipping what others hold) the first message of a lane whose head is due, or ok == false.
// Only heads are returned: the oldest not-dead message of its lane, when no dead one holds the lane. A waiting head is due at once.
func (t *Tx) NextDue(ctx context.Context) (m ParkedMessage, ok bool, err error) { panic("contract") }

// Unpark removes a message that was handled, or dropped.
func (t *Tx) Unpark(ctx context.Context, id int64) error { panic("contract") }

// Repark updates attempts, error, state and due time after another failure.
func (t *Tx) Repark(ctx context.Context, m ParkedMessage) error { panic("contract") }

// DueAt is when the next parked head is due; ok is false when nothing waits.
func (d *DB) DueAt(ctx context.Context) (at time.Time, ok bool, err error) { panic("contract") }

// DeadLetters lists parked and dead messages, newest first. state may be empty for all.
func (d *DB) DeadLetters(ctx context.Context, state ParkedState, limit int, before int64) ([]ParkedMessage, error) {
	panic("contract")
}

// DeadLetter is one of them; a fault of kind not found when there is none.
func (d *DB) DeadLetter(ctx context.Context, id int64) (ParkedMessage, error) { panic("contract") }

// Revive makes a dead or parked message due now with fresh attempts, optionally with edited data.
func (d *DB) Revive(ctx context.Context, id int64, data []byte) error { panic("contract") }

// Drop removes a dead or parked message for good.
func (d *DB) Drop(ctx context.Context, id int64) error { panic("contract") }

// --- operations ---

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

// StartOperation records an operation in this unit. When the id is known already, existing has it and nothing is written.
func (t *Tx) StartOperation(ctx context.Context, o Operation) (existing *Operation, err error) {
	panic("contract")
}

// FinishOperation sets the outcome: succeeded when f is nil, else failed. Finishing a finished one again is an error.
func (t *Tx) FinishOperation(ctx context.Context, id string, f *fault.Fault) error { panic("contract") }

// MarkRunning moves an accepted operation to running.
func (t *Tx) MarkRunning(ctx context.Context, id string) error { panic("contract") }

// Operation is one operation; a fault of kind not found when there is none.
func (d *DB) Operation(ctx context.Context, id string) (Operation, error) { panic("contract") }

// Operations lists them, newest first, from before the id in cursor (ids are UUIDv7, so order is by id).
func (d *DB) Operations(ctx context.Context, limit int, cursor string) ([]Operation, error) {
	panic("contract")
}

// Finished is woken (in this process) whenever an operation finishes; wait for one with a deadline, looking
// at the table now and then besides, since another process may finish it.
func (d *DB) WaitOperation(ctx context.Context, id string) (Operation, error) { panic("contract") }

// --- upkeep ---

// Stats is what the metrics show of a database.
type Stats struct {
	Outbox       int           // rows to publish or not handled everywhere yet
	OldestUnsent time.Duration // age of the oldest row that is not published
	Inbox        int
	Parked       int
	Dead         int
}

// Stats counts.
func (d *DB) Stats(ctx context.Context) (Stats, error) { panic("contract") }

// Retention says how long settled rows are kept.
type Retention struct {
	Inbox      time.Duration // default 7 days: longer than any redelivery can take
	Operations time.Duration // default 30 days, finished ones only
}

// Tidy deletes inbox rows and finished operations that are older than the retention, in small steps.
func (d *DB) Tidy(ctx context.Context, r Retention) error { panic("contract") }
