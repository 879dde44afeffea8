package events

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// The events of this file report the progress of operations. Any service publishes them by itself; a handler never
// emits one. They differ from the events of services: they have no sequence, nobody can inject them, and they cause
// no receipts.

// internal marks events that the bus itself publishes.
type internal interface{ internal() }

// IsInternal reports whether a topic belongs to an internal event.
func IsInternal(topic string) bool {
	return topic == (Handled{}).Topic() || strings.HasPrefix(topic, "operation.")
}

// Emitted names a message that the handling of another message caused.
type Emitted struct {
	ID      string `json:"id"`
	Topic   string `json:"topic"`
	Subject string `json:"subject,omitempty"`
	Service string `json:"service,omitempty"` // the service whose command queue it joined; empty for an event
	// Operation is the operation that accounts for the message, when several messages caused it together and another
	// operation than the cause's accounts for it.
	Operation string `json:"operation,omitempty"`
}

// OperationState is the state of an operation in the service that runs its command.
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
	// number of further emitted messages, which other receipts list
	Omitted int `json:"omitted,omitempty"`
}

// Subject returns the operation.
func (o OperationState) Subject() string { return o.ID }

// Check returns an error for an invalid id.
func (o OperationState) Check() error { return checkID("id", o.ID) }

func (OperationState) internal() {}

// OperationAccepted is published when a deferred command is queued.
type OperationAccepted struct{ OperationState }

// Topic returns operation.accepted.
func (OperationAccepted) Topic() string { return "operation.accepted" }

// OperationResolved is published when a command has finished. Its effects in other services may be pending.
type OperationResolved struct{ OperationState }

// Topic returns operation.resolved.
func (OperationResolved) Topic() string { return "operation.resolved" }

// OperationProgressed reports the progress of a deferred command.
type OperationProgressed struct {
	ID    string    `json:"id"`
	Done  int64     `json:"done"`
	Total int64     `json:"total,omitempty"` // 0: unknown
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at"`
}

// Topic returns operation.progressed.
func (OperationProgressed) Topic() string { return "operation.progressed" }

// Subject returns the operation.
func (o OperationProgressed) Subject() string { return o.ID }

// Check returns an error for an invalid id.
func (o OperationProgressed) Check() error { return checkID("id", o.ID) }

func (OperationProgressed) internal() {}

// Waiting is a pending or failed handling that an operation waits for.
type Waiting struct {
	Message  string    `json:"message"`
	Topic    string    `json:"topic"`
	Subject  string    `json:"subject,omitempty"`
	Service  string    `json:"service"`
	Handler  string    `json:"handler,omitempty"` // set after the first attempt
	State    string    `json:"state"`             // pending, parked, dead
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since"`
}

// OperationSettled is published when all effects of an operation are committed in every service. It repeats the
// result of the command, for a client that missed OperationResolved.
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

// Topic returns operation.settled.
func (OperationSettled) Topic() string { return "operation.settled" }

// Subject returns the operation.
func (o OperationSettled) Subject() string { return o.ID }

// Check returns an error for an invalid id.
func (o OperationSettled) Check() error { return checkID("id", o.ID) }

func (OperationSettled) internal() {}

// OperationStalled is published when an operation does not settle for now, and lists the handlings that it waits for.
// It may settle later.
type OperationStalled struct {
	ID      string    `json:"id"`
	Outcome string    `json:"outcome"` // stalled: pending or retried; failed: given up
	Waiting []Waiting `json:"waiting"`
	At      time.Time `json:"at"`
}

// Topic returns operation.stalled.
func (OperationStalled) Topic() string { return "operation.stalled" }

// Subject returns the operation.
func (o OperationStalled) Subject() string { return o.ID }

// Check returns an error for an invalid id.
func (o OperationStalled) Check() error { return checkID("id", o.ID) }

func (OperationStalled) internal() {}

// Handled is the receipt of one unit of work: the messages that it handled, their handlers, and the messages that
// they caused. The boundary settles operations by these receipts.
type Handled struct {
	Service string    `json:"service"`
	Items   []Receipt `json:"items"`
}

// Receipt is the outcome of a message in one handler.
type Receipt struct {
	Message   string `json:"message"`
	Topic     string `json:"topic"`
	About     string `json:"subject,omitempty"`
	Operation string `json:"operation"` // its correlation
	Handler   string `json:"handler,omitempty"`
	// Handlers lists all handlers of the service for the topic, when there are others.
	Handlers []string  `json:"handlers,omitempty"`
	State    string    `json:"state"` // one of the constants below
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	Emitted  []Emitted `json:"emitted,omitempty"`
	Omitted  int       `json:"omitted,omitempty"` // number of further emitted messages, which other receipts list
	SentAt   time.Time `json:"sent_at"`
	At       time.Time `json:"at"`
}

// The states of a receipt.
const (
	ReceiptHandled   = "handled"
	ReceiptParked    = "parked" // parked: retried later, or queued behind another message
	ReceiptDead      = "dead"
	ReceiptUnhandled = "unhandled" // the service has no handler of the topic any more
	ReceiptCaused    = "caused"    // only lists more messages that the message caused
)

// Topic returns stega.handled.
func (Handled) Topic() string { return "stega.handled" }

// Subject returns no subject: receipts have no order.
func (Handled) Subject() string { return "" }

// Check returns an error for an invalid receipt.
func (h Handled) Check() error {
	if h.Service == "" || len(h.Items) == 0 {
		return errors.New("service and items must not be empty")
	}
	return nil
}

func (Handled) internal() {}
