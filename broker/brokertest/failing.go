package brokertest

import (
	"context"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

func staleAck(w *env) {
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 1)
	w.publish(event(red, 1), event(red, 2))
	stale := w.take(c, 1)[0]
	w.h.CutConnections(w.t)
	again := w.take(c, 1)[0] // the first message of the new connection, as stale was of the old one
	assert.Equal(w.t, stale.ID, again.ID)
	assert.True(w.t, again.Redelivered)
	_ = stale.Ack() // it has no effect, whatever it returns
	w.nothing(c)
	require.NoError(w.t, c.Close())
	assert.Equal(w.t, []int64{1, 2}, numbers(w.handle(w.subscribe(alpha, broker.Events, 10), 2)))
	w.empty(alpha, broker.Events)
}

func staleReject(w *env) {
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 2)
	w.publish(event(red, 1), event(red, 2))
	stale := w.take(c, 2)
	w.h.CutConnections(w.t)
	again := w.take(c, 2)
	assert.Equal(w.t, []int64{1, 2}, numbers(again))
	_, _ = stale[0].Reject("stale"), stale[1].Release() // they have no effect, whatever they return
	w.nothing(c)
	for _, d := range again {
		require.NoError(w.t, d.Ack())
	}
	w.empty(alpha, broker.Events)
	w.empty(alpha, broker.Dead)
}

func cutInTheMiddle(w *env) {
	// A broker detects a lost connection some time later, so the last cut comes well before the end.
	inTheMiddle(w, 4_000, map[int]func(){
		500:   func() { w.h.CutConnections(w.t) },
		1_500: func() { w.h.CutConnections(w.t) },
		2_500: func() { w.h.CutConnections(w.t) },
	})
}

func restartInTheMiddle(w *env) {
	inTheMiddle(w, 10_000, map[int]func(){3_000: func() { w.h.Restart(w.t) }})
}

// inTheMiddle publishes like a relay, repeating unconfirmed messages, and disturbs the broker after given numbers of
// received messages. Finally all must be received.
func inTheMiddle(w *env, n int, disturb map[int]func()) {
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 200)
	ctx, cancel := context.WithTimeout(w.ctx, 3*w.h.patience())
	defer cancel()
	var publishing sync.WaitGroup
	publishing.Go(func() { relay(ctx, w, many(red, n)) })
	received, deliveries := map[int64]bool{}, 0
	for len(received) < n {
		select {
		case d, open := <-c.Deliveries():
			require.True(w.t, open, "the deliveries ended")
			require.NoError(w.t, d.Err)
			deliveries++
			received[d.Sequence] = true
			_ = d.Ack() // on a lost connection it may fail, and the message is redelivered
			if act := disturb[len(received)]; act != nil {
				delete(disturb, len(received))
				act()
			}
		case <-ctx.Done():
			require.FailNow(w.t, "messages are lost", "%d of %d were received", len(received), n)
		}
	}
	publishing.Wait()
	w.t.Logf("%d messages took %d deliveries", n, deliveries)
}

// relay publishes all messages, each until its confirmation.
func relay(ctx context.Context, w *env, messages []broker.Outgoing) {
	refused := make(chan broker.Outgoing, len(messages))
	for _, m := range messages {
		refused <- m
	}
	confirmed := make(chan struct{}, len(messages))
	for left := len(messages); left > 0; {
		select {
		case m := <-refused:
			err := w.b.Publish(ctx, m, func(err error) {
				if err != nil {
					refused <- m
					return
				}
				confirmed <- struct{}{}
			})
			if err != nil && ctx.Err() == nil {
				assert.NotErrorIs(w.t, err, broker.ErrClosed)
				refused <- m
			}
		case <-confirmed:
			left--
		case <-ctx.Done():
			assert.Fail(w.t, "publishing did not end", "%d are not confirmed", left)
			return
		}
	}
}

func logAfterCut(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 10)...)
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	first := w.read(entries, 10)
	w.h.CutConnections(w.t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		relay(w.ctx, w, []broker.Outgoing{event(red, 11)})
	}()
	w.await("the connection is back", sent)
	next := w.read(entries, 1)
	assert.EqualValues(w.t, 11, next[0].Sequence)
	assert.Greater(w.t, next[0].Position, first[9].Position)
}

