package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"stega/events"
)

var noteSequence = NewUpsert("handled_sequences", 3, "handler", "subject", "source", "sequence").
	Setting("sequence = excluded.sequence WHERE excluded.sequence > handled_sequences.sequence")

// HandledSequence records, in this unit, that a handler has handled a message of its subject, for Overtaken.
func (t *Tx) HandledSequence(handler string, e events.Envelope) {
	if e.Sequence > 0 {
		t.Put(noteSequence, handler, plain(e.Subject), plain(e.Source), e.Sequence)
	}
}

// Overtaken reports whether a handler has handled a message of the same subject and source that was emitted after this one.
func (t *Tx) Overtaken(ctx context.Context, handler string, e events.Envelope) (bool, error) {
	if e.Sequence <= 0 {
		return false, nil
	}
	var handled int64
	err := t.QueryRowContext(ctx, "SELECT sequence FROM handled_sequences WHERE handler = ? AND subject = ? AND source = ?",
		handler, plain(e.Subject), plain(e.Source)).Scan(&handled)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("read the sequence that %s has handled: %w", handler, err)
	}
	return handled > e.Sequence, nil
}
