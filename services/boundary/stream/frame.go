package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"stega/fault"
)

// form is how frames are written to a client.
type form int

const (
	asWebSocket form = iota
	asSSE
	forms
)

// Frames that are always the same.
var (
	pingFrame = []byte{0x89, 0}
	beatFrame = []byte(": beat\n\n")
)

// webSocketFrame is a whole text message from a server, whose frames are not masked: the same bytes for all clients.
func webSocketFrame(payload []byte) []byte {
	out := make([]byte, 0, len(payload)+10)
	out = append(out, 0x81)
	switch n := len(payload); {
	case n < 126:
		out = append(out, byte(n))
	case n <= 0xffff:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, payload...)
}

// sseFrame is a server-sent event; the payload is one line.
func sseFrame(name string, at *Position, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+128)
	if at != nil {
		out = append(append(append(out, "id: "...), at.String()...), '\n')
	}
	out = append(append(append(out, "event: "...), name...), "\ndata: "...)
	return append(append(out, payload...), "\n\n"...)
}

// pushPayload is the push of an entry to a set of channels. The hub's lock is held.
func pushPayload(e *entry, channels []*channel) []byte {
	var out bytes.Buffer
	event := e.json()
	out.Grow(len(event) + len(e.operation) + 256)
	out.WriteString(`{"push":{"channels":[`)
	operation := false
	for i, c := range channels {
		if i > 0 {
			out.WriteByte(',')
		}
		encode(&out, c.name)
		operation = operation || c.operation != ""
	}
	out.WriteString(`],"position":`)
	out.WriteString(strconv.FormatUint(e.Position, 10))
	if operation {
		out.WriteString(`,"operation":`)
		out.Write(e.operation)
	}
	out.WriteString(`,"event":`)
	out.Write(event)
	out.WriteString("}}")
	return out.Bytes()
}

// pushFrame is the push in the form of a client.
func pushFrame(f form, e *entry, payload []byte) []byte {
	if f == asSSE {
		at := e.position()
		return sseFrame("push", &at, payload)
	}
	return webSocketFrame(payload)
}

// frame is any other message in the form of a client.
func frame(f form, name string, at *Position, v any) []byte {
	var out bytes.Buffer
	encode(&out, v)
	if f == asSSE {
		return sseFrame(name, at, out.Bytes())
	}
	return webSocketFrame(out.Bytes())
}

// Messages of the server besides pushes.
type (
	helloMessage struct {
		Hello hello `json:"hello"`
	}
	hello struct {
		Version  string   `json:"version"`
		Position Position `json:"position"`
		Ping     int      `json:"ping_seconds"`
	}
	positionMessage struct {
		Position Position `json:"position"`
	}
	reply struct {
		ID     uint64       `json:"id,omitempty"`
		Result any          `json:"result,omitempty"`
		Error  *fault.Fault `json:"error,omitempty"`
	}
	subscribed struct {
		Channel   string          `json:"channel"`
		Position  Position        `json:"position"`
		Resumed   bool            `json:"resumed,omitempty"`
		Operation json.RawMessage `json:"operation,omitempty"`
	}
	closeMessage struct { // the last server-sent event, in place of a close code
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	unsubscribed struct {
		Channel string `json:"channel"`
	}
	authorized struct{}
	pong       struct{}
)
