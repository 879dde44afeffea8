package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stega/events"
)

// raise counts the messages of a subject.
var raise = NewUpsert("sequences", 1, "subject", "value").Setting("value = sequences.value + excluded.value")

// outboxRows is how many rows one statement writes.
const outboxRows = 256

// outbox writes what was emitted. Each subject's counter is raised first, in the order of their names, so that its
// row lock puts the outbox rows of the subject into the order of their commits and two units do not block each other;
// the rows take their sequence from it.
func (t *Tx) outbox(ctx context.Context) error {
	if len(t.emitted) == 0 {
		return nil
	}
	emitted := t.emitted
	t.emitted = nil
	t.wrote += len(emitted)
	counts := map[string]int{}
	for i := range emitted {
		if emitted[i].sequenced() {
			counts[emitted[i].Subject]++
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(counts)) {
		t.Put(raise, subject, counts[subject])
	}
	t.keepCommands(emitted)
	if err := t.session.put(ctx); err != nil {
		return fmt.Errorf("count the subjects: %w", err)
	}
	for chunk := range slices.Chunk(emitted, outboxRows) {
		if err := t.writeOutbox(ctx, chunk, counts); err != nil {
			return fmt.Errorf("write the outbox: %w", err)
		}
	}
	return nil
}

// sequenced reports whether a message is counted within its subject. Commands are not, nor are events of the bus
// itself, each of which would leave a counter for its operation.
func (m *emission) sequenced() bool { return m.service == "" && !events.IsInternal(m.Type) }

const outboxColumns = "INSERT INTO outbox " +
	"(message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, data, sequence) VALUES "

// writeOutbox writes a chunk of rows. left holds, for each subject, how many of its messages are still to be written.
func (t *Tx) writeOutbox(ctx context.Context, chunk []emission, left map[string]int) error {
	var b strings.Builder
	b.WriteString(outboxColumns)
	args := make([]any, 0, 12*len(chunk))
	for i := range chunk {
		if i > 0 {
			b.WriteString(", ")
		}
		m := &chunk[i]
		b.WriteString("(?, ?, ?, ?, ?, ?, ?, ?, ?, ")
		args = append(args, m.ID, m.service, m.Type, m.Subject, m.Time.UnixMicro(), m.Correlation, m.Causation,
			m.TraceParent,
			string(m.Data))
		if !m.sequenced() {
			b.WriteString("0)")
			continue
		}
		left[m.Subject]--
		b.WriteString("(SELECT value FROM sequences WHERE subject = ?) - ?)")
		args = append(args, m.Subject, left[m.Subject])
	}
	if err := t.session.bound(ctx, b.String(), args); err != nil {
		return err
	}
	if len(t.session.pending) > flushBytes {
		return t.session.flush(ctx)
	}
	return nil
}
