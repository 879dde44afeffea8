package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
	"stega/store"
)

func claims(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		claimed, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: "m1", Handler: "a"}, {MessageID: "m1", Handler: "b"},
				{MessageID: "m2", Handler: "a"},
				{MessageID: "m1", Handler: "a"}})
		assert.Equal(t, []bool{true, true, true, false}, claimed)
		return err
	})
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		claimed, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: "m3", Handler: "a"}, {MessageID: "m1", Handler: "b"},
				{MessageID: "m2", Handler: "b"}})
		assert.Equal(t, []bool{true, false, true}, claimed)
		require.NoError(t, err)
		claimed, err = store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: "m3", Handler: "a"}})
		assert.Equal(t, []bool{false}, claimed)
		return err
	})
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		claimed, err := store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: "m4", Handler: "a"}})
		assert.Equal(t, []bool{true}, claimed)
		return errors.Join(err, errOops)
	})
	require.ErrorIs(t, err, errOops)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		claimed, err := store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: "m4", Handler: "a"}})
		assert.Equal(t, []bool{true}, claimed, "a rolled back claim leaves nothing")
		require.NoError(t, err)
		many := make([]store.Claim, 2000)
		for i := range many {
			many[i] = store.Claim{MessageID: fmt.Sprintf("many %d", i/2), Handler: "a"}
		}
		claimed, err = store.InboxOf(tx).Claim(ctx, many)
		for i := range claimed {
			assert.Equal(t, i%2 == 0, claimed[i])
		}
		return err
	})
}

func claimRace(t *testing.T, h Harness) {
	db := open(t, h)
	var winners atomic.Int64
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			won := 0
			err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				won = 0
				claimed, err := store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: "m", Handler: "h"}})
				if err == nil && claimed[0] {
					won = 1
					err = trail(ctx, tx, 1, "effect")
				}
				return err
			})
			assert.NoError(t, err)
			winners.Add(int64(won))
		})
	}
	group.Wait()
	assert.Equal(t, int64(1), winners.Load())
	assert.Equal(t, 1, count(t, db, "trail"))
}

// parkedMessage returns a parked message of a subject for handler h.
func parkedMessage(tx *store.Tx, subject string, n int, state store.ParkedState, due time.Time) store.ParkedMessage {
	return store.ParkedMessage{
		Handler: "h", State: state, Attempts: 1, LastError: "it's broken\x00", Cause: "broken", ParkedAt: tx.Now(),
		DueAt: due,
		Message: events.Message{Data: []byte{0, 1, '\'', 255}, Envelope: events.Envelope{
			ID:          fmt.Sprintf("%s-%d", subject, n),
			Source:      "stega/x",
			Type:        "x.happened",
			Subject:     subject,
			Time:        tx.Now(),
			Correlation: "op",
			Causation:   "cause",
			Sequence:    int64(n),
			TraceParent: "00-1-2-01",
			ContentType: "application/json",
		}},
	}
}

