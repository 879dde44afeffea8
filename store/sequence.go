package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"stega/events"
)

var noteSequence = NewUpsert("handled_sequences", 3, "handler", "subject", "source", "sequence").
	Setting("sequence = excluded.sequence WHERE excluded.sequence > handled_sequences.sequence")

// sequenceKey is what sequences are counted in, as seen by one handler.
type sequenceKey struct{ handler, subject, source string }

func sequenceOf(handler string, e events.Envelope) sequenceKey {
	return sequenceKey{handler, plain(e.Subject), plain(e.Source)}
}

// HandledSequence records, in this unit, that a handler has handled a message of its subject, for Overtaken.
func (in *Inbox) HandledSequence(handler string, e events.Envelope) {
	if e.Sequence <= 0 {
		return
	}
	if in.sequences == nil {
		in.sequences = map[sequenceKey]int64{}
	}
	key := sequenceOf(handler, e)
	in.sequences[key] = max(in.sequences[key], e.Sequence)
}

// putSequences writes the highest sequences that the unit has handled, in an order in which no two units block each
// other.
func (in *Inbox) putSequences() {
	order := func(a, b sequenceKey) int {
		return cmp.Or(cmp.Compare(a.handler, b.handler), cmp.Compare(a.subject, b.subject),
			cmp.Compare(a.source, b.source))
	}
	for _, key := range slices.SortedFunc(maps.Keys(in.sequences), order) {
		in.tx.Put(noteSequence, key.handler, key.subject, key.source, in.sequences[key])
	}
}

// Overtaken reports whether a handler has handled a message of the same subject and source that was emitted after
// this one.
func (in *Inbox) Overtaken(ctx context.Context, handler string, e events.Envelope) (bool, error) {
	if e.Sequence <= 0 {
		return false, nil
	}
	key := sequenceOf(handler, e)
	if in.sequences[key] > e.Sequence {
		return true, nil
	}
	var handled int64
	err := in.tx.QueryRowContext(ctx,
		"SELECT sequence FROM handled_sequences WHERE handler = ? AND subject = ? AND source = ?",
		key.handler, key.subject, key.source).Scan(&handled)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return false, fmt.Errorf("read the sequence that %s has handled: %w", handler, err)
	}
	return handled > e.Sequence, nil
}
