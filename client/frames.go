package client

import (
	"encoding/json"

	"stega/fault"
)

// The frames of the stream: a command of the client carries an id and is answered by it; what the server pushes
// carries none.

type command struct {
	ID          uint64   `json:"id"`
	Subscribe   *channel `json:"subscribe,omitempty"`
	Unsubscribe *channel `json:"unsubscribe,omitempty"`
}

type channel struct {
	Channel  string    `json:"channel"`
	From     *Position `json:"from,omitempty"`
	Coalesce bool      `json:"coalesce,omitempty"`
}

type frame struct {
	ID       uint64       `json:"id"`
	Result   *Standing    `json:"result"`
	Error    *fault.Fault `json:"error"`
	Push     *Push        `json:"push"`
	Position *Position    `json:"position"`
	Hello    *Hello       `json:"hello"`
}

// Hello is what the server says of itself when a connection stands.
type Hello struct {
	Version     string   `json:"version"`
	Position    Position `json:"position"`
	PingSeconds int      `json:"ping_seconds"`
}

// Standing is how a subscription stands.
type Standing struct {
	Channel   string     `json:"channel"`
	Position  Position   `json:"position"`
	Resumed   bool       `json:"resumed"`   // the pushes since the position that was asked for follow
	Operation *Operation `json:"operation"` // of an operation's channel, when it is known already
}

// Push is what happened on channels.
type Push struct {
	Channels  []string   `json:"channels"`
	Number    uint64     `json:"position"`
	Event     Event      `json:"event"`
	Operation *Operation `json:"operation,omitempty"` // of an operation's channel; it may tell a part only
}

// Position is where the event is in the log.
func (p Push) Position() Position { return Position{p.Number, p.Event.ID} }

// read decodes a frame.
func read(b []byte) (f frame, err error) { return f, json.Unmarshal(b, &f) }