func parks(t *testing.T, h Harness) {
	db := open(t, h)
	var want store.ParkedMessage
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		soon := tx.Now().Add(-time.Second)
		want = parkedMessage(tx, "a", 1, store.Parked, soon)
		return errors.Join(
			store.InboxOf(tx).Park(ctx, want), store.InboxOf(tx).
				Park(ctx, parkedMessage(tx, "a", 2, store.Waiting, soon)),
			store.InboxOf(tx).Park(ctx, parkedMessage(tx, "b", 1, store.Parked, tx.Now().Add(time.Hour))),
			store.InboxOf(tx).Park(ctx, parkedMessage(tx, "b", 2, store.Waiting, tx.Now())),
		)
	})
	a, b, c := store.Lane{Handler: "h", Subject: "a"}, store.Lane{Handler: "h", Subject: "b"},
		store.Lane{Handler: "h", Subject: "c"}
	other := store.Lane{Handler: "other", Subject: "a"}
	var first store.ParkedMessage
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		blocked, err := store.InboxOf(tx).Blocked(ctx, []store.Lane{a, b, c, other})
		require.NoError(t, err)
		assert.Equal(t, map[store.Lane]bool{a: true, b: true}, blocked)
		m, ok, err := store.InboxOf(tx).NextDue(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		first = m
		want.ID, want.LastError = m.ID, "it's broken"
		assert.Equal(t, want, m)
		return nil
	})
	due, ok, err := db.DueAt(t.Context())
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, want.DueAt, due)

	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		require.NoError(t, store.InboxOf(tx).Unpark(ctx, first.ID))
		m, ok, err := store.InboxOf(tx).NextDue(ctx)
		require.NoError(t, err)
		require.True(t, ok, "the next of the lane is due at once")
		assert.Equal(t, "a-2", m.Message.ID)
		m.State, m.DueAt, m.Attempts, m.LastError = store.Parked, tx.Now().Add(time.Minute), 2, "again"
		require.NoError(t, store.InboxOf(tx).Repark(ctx, m))
		_, ok, err = store.InboxOf(tx).NextDue(ctx)
		assert.False(t, ok, "b is not due, and its second message waits for the first")
		return err
	})
	// the message of a dies without holding its lane, that of b holds it
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		for _, m := range must(db.DeadLetters(ctx, "", 10, 0))(t) {
			if m.State == store.Parked {
				m.State, m.DiedAt = store.Dead, tx.Now()
				require.NoError(t, store.InboxOf(tx).Repark(ctx, m))
			}
			if m.Message.ID == "b-1" {
				tx.Queue(tx.NewRaw("UPDATE parked SET holds = true WHERE id = ?", m.ID))
			}
		}
		blocked, err := store.InboxOf(tx).Blocked(ctx, []store.Lane{a, b})
		assert.Equal(t, map[store.Lane]bool{b: true}, blocked)
		require.NoError(t, err)
		_, ok, err := store.InboxOf(tx).NextDue(ctx)
		assert.False(t, ok, "a dead message holds its lane")
		return err
	})
	_, ok, err = db.DueAt(t.Context())
	require.NoError(t, err)
	assert.False(t, ok)
	parkRace(t, db)
}

// parkRace lets several workers take due messages at once: each message is taken once, in the order of its lane.
func parkRace(t *testing.T, db *store.DB) {
	const lanes, each = 5, 6
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		for n := range each {
			for l := range lanes {
				state := store.Waiting
				if n == 0 {
					state = store.Parked
				}
				if err := store.InboxOf(tx).Park(ctx,
					parkedMessage(tx, fmt.Sprintf("race %d", l), n, state, tx.Now())); err != nil {
					return err
				}
			}
		}
		return nil
	})
	var group sync.WaitGroup
	var taken atomic.Int64
	for range 4 {
		group.Go(func() {
			for taken.Load() < lanes*each {
				ok := false
				err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					m, got, err := store.InboxOf(tx).NextDue(ctx)
					if ok = got; err != nil || !ok {
						return err
					}
					before, err := tx.NewSelect().Table("trail").Where("text = ?", m.Message.Subject).Count(ctx)
					if err != nil {
						return err
					}
					assert.Equal(t, m.Message.Sequence, before, "earlier messages of the lane are taken before")
					return errors.Join(store.InboxOf(tx).Unpark(ctx, m.ID),
						trail(ctx, tx, int(m.Message.Sequence), m.Message.Subject))
				})
				if assert.NoError(t, err) && ok {
					taken.Add(1)
				}
			}
		})
	}
	group.Wait()
	for l := range lanes {
		var got []int
		err := db.Read().NewSelect().Table("trail").Column("n").Where("text = ?",
			fmt.Sprintf("race %d", l)).Scan(t.Context(), &got)
		require.NoError(t, err)
		assert.ElementsMatch(t, []int{0, 1, 2, 3, 4, 5}, got)
	}
}

