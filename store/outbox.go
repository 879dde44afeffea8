package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stega/events"
)

// outboxRows is how many rows one statement writes.
const outboxRows = 256

// outbox writes what was emitted. Each subject's counter is raised first, in the order of their names, so that its
// row lock puts the outbox rows of the subject into the order of their commits and two units do not block each other; the
// rows take their sequence from it.
func (t *Tx) outbox(ctx context.Context) error {
	if len(t.emitted) == 0 {
		return nil
	}
	emitted := t.emitted
	t.emitted, t.bytes = nil, 0
	t.wrote += len(emitted)
	counts := map[string]int{}
	for i := range emitted {
		if emitted[i].sequenced() {
			counts[emitted[i].Subject]++
		}
	}
	if len(counts) > 0 {
		var b strings.Builder
		args := make([]any, 0, 2*len(counts))
		b.WriteString("INSERT INTO sequences (subject, value) VALUES ")
		for i, subject := range slices.Sorted(maps.Keys(counts)) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString("(?, ?)")
			args = append(args, subject, counts[subject])
		}
		b.WriteString(" ON CONFLICT (subject) DO UPDATE SET value = sequences.value + excluded.value")
		t.session.later(t.session.format(b.String(), args))
	}
	for chunk := range slices.Chunk(emitted, outboxRows) {
		if err := t.writeOutbox(ctx, chunk, counts); err != nil {
			return fmt.Errorf("write the outbox: %w", err)
		}
	}
	return nil
}

// sequenced reports whether a message is counted within its subject: commands are not, nor is what the bus says of itself, which
// would leave a counter behind for each operation.
func (m *emission) sequenced() bool { return m.service == "" && !events.IsInternal(m.Type) }

const outboxColumns = `INSERT INTO outbox (message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, data, sequence) VALUES `

// writeOutbox writes a chunk of rows. left holds, for each subject, how many of its messages are still to be written.
func (t *Tx) writeOutbox(ctx context.Context, chunk []emission, left map[string]int) error {
	var b strings.Builder
	b.WriteString(outboxColumns)
	args := make([]any, 0, 12*len(chunk))
	size := 0
	for i := range chunk {
		if i > 0 {
			b.WriteString(", ")
		}
		m := &chunk[i]
		b.WriteString("(?, ?, ?, ?, ?, ?, ?, ?, ?, ")
		args = append(args, m.ID, m.service, m.Type, m.Subject, m.Time.UnixMicro(), m.Correlation, m.Causation, m.TraceParent, string(m.Data))
		size += len(m.Data)
		if !m.sequenced() {
			b.WriteString("0)")
			continue
		}
		left[m.Subject]--
		b.WriteString("(SELECT value FROM sequences WHERE subject = ?) - ?)")
		args = append(args, m.Subject, left[m.Subject])
	}
	if t.session.steady && size > 64<<10 {
		// Bound values spare a copy of every byte through the text of the statement.
		if err := t.session.flush(ctx); err != nil {
			return err
		}
		_, err := t.session.send(ctx, b.String(), args...)
		return err
	}
	t.session.later(t.session.format(b.String(), args))
	if len(t.session.pending) > flushBytes {
		return t.session.flush(ctx)
	}
	return nil
}
