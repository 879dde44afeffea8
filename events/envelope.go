// Package events defines the messages between services: the envelope of every message and the catalogue of events,
// one file for each publishing service.
//
// An event is a fact in the past tense. Its type returns its topic, the name on the wire that never changes once
// released. It also returns its subject, the entity of the event: messages of one subject keep their order. Of the
// project, the package imports only the calendar and text.
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
	Time        time.Time `json:"time"`                      // time of emission, UTC
	Correlation string    `json:"correlationid"`             // the operation of the message
	Causation   string    `json:"causationid,omitempty"`     // the message that caused it
	Sequence    int64     `json:"sequence,omitempty"`        // per subject, counted by the owning service from 1
	TraceParent string    `json:"traceparent,omitempty"`     // W3C trace context
	ContentType string    `json:"datacontenttype,omitempty"` // application/json
}

// Message is an envelope with its data as sent: JSON, not yet decoded.
type Message struct {
	Envelope
	Data []byte
}

// Typed is implemented by every command and event.
type Typed interface {
	// Topic returns the durable name on the wire, which must not depend on the value.
	Topic() string
	// Subject returns the entity of the message.
	Subject() string
}

// NewID returns a UUIDv7; ids sort by their creation time.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Source returns the CloudEvents source of a service.
func Source(service string) string { return "stega/" + service }
