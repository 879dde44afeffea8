package brokertest

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

func wholeLog(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 50)...)
	w.publish(command(alpha, 1)) // the log has no commands
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	other, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	read := w.read(entries, 30)
	live := make([]broker.Outgoing, 50)
	for i := range live {
		live[i] = event(green, 51+i)
	}
	w.publish(live...)
	read = append(read, w.read(entries, 70)...)
	again := w.read(other, 100)
	for i, e := range read {
		assert.EqualValues(w.t, i+1, e.Sequence)
		assert.EqualValues(w.t, i+1, again[i].Sequence)
		assert.Equal(w.t, e.Position, again[i].Position)
		if i > 0 {
			assert.Greater(w.t, e.Position, read[i-1].Position)
		}
	}
	w.noEntry(entries)
}

func logFrom(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 40)...)
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	read := w.read(entries, 40)
	for _, i := range []int{0, 1, 20, 39} {
		tail, err := w.b.Log(w.ctx, read[i].Position)
		require.NoError(w.t, err)
		first := w.read(tail, 40-i)
		assert.Equal(w.t, read[i].Position, first[0].Position)
		assert.EqualValues(w.t, i+1, first[0].Sequence)
		assert.EqualValues(w.t, 40, first[len(first)-1].Sequence)
	}
	next, err := w.b.Log(w.ctx, read[39].Position+1)
	require.NoError(w.t, err)
	w.noEntry(next)
	w.publish(event(red, 41))
	assert.EqualValues(w.t, 41, w.read(next, 1)[0].Sequence)
}

func logEnd(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 5)...)
	entries, err := w.b.Log(w.ctx, broker.LogEnd)
	require.NoError(w.t, err)
	w.noEntry(entries)
	w.publish(event(red, 6), event(green, 7))
	read := w.read(entries, 2)
	assert.EqualValues(w.t, 6, read[0].Sequence)
	assert.EqualValues(w.t, 7, read[1].Sequence)
}

func logEnds(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 5)...)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	entries, err := w.b.Log(ctx, 0)
	require.NoError(w.t, err)
	w.read(entries, 2)
	cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for range entries {
		}
	}()
	w.await("the log is closed", closed)
}

func logBounds(w *env) {
	w.declare(service(alpha, red))
	bounds, err := w.b.LogBounds(w.ctx)
	require.NoError(w.t, err)
	assert.True(w.t, bounds.Empty)
	w.publish(many(red, 30)...)
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	read := w.read(entries, 30)
	assert.Equal(w.t, bounds.Origin, read[0].Position, "the first entry of a new log is at its origin")
	bounds, err = w.b.LogBounds(w.ctx)
	require.NoError(w.t, err)
	assert.False(w.t, bounds.Empty)
	assert.Equal(w.t, read[0].Position, bounds.First)
	near := bounds.Recent.Position - read[0].Position
	require.Less(w.t, near, uint64(30))
	assert.Equal(w.t, read[near].ID, bounds.Recent.ID)
}

// noEntry checks for a while that the log has no new entry.
func (w *env) noEntry(entries <-chan broker.LogEntry) {
	w.t.Helper()
	select {
	case e, open := <-entries:
		assert.Failf(w.t, "there is an entry", "message %d (open: %v)", e.Sequence, open)
	case <-time.After(none):
	}
}
