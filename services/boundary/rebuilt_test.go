package boundary

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/store"
)

// id returns a message id that was made at a time.
func idOf(at time.Time) string {
	u := uuid.Must(uuid.NewV7())
	millis := at.UnixMilli()
	for i := range 6 {
		u[i] = byte(millis >> (40 - 8*i))
	}
	return u.String()
}

// rebuild lets returns be rebuilt from events of the topic t, with a request that was emitted at a time.
func (b *books) rebuild(id string, since time.Time, status string) {
	b.t.Helper()
	require.NoError(b.t, b.db.Do(b.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		tx.SetCause(events.Envelope{ID: events.NewID(), Correlation: id, Time: since})
		return b.s.rebuilding(ctx, tx, events.ReplayRequested{Service: "returns", Topics: []string{"t"}, Rebuild: id})
	}))
	f := succeeded(id)
	f.entry.Service, f.entry.State.Service, f.entry.State.Command, f.entry.State.Status = "returns", "returns",
		"returns.rebuild", status
	b.enter(f)
}

func (b *books) sweepOnce() {
	b.t.Helper()
	require.NoError(b.t, b.s.sweep(b.t.Context()))
}

// dead is the receipt of a message that returns gave up.
func dead(operation, message string, at time.Time) fact {
	f := handled(operation, message)
	f.entry.Receipts[0].State, f.entry.Receipts[0].At = events.ReceiptDead, at
	return f
}

// A settled rebuild stands for messages that were emitted before it and never came, or died before it: what waits for
// them settles, and so does what waits for that.
func TestARebuildStandsForWhatWasLost(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		b := newBooks(t, map[string][]string{"t": {"returns"}, "u": {"returns"}, "w": {"returns", "optimization"}})
		now := time.Now()
		old, late := now.Add(-time.Minute), now.Add(-time.Second)
		lost, died, diedLater, shared := idOf(old), idOf(old), idOf(old), idOf(old)
		other, elsewhere, recent := idOf(old), idOf(old), idOf(late)
		b.enter(
			succeeded("lost", message(lost, "")),
			succeeded("died", message(died, "")), dead("died", died, old),
			succeeded("died later", message(diedLater, "")), dead("died later", diedLater, now),
			succeeded("other topic", events.Emitted{ID: other, Topic: "u"}),
			succeeded("elsewhere", events.Emitted{ID: elsewhere, Topic: "w"}),
			succeeded("recent", message(recent, "")),
			succeeded("B", message(shared, "")), succeeded("A", message("a1", "")),
			handled("A", "a1", message(shared, "B")),
		)
		b.sweep()
		open := []string{"lost", "died", "died later", "other topic", "elsewhere", "recent", "A", "B"}
		before := []string{Stalled, Failed, Failed, Stalled, Stalled, Stalled, Stalled, Stalled}
		require.Equal(t, before, b.outcomes(open...))

		b.rebuild("failed", now.Add(-time.Second), "failed")
		b.sweepOnce()
		require.Equal(t, before, b.outcomes(open...), "a rebuild that failed stands for nothing")
		b.rebuild("R", now.Add(-time.Second), "succeeded")
		if restarted {
			b.restart()
		}
		b.sweepOnce()
		assert.Equal(t, []string{Settled, Settled, Failed, Stalled, Stalled, Stalled, Settled, Settled},
			b.outcomes(open...))

		b.enter(succeeded("told late", message(idOf(old), "")))
		b.sweep()
		assert.Equal(t, []string{Settled}, b.outcomes("told late"), "what is known only after the rebuild")

		b.enter(succeeded("came after all", message(lost, "")), dead("came after all", lost, now.Add(time.Minute)))
		b.sweep()
		assert.Equal(t, []string{Failed}, b.outcomes("came after all"))
	}
}
