package api

import (
	"encoding/json"
	"time"

	"stega/fault"
)

// Problem is an error as it is answered: RFC 9457, with a code for programs and a hint for people.
type Problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Kind     fault.Kind   `json:"kind"`
	Code     string       `json:"code"`
	Detail   string       `json:"detail"`
	Hint     string       `json:"hint,omitempty"`
	Errors   []fault.Item `json:"errors,omitempty"`
	Instance string       `json:"instance,omitempty"`
}

// Accepted is the answer to a write: the operation that it became, and the entity that it makes or changes.
type Accepted struct {
	OperationID string `json:"operation_id"`
	ID          string `json:"id"`
}

// Cancelled is the answer to a request that cancels an operation.
type Cancelled struct {
	OperationID string `json:"operation_id"`
}

// DeadLetter is a parked or dead message as it is shown.
type DeadLetter struct {
	Service   string          `json:"service"`
	ID        int64           `json:"id"`
	Handler   string          `json:"handler"`
	State     string          `json:"state" jsonschema:"enum=dead,enum=parked,enum=running,enum=suspect,enum=waiting"`
	Topic     string          `json:"topic"`
	Subject   string          `json:"subject"`
	MessageID string          `json:"message_id"`
	Operation string          `json:"operation_id,omitempty"`
	Attempts  int             `json:"attempts"`
	Cause     string          `json:"cause"`
	Error     string          `json:"error"`
	ParkedAt  *time.Time      `json:"parked_at,omitempty"`
	DueAt     *time.Time      `json:"due_at,omitempty"`
	DiedAt    *time.Time      `json:"died_at,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"` // text, when it is not JSON; only of a single one
}

// DeadList is the answer to GET /v1/dead.
type DeadList struct {
	Items []DeadLetter `json:"items"`
	// Unavailable names the services that gave no answer: a short list must not look like a complete one.
	Unavailable []string `json:"unavailable,omitempty"`
}

// RetryRequest is the body of a request that handles a message again.
type RetryRequest struct {
	Data json.RawMessage `json:"data,omitempty"` // in place of the message's own
}