// must unwraps two results.
func must[V any](v V, err error) func(t testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

func letters(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		for i := range 5 {
			m := parkedMessage(tx, fmt.Sprint("s", i), 1, store.Dead, time.Time{})
			m.DiedAt = tx.Now()
			if err := store.InboxOf(tx).Park(ctx, m); err != nil {
				return err
			}
		}
		return store.InboxOf(tx).Park(ctx, parkedMessage(tx, "p", 1, store.Parked, tx.Now().Add(time.Hour)))
	})
	all := must(db.DeadLetters(t.Context(), "", 100, 0))(t)
	require.Len(t, all, 6)
	assert.Equal(t, "p-1", all[0].Message.ID, "newest first")
	page := must(db.DeadLetters(t.Context(), store.Dead, 2, all[2].ID))(t)
	require.Len(t, page, 2)
	assert.Equal(t, all[3].ID, page[0].ID)

	id := page[0].ID
	require.NoError(t, db.Revive(t.Context(), id, []byte(`{"fixed":true}`)))
	m := must(db.DeadLetter(t.Context(), id))(t)
	assert.Equal(t, store.Parked, m.State)
	assert.Zero(t, m.Attempts)
	assert.True(t, m.DiedAt.IsZero())
	assert.JSONEq(t, `{"fixed":true}`, string(m.Message.Data))
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		m, ok, err := store.InboxOf(tx).NextDue(ctx)
		assert.True(t, ok)
		assert.Equal(t, id, m.ID)
		return err
	})
	require.NoError(t, db.Revive(t.Context(), page[1].ID, nil))
	assert.Equal(t, page[1].Message.Data, must(db.DeadLetter(t.Context(), page[1].ID))(t).Message.Data)
	require.NoError(t, db.Drop(t.Context(), id))
	_, err := db.DeadLetter(t.Context(), id)
	for _, err := range []error{err, db.Drop(t.Context(), id), db.Revive(t.Context(), id, nil)} {
		f, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, fault.KindNotFound, f.Kind)
	}
}

func operation(id string) store.Operation {
	return store.Operation{
		ID:         id,
		Command:    "tester.try",
		Service:    "tester",
		Subject:    "s",
		EntityID:   "e",
		Status:     store.Accepted,
		BodyHash:   "h",
		AcceptedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
}

func operations(t *testing.T, h Harness) {
	db := open(t, h)
	good, bad, slow := operation(events.NewID()), operation(events.NewID()), operation(events.NewID())
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		for _, o := range []store.Operation{good, bad, slow} {
			existing, err := store.OperationsOf(tx).Start(ctx, o)
			require.NoError(t, err)
			assert.Nil(t, existing)
		}
		return errors.Join(
			store.OperationsOf(tx).Finish(ctx, good.ID, nil),
			store.OperationsOf(tx).Finish(ctx, bad.ID, fault.Conflict("taken", "the name is taken").
				WithHint("choose another")),
		)
	})
	got := must(db.Operation(t.Context(), good.ID))(t)
	require.NotNil(t, got.FinishedAt)
	good.Status, good.FinishedAt = store.Succeeded, got.FinishedAt
	assert.Equal(t, good, got)
	got = must(db.Operation(t.Context(), bad.ID))(t)
	assert.Equal(t, store.Failed, got.Status)
	assert.Equal(t, "taken", got.Error.Code)
	assert.Equal(t, "choose another", got.Error.Hint)
	assert.Equal(t, fault.KindConflict, got.Error.Kind)

	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		existing, err := store.OperationsOf(tx).Start(ctx,
			store.Operation{ID: good.ID, Command: "other", Status: store.Accepted, AcceptedAt: tx.Now()})
		require.NoError(t, err)
		assert.Equal(t, good, *existing)
		return nil
	})
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return store.OperationsOf(tx).Finish(ctx, good.ID, nil)
	})
	require.Error(t, err, "the operation is finished")
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(store.OperationsOf(tx).MarkRunning(ctx, slow.ID), store.OperationsOf(tx).
			MarkRunning(ctx, good.ID))
	})
	assert.Equal(t, store.Running, must(db.Operation(t.Context(), slow.ID))(t).Status)
	assert.Equal(t, store.Succeeded, must(db.Operation(t.Context(), good.ID))(t).Status)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		return store.OperationsOf(tx).Finish(ctx, slow.ID, nil)
	})
	assert.Equal(t, store.Succeeded, must(db.Operation(t.Context(), slow.ID))(t).Status)

	list := must(db.Operations(t.Context(), 2, ""))(t)
	assert.Equal(t, []string{slow.ID, bad.ID}, []string{list[0].ID, list[1].ID})
	list = must(db.Operations(t.Context(), 2, bad.ID))(t)
	require.Len(t, list, 1)
	assert.Equal(t, good.ID, list[0].ID)
	_, err = db.Operation(t.Context(), "nonsense")
	f, ok := errors.AsType[*fault.Fault](err)
	require.True(t, ok)
	assert.Equal(t, fault.KindNotFound, f.Kind)
}

