package stream

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"stega/broker"
	"stega/events"
)

// entry is an event of the log as the window keeps it. It is encoded once, when the first client gets it.
type entry struct {
	broker.LogEntry
	encoded   []byte // the event as clients see it, after the first call of json; Data lies in it
	operation []byte // the push of an operation as JSON, of an event about one
	words     []string
	internal  bool // the bus itself published it
	// the same event stood in the log shortly before: who publishes repeats what was not confirmed. It is pushed to
	// nobody
	again bool
	read  time.Time
	bytes int // of size
}

func (e *entry) position() Position { return Position{e.Position, e.ID} }

// packedGrowth is about how much longer the data of a bulk event is with arrays than in its packed form.
const packedGrowth = 4

// size is what the window counts it for, whether it is encoded already or not.
func (e *entry) size() int { return e.bytes }

// head is the envelope of an event as clients see it.
type head struct {
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	Correlation string    `json:"correlationid,omitempty"`
	Causation   string    `json:"causationid,omitempty"`
	Sequence    int64     `json:"sequence,omitempty"`
}

// newEntry returns the entry of an event. It does not encode the event.
func newEntry(l broker.LogEntry, internal map[string]bool) *entry {
	e := &entry{LogEntry: l, words: strings.Split(l.Type, "."), read: time.Now()}
	e.internal = internal[l.Type] || e.words[0] == "operation"
	if e.internal && e.words[0] == "operation" {
		e.operation = operation(l.Type, e.Data)
	}
	e.bytes = len(e.Data) + len(e.operation) + len(e.Type) + 768
	if events.IsPacked(e.Data) {
		e.bytes += (packedGrowth - 1) * len(e.Data)
	}
	return e
}

// json returns the event as clients see it, on one line, as server-sent events need it. Data that is no JSON is null.
// The hub's lock is held.
func (e *entry) json() []byte {
	if e.encoded != nil {
		return e.encoded
	}
	data := events.Arrays(e.Type, e.Data)
	var out bytes.Buffer
	out.Grow(len(data) + 512)
	encode(&out, head{e.ID, e.Source, e.Type, e.Subject, e.Time, e.Correlation, e.Causation, e.Sequence})
	out.Truncate(out.Len() - 1) // the closing brace
	out.WriteString(`,"data":`)
	begin := out.Len()
	if json.Compact(&out, data) != nil {
		out.Truncate(begin)
		out.WriteString("null")
	}
	end := out.Len()
	out.WriteByte('}')
	e.encoded = out.Bytes()
	e.Data = e.encoded[begin:end:end] // the other copy is freed
	return e.encoded
}

// encode writes JSON without escaping what only HTML needs escaped, and without a line end.
func encode(out *bytes.Buffer, v any) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		out.WriteString("null\n") // what is encoded here always can be
	}
	out.Truncate(out.Len() - 1)
}

// operationPush is what an event reports of its operation; the rest is left out.
type operationPush struct {
	ID         string           `json:"id"`
	Command    string           `json:"command,omitempty"`
	Service    string           `json:"service,omitempty"`
	Subject    string           `json:"subject,omitempty"`
	EntityID   string           `json:"entity_id,omitempty"`
	Status     string           `json:"status,omitempty"`
	Settled    bool             `json:"settled"`
	Outcome    string           `json:"outcome"`
	Error      json.RawMessage  `json:"error,omitempty"`
	AcceptedAt *time.Time       `json:"accepted_at,omitempty"`
	FinishedAt *time.Time       `json:"finished_at,omitempty"`
	SettledAt  *time.Time       `json:"settled_at,omitempty"`
	Progress   *progress        `json:"progress,omitempty"`
	Waiting    []events.Waiting `json:"waiting,omitempty"`
}

type progress struct {
	Done  int64     `json:"done"`
	Total int64     `json:"total,omitempty"`
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at"`
}

// operation returns the push for the channel of an operation; nil for an event about none.
func operation(topic string, data []byte) []byte {
	t, known := events.Lookup(topic)
	if !known {
		return nil
	}
	v, err := t.Decode(data)
	if err != nil {
		return nil
	}
	push := operationPush{ID: v.Subject(), Outcome: "pending"}
	switch o := v.(type) {
	case events.OperationAccepted:
		push.state(o.OperationState)
	case events.OperationResolved:
		push.state(o.OperationState)
	case events.OperationProgressed:
		push.Status = "running"
		push.Progress = &progress{o.Done, o.Total, o.Text, o.At}
	case events.OperationSettled:
		push.state(events.OperationState{
			Command:    o.Command,
			Service:    o.Service,
			About:      o.About,
			EntityID:   o.EntityID,
			Status:     o.Status,
			Error:      o.Error,
			AcceptedAt: o.AcceptedAt,
			FinishedAt: o.FinishedAt,
		})
		push.Settled, push.Outcome, push.SettledAt = true, "settled", &o.SettledAt
	case events.OperationStalled:
		push.Outcome, push.Waiting = o.Outcome, o.Waiting
	default:
		return nil
	}
	var out bytes.Buffer
	encode(&out, push)
	return out.Bytes()
}

func (t *operationPush) state(o events.OperationState) {
	t.Command, t.Service, t.Subject, t.EntityID, t.Status, t.Error = o.Command, o.Service, o.About, o.EntityID,
		o.Status,
		o.Error
	t.AcceptedAt, t.FinishedAt = &o.AcceptedAt, o.FinishedAt
}
