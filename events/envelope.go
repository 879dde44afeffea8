// Package events is what services say to each other: the envelope every message travels in and the
// catalogue of events, one file per publishing service.
//
// An event is a fact in the past tense. Its type states its own topic, which is its name on the wire and
// never changes once released, and its subject, the entity that it is about: messages of one subject keep
// their order. The package imports nothing of the project but the calendar.
package events

import (
	"time"

	"github.com/google/uuid"
)

// Envelope holds the CloudEvents 1.0 attributes of a message; on the wire each is a header
// "cloudEvents:<name>".
type Envelope struct {
	ID          string    `json:"id"`                        // UUIDv7
	Source      string    `json:"source"`                    // stega/<service>
	Type        string    `json:"type"`                      // the topic
	Subject     string    `json:"subject"`                   // the entity, such as a portfolio id or a symbol
	Time        time.Time `json:"time"`                      // when it was emitted, UTC
	Correlation string    `json:"correlationid"`             // the operation that it belongs to
	Causation   string    `json:"causationid,omitempty"`     // the message that it came from
	Sequence    int64     `json:"sequence,omitempty"`        // per subject, counted by the owning service from 1
	TraceParent string    `json:"traceparent,omitempty"`     // W3C trace context
	ContentType string    `json:"datacontenttype,omitempty"` // application/json
}

// Message is an envelope with its data as they travel: JSON that is not decoded yet.
type Message struct {
	Envelope
	Data []byte
}

// Typed is what every command and event states of itself.
type Typed interface {
	// Topic is the durable name on the wire; it must not depend on the value.
	Topic() string
	// Subject is the entity that the message is about.
	Subject() string
}

// NewID makes a UUIDv7: ids sort by the time they were made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Source is the CloudEvents source of a service.
func Source(service string) string { return "stega/" + service }