func waits(t *testing.T, h Harness) {
	url := h.URL(t)
	db := reopen(t, url)
	id := events.NewID()
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := store.OperationsOf(tx).Start(ctx, operation(id))
		return err
	})
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	o, err := db.WaitOperation(short, id)
	require.NoError(t, err)
	assert.Equal(t, store.Accepted, o.Status, "after the timeout it returns the present state")

	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			o, err := db.WaitOperation(ctx, id)
			assert.NoError(t, err)
			assert.Equal(t, store.Succeeded, o.Status)
		})
	}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error { return store.OperationsOf(tx).Finish(ctx, id, nil) })
	group.Wait()
	_, err = db.WaitOperation(t.Context(), "nonsense")
	require.Error(t, err)
}

func tidies(t *testing.T, h Harness) {
	db := open(t, h)
	old, open, recent := events.NewID(), events.NewID(), events.NewID()
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{old, open, recent} {
			if _, err := store.OperationsOf(tx).Start(ctx, operation(id)); err != nil {
				return err
			}
		}
		if _, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: "old", Handler: "h"}, {MessageID: "recent", Handler: "h"}}); err != nil {
			return err
		}
		past := tx.Now().Add(-48 * time.Hour).UnixMicro()
		tx.Queue(tx.NewRaw("UPDATE inbox SET handled_at = ? WHERE message_id = 'old'", past))
		return errors.Join(store.OperationsOf(tx).Finish(ctx, old, nil), store.OperationsOf(tx).
			Finish(ctx, recent, nil),
			tx.Flush(ctx),
			second(tx.ExecContext(ctx, "UPDATE operations SET finished_at = ? WHERE id = ?", past, old)),
			second(tx.ExecContext(ctx, "UPDATE operations SET accepted_at = ? WHERE id = ?", past, open)))
	})
	require.NoError(t, db.Tidy(t.Context(), store.Retention{}))
	assert.Equal(t, 2, count(t, db, "inbox"))
	require.NoError(t, db.Tidy(t.Context(), store.Retention{Inbox: 24 * time.Hour, Operations: 24 * time.Hour}))
	assert.Equal(t, 1, count(t, db, "inbox"))
	_, err := db.Operation(t.Context(), old)
	require.Error(t, err)
	must(db.Operation(t.Context(), open))(t)
	must(db.Operation(t.Context(), recent))(t)
	s := must(db.Stats(t.Context()))(t)
	assert.Equal(t, 1, s.Inbox)
}

func second[V any](_ V, err error) error { return err }

// cancels requests the cancellation of a running operation. From then on it can only fail; after its end no
// cancellation is possible.
func cancels(t *testing.T, h Harness) {
	db := open(t, h)
	id := events.NewID()
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := store.OperationsOf(tx).Start(ctx,
			store.Operation{ID: id, Command: "c", Status: store.Accepted, AcceptedAt: tx.Now()})
		return err
	})
	finish := func(f *fault.Fault) error {
		return db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(trail(ctx, tx, 1, "effect"), store.OperationsOf(tx).Finish(ctx, id, f))
		})
	}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error { return store.OperationsOf(tx).RequestCancel(ctx, id) })
	require.ErrorIs(t, finish(nil), store.ErrCancelRequested)
	assert.Zero(t, count(t, db, "trail"), "its effects are rolled back")
	assert.False(t, must(db.Operation(t.Context(), id))(t).Done())
	require.NoError(t, finish(fault.Conflict("operation_cancelled", "it was cancelled").WithHint("start again")))
	assert.Equal(t, store.Failed, must(db.Operation(t.Context(), id))(t).Status)
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return store.OperationsOf(tx).RequestCancel(ctx, id)
	})
	assert.Equal(t, "operation_over", fault.Of(err).Code)
}
