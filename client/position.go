package client

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in the log of events: a number, and the event that is there, by which another log is told from
// this one.
type Position struct {
	Position uint64 `json:"position"`
	ID       string `json:"id"`
}

// String is the form of headers: 12;<id>.
func (p Position) String() string { return strconv.FormatUint(p.Position, 10) + ";" + p.ID }

// known is the position, nil for that of a log of which nothing is known.
func (p Position) known() *Position {
	if p == (Position{}) {
		return nil
	}
	return &p
}

// ParsePosition reads what String writes.
func ParsePosition(s string) (p Position, err error) {
	number, id, ok := strings.Cut(s, ";")
	if p.Position, err = strconv.ParseUint(number, 10, 64); err != nil || !ok {
		return p, fmt.Errorf("%q is not a position: it looks like 12;<id of an event>", s)
	}
	p.ID = id
	return p, nil
}
