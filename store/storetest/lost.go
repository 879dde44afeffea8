package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/store"
)

func overtaken(t *testing.T, h Harness) {
	db := open(t, h)
	e := func(sequence int64) events.Envelope {
		return events.Envelope{Source: "stega/owner", Subject: "it's ? a \\ subject\x00", Sequence: sequence}
	}
	late := func(ctx context.Context, tx *store.Tx, handler string, e events.Envelope) bool {
		late, err := store.InboxOf(tx).Overtaken(ctx, handler, e)
		require.NoError(t, err)
		return late
	}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		assert.False(t, late(ctx, tx, "h", e(1)))
		store.InboxOf(tx).HandledSequence("h", e(3))
		assert.True(t, late(ctx, tx, "h", e(2)), "of the same unit")
		store.InboxOf(tx).HandledSequence("h", e(2))
		return nil
	})
	require.ErrorIs(t, db.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
		store.InboxOf(tx).HandledSequence("h", e(9))
		return errOops
	}), errOops)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		assert.True(t, late(ctx, tx, "h", e(2)))
		assert.False(t, late(ctx, tx, "h", e(3)), "the same")
		assert.False(t, late(ctx, tx, "h", e(4)), "a rolled back sequence does not count")
		assert.False(t, late(ctx, tx, "other", e(2)))
		assert.False(t, late(ctx, tx, "h", events.Envelope{Source: "stega/other", Subject: e(2).Subject, Sequence: 2}))
		assert.False(t, late(ctx, tx, "h", e(0)), "messages without a sequence")
		store.InboxOf(tx).HandledSequence("h", e(1))
		return nil
	})
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		assert.True(t, late(ctx, tx, "h", e(2)), "a lower one does not lower it")
		return nil
	})
}

func lostCommands(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		for version := range int64(4) {
			require.NoError(t,
				tx.Enqueue(db.Service(), events.PortfolioReturnsUpdated{PortfolioID: "p", Version: version + 1}))
		}
		return tx.Enqueue("another", events.PortfolioReturnsUpdated{PortfolioID: "p", Version: 9})
	})
	lost := func() []string {
		return must(db.LostCommands(t.Context()))(t)
	}
	exec := func(query string, args ...any) {
		unit(t, db, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		})
	}
	exec("UPDATE commands SET due_at = due_at - ?", time.Hour.Microseconds())
	assert.Empty(t, lost(), "they are in the outbox")
	exec("DELETE FROM outbox")
	all := lost()
	require.Len(t, all, 4, "only those of the service itself")
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		store.InboxOf(tx).CommandBegun(all[0], time.Hour)
		store.InboxOf(tx).CommandSettled(all[1])
		return nil
	})
	assert.ElementsMatch(t, all[2:], lost())
	var sent atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			n, err := db.SendCommandsAgain(t.Context(), all)
			assert.NoError(t, err)
			sent.Add(int64(n))
		})
	}
	group.Wait()
	assert.EqualValues(t, 2, sent.Load(), "once, by any number of processes")
	assert.Empty(t, lost())
	var rows []struct{ MessageID, Service, Data string }
	require.NoError(t, db.Read().NewRaw("SELECT message_id, service, data FROM outbox ORDER BY message_id").
		Scan(t.Context(), &rows))
	require.Len(t, rows, 2)
	for _, r := range rows {
		assert.Contains(t, all[2:], r.MessageID)
		assert.Equal(t, db.Service(), r.Service)
		assert.Contains(t, r.Data, `"portfolio_id":"p"`)
	}
}
