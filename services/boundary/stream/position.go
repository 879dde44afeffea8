package stream

import (
	"strconv"
	"strings"

	"stega/fault"
)

// Position is a place in the log. The id of the event that stands there proves that a log is the one that the
// position was taken from. The zero position is before everything.
type Position struct {
	Position uint64 `json:"position"`
	ID       string `json:"id"`
}

// String is the position as headers carry it: "12;<event id>".
func (p Position) String() string { return strconv.FormatUint(p.Position, 10) + ";" + p.ID }

// ParsePosition reads what String writes.
func ParsePosition(text string) (Position, error) {
	number, id, found := strings.Cut(strings.TrimSpace(text), ";")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !found || len(id) > maxName {
		return Position{}, fault.Malformed("position_malformed", "%q is not a position of the event log", short(text)).
			WithHint("a position looks like 12;0199c7f2-…, as Stega-Position and the ids of pushes have it")
	}
	return Position{Position: n, ID: id}, nil
}

// short bounds a text of a client that an answer repeats.
func short(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "…"
	}
	return text
}
