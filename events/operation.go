package events

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// The events of this file tell how operations fare. Any service publishes them, by itself: a handler never emits one.
// They are kept apart from the events of services: they are not sequenced, nobody can inject them, and nobody is told
// that they were handled.

// internal is what the bus itself publishes.
type internal interface{ internal() }

// IsInternal reports whether a topic is one of these.
func IsInternal(topic string) bool {
	return topic == (Handled{}).Topic() || strings.HasPrefix(topic, "operation.")
}

// Emitted names a message that the handling of another one caused.
type Emitted struct {
	ID      string `json:"id"`
	Topic   string `json:"topic"`
	Subject string `json:"subject,omitempty"`
	Service string `json:"service,omitempty"` // whose command queue it joined; empty for an event
	// Operation is the one that accounts for it, when that is another than the cause's: several messages caused it
	// together.
	Operation string `json:"operation,omitempty"`
}

// OperationState is what the service that runs a command says of its operation.
type OperationState struct {
	ID         string          `json:"id"`
	Command    string          `json:"command"`
	Service    string          `json:"service"`
	About      string          `json:"subject"` // the entity
	EntityID   string          `json:"entity_id,omitempty"`
	Status     string          `json:"status"` // accepted, running, succeeded, failed
	Error      json.RawMessage `json:"error,omitempty"`
	AcceptedAt time.Time       `json:"accepted_at"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Emitted    []Emitted       `json:"emitted,omitempty"` // by the command itself
	Omitted    int             `json:"omitted,omitempty"` // how many more it emitted; further receipts list them
}

// Subject is the operation.
func (o OperationState) Subject() string { return o.ID }

// Check reports what is wrong with the state.
func (o OperationState) Check() error { return checkID("id", o.ID) }

func (OperationState) internal() {}

// OperationAccepted says that a deferred command waits for its turn.
type OperationAccepted struct{ OperationState }

// Topic is operation.accepted.
func (OperationAccepted) Topic() string { return "operation.accepted" }

// OperationResolved says that a command ran to its end; what follows from it may still be under way.
type OperationResolved struct{ OperationState }

// Topic is operation.resolved.
func (OperationResolved) Topic() string { return "operation.resolved" }

// OperationProgressed says how far a deferred command is.
type OperationProgressed struct {
	ID    string    `json:"id"`
	Done  int64     `json:"done"`
	Total int64     `json:"total,omitempty"` // 0: not known
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at"`
}

// Topic is operation.progressed.
func (OperationProgressed) Topic() string { return "operation.progressed" }

// Subject is the operation.
func (o OperationProgressed) Subject() string { return o.ID }

// Check reports what is wrong with the progress.
func (o OperationProgressed) Check() error { return checkID("id", o.ID) }

func (OperationProgressed) internal() {}

// Waiting is a handling that an operation waits for, or that failed.
type Waiting struct {
	Message  string    `json:"message"`
	Topic    string    `json:"topic"`
	Subject  string    `json:"subject,omitempty"`
	Service  string    `json:"service"`
	Handler  string    `json:"handler,omitempty"` // once it was tried
	State    string    `json:"state"`             // pending, parked, dead
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since"`
}

// OperationSettled says that everything that follows from an operation has been committed everywhere. It says what
// became of the command too, for whoever missed that.
type OperationSettled struct {
	ID         string          `json:"id"`
	Command    string          `json:"command,omitempty"`
	Service    string          `json:"service,omitempty"`
	About      string          `json:"subject,omitempty"` // the entity
	EntityID   string          `json:"entity_id,omitempty"`
	Status     string          `json:"status"` // of the command: succeeded or failed
	Error      json.RawMessage `json:"error,omitempty"`
	AcceptedAt time.Time       `json:"accepted_at"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	SettledAt  time.Time       `json:"settled_at"`
}

// Topic is operation.settled.
func (OperationSettled) Topic() string { return "operation.settled" }

// Subject is the operation.
func (o OperationSettled) Subject() string { return o.ID }

// Check reports what is wrong with the announcement.
func (o OperationSettled) Check() error { return checkID("id", o.ID) }

func (OperationSettled) internal() {}

// OperationStalled says that an operation does not settle at present, and whom it waits for; it may settle later.
type OperationStalled struct {
	ID      string    `json:"id"`
	Outcome string    `json:"outcome"` // stalled: still to come or tried again; failed: given up
	Waiting []Waiting `json:"waiting"`
	At      time.Time `json:"at"`
}

// Topic is operation.stalled.
func (OperationStalled) Topic() string { return "operation.stalled" }

// Subject is the operation.
func (o OperationStalled) Subject() string { return o.ID }

// Check reports what is wrong with the announcement.
func (o OperationStalled) Check() error { return checkID("id", o.ID) }

func (OperationStalled) internal() {}

// Handled is the receipt of one unit of work: which messages were handled in it, by which handlers, and what they
// caused. The boundary closes an operation by them.
type Handled struct {
	Service string    `json:"service"`
	Items   []Receipt `json:"items"`
}

// Receipt says what became of a message in one handler.
type Receipt struct {
	Message   string `json:"message"`
	Topic     string `json:"topic"`
	About     string `json:"subject,omitempty"`
	Operation string `json:"operation"` // its correlation
	Handler   string `json:"handler,omitempty"`
	// all that the service has for the topic, when it is not this one alone
	Handlers []string  `json:"handlers,omitempty"`
	State    string    `json:"state"` // see below
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	Emitted  []Emitted `json:"emitted,omitempty"`
	Omitted  int       `json:"omitted,omitempty"` // how many more it emitted; further receipts list them
	SentAt   time.Time `json:"sent_at"`
	At       time.Time `json:"at"`
}

// The states of a receipt.
const (
	ReceiptHandled   = "handled"
	ReceiptParked    = "parked" // set aside, and tried again or waiting for its turn
	ReceiptDead      = "dead"
	ReceiptUnhandled = "unhandled" // nobody in the service handles the topic any more
	ReceiptCaused    = "caused"    // only tells more of what the message caused
)

// Topic is stega.handled.
func (Handled) Topic() string { return "stega.handled" }

// Subject is empty: receipts have no order among each other.
func (Handled) Subject() string { return "" }

// Check reports what is wrong with the receipt.
func (h Handled) Check() error {
	if h.Service == "" || len(h.Items) == 0 {
		return errors.New("service and items must not be empty")
	}
	return nil
}

func (Handled) internal() {}