func restartKeeps(w *env) {
	w.declare(service(alpha, red))
	w.publish(event(red, 1), event(red, 2))
	c := w.subscribe(alpha, broker.Events, 1)
	require.NoError(w.t, w.take(c, 1)[0].Reject("bad"))
	require.NoError(w.t, c.Close())
	w.deep(alpha, broker.Dead, 1)
	w.h.Restart(w.t)
	d := w.handle(w.subscribe(alpha, broker.Dead, 1), 1)[0]
	assert.EqualValues(w.t, 1, d.Sequence)
	assert.Equal(w.t, "bad", d.Reason)
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	assert.EqualValues(w.t, 2, w.read(entries, 2)[1].Sequence)
}

func refused(w *env) {
	w.declare(service(alpha, red))
	w.h.Refuse(w.t, alpha)
	sent := many(red, 20)
	var confirmed []int64
	errs := w.send(sent...)
	for i, err := range errs {
		if err == nil {
			confirmed = append(confirmed, sent[i].Sequence)
			continue
		}
		assert.ErrorIs(w.t, err, broker.ErrNacked)
	}
	require.Less(w.t, len(confirmed), len(sent), "nothing was refused")
	c := w.subscribe(alpha, broker.Events, 100)
	got := map[int64]bool{}
	for len(confirmed) > 0 {
		got[w.handle(c, 1)[0].Sequence] = true
		for len(confirmed) > 0 && got[confirmed[0]] {
			confirmed = confirmed[1:]
		}
	}
}

func closes(w *env) {
	w.declare(service(alpha, red))
	w.publish(event(red, 1))
	c := w.subscribe(alpha, broker.Events, 10)
	taken := w.take(c, 1)[0]
	entries, err := w.b.Log(w.ctx, broker.LogEnd)
	require.NoError(w.t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range c.Deliveries() {
		}
		for range entries {
		}
	}()
	var pending sync.WaitGroup
	for range 100 {
		pending.Add(1)
		require.NoError(w.t, w.b.Publish(w.ctx, event(red, 2), func(error) { pending.Done() }))
	}
	require.NoError(w.t, w.b.Close())
	w.await("consumers and readers end", ended)
	answered := make(chan struct{})
	go func() {
		pending.Wait()
		close(answered)
	}()
	w.await("what was on its way is answered", answered)
	require.NoError(w.t, w.b.Close(), "a second close is allowed")

	_ = taken.Ack() // it has no effect, whatever it returns
	assert.NoError(w.t, c.Stop(w.ctx))
	assert.NoError(w.t, c.Close())
	assert.ErrorIs(w.t, w.b.Publish(w.ctx, event(red, 3), func(error) { assert.Fail(w.t, "done was called") }),
		broker.ErrClosed)
	assert.ErrorIs(w.t, w.b.Declare(w.ctx, broker.Topology{}), broker.ErrClosed)
	_, err = w.b.Subscribe(w.ctx, alpha, broker.Events, 1)
	assert.ErrorIs(w.t, err, broker.ErrClosed)
	_, err = w.b.Log(w.ctx, 0)
	assert.ErrorIs(w.t, err, broker.ErrClosed)
	_, err = w.b.Depth(w.ctx, alpha, broker.Events)
	assert.ErrorIs(w.t, err, broker.ErrClosed)
}

// read reads the next n entries of the log.
func (w *env) read(entries <-chan broker.LogEntry, n int) []broker.LogEntry {
	w.t.Helper()
	read := make([]broker.LogEntry, 0, n)
	deadline := time.After(w.h.patience())
	for len(read) < n {
		select {
		case e, open := <-entries:
			require.True(w.t, open, "the log ended after %d of %d", len(read), n)
			read = append(read, e)
		case <-deadline:
			require.FailNow(w.t, "waited too long", "for %d entries; there were %d", n, len(read))
		}
	}
	return read
}
