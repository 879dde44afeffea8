package brokertest

import (
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

func redelivered(w *env) {
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 10)
	w.publish(many(red, 6)...)
	taken := w.take(c, 4)
	require.NoError(w.t, taken[1].Ack())
	require.NoError(w.t, c.Close())
	_, open := <-c.Deliveries()
	assert.False(w.t, open, "the deliveries of a closed consumer end")
	again := w.handle(w.subscribe(alpha, broker.Events, 10), 5)
	assert.Equal(w.t, []int64{1, 3, 4, 5, 6}, numbers(again))
	assert.Equal(w.t, []bool{true, true, true}, flags(again[:3])) // the rest is unspecified
	w.empty(alpha, broker.Events)
}

func connectionClosed(w *env) {
	other := *w
	if other.b = w.h.Open(w.t); other.b == w.b {
		w.t.Skip("there is one connection")
	}
	w.declare(service(alpha, red))
	c := other.subscribe(alpha, broker.Events, 10)
	w.publish(many(red, 3)...)
	require.NoError(w.t, w.take(c, 2)[0].Ack())
	require.NoError(w.t, other.b.Close())
	again := w.handle(w.subscribe(alpha, broker.Events, 10), 2)
	assert.Equal(w.t, []int64{2, 3}, numbers(again))
	assert.True(w.t, again[0].Redelivered)
	w.empty(alpha, broker.Events)
}

func released(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 10)...)
	c := w.subscribe(alpha, broker.Events, 4)
	taken := w.take(c, 4)
	require.NoError(w.t, c.Stop(w.ctx))
	for _, d := range taken {
		require.NoError(w.t, d.Release())
	}
	require.NoError(w.t, c.Close())
	again := w.handle(w.subscribe(alpha, broker.Events, 10), 10)
	assert.Equal(w.t, span(1, 10), numbers(again))
	assert.Equal(w.t, []bool{true, true, true, true}, flags(again[:4]))

	// It is redelivered to the same consumer too.
	c = w.subscribe(alpha, broker.Commands, 1)
	w.publish(command(alpha, 1))
	require.NoError(w.t, w.take(c, 1)[0].Release())
	d := w.handle(c, 1)[0]
	assert.True(w.t, d.Redelivered)
	w.empty(alpha, broker.Commands)
}

func settledOnce(w *env) {
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 1)
	w.publish(many(red, 3)...)
	first := w.handle(c, 1)[0]
	second := w.take(c, 1)[0]
	_, _, _ = first.Ack(), first.Release(), first.Reject("too late") // they have no effect, whatever they return
	w.nothing(c)
	require.NoError(w.t, second.Ack())
	assert.Equal(w.t, []int64{3}, numbers(w.handle(c, 1)))
	w.empty(alpha, broker.Events)
	w.empty(alpha, broker.Dead)
}

func singleActive(w *env) {
	w.declare(service(alpha, red))
	first := w.subscribe(alpha, broker.Events, 5)
	w.publish(many(red, 4)...)
	taken := w.take(first, 4) // it is active
	second := w.subscribe(alpha, broker.Events, 5)
	w.publish(event(red, 5))
	w.nothing(second)
	taken = append(taken, w.take(first, 1)...)
	assert.Equal(w.t, span(1, 5), numbers(taken))
	for _, d := range taken {
		require.NoError(w.t, d.Ack())
	}
	w.publish(event(red, 6))
	w.nothing(second)
	require.NoError(w.t, first.Stop(w.ctx)) // the sixth message is undelivered in it
	assert.Equal(w.t, []int64{6}, numbers(w.handle(second, 1)))
	require.NoError(w.t, first.Close())
	w.publish(event(red, 7))
	assert.Equal(w.t, []int64{7}, numbers(w.handle(second, 1)))
	w.empty(alpha, broker.Events)
}

func takeOver(w *env) {
	w.declare(service(alpha, red))
	first := w.subscribe(alpha, broker.Events, 5)
	w.publish(many(red, 12)...)
	taken := w.take(first, 3)
	require.NoError(w.t, taken[0].Ack())
	second := w.subscribe(alpha, broker.Events, 5)
	third := w.subscribe(alpha, broker.Events, 5)
	w.nothing(second)
	require.NoError(w.t, first.Close())
	assert.Equal(w.t, span(2, 12), numbers(w.handle(second, 11)))
	w.nothing(third)
	require.NoError(w.t, second.Close())
	w.publish(event(red, 13))
	assert.Equal(w.t, []int64{13}, numbers(w.handle(third, 1)))
}

func compete(w *env) {
	w.declare(service(alpha))
	first, second := w.subscribe(alpha, broker.Commands, 1), w.subscribe(alpha, broker.Commands, 1)
	w.publish(command(alpha, 1), command(alpha, 2), command(alpha, 3))
	a, b := w.take(first, 1)[0], w.take(second, 1)[0]
	assert.ElementsMatch(w.t, []int64{1, 2}, []int64{a.Sequence, b.Sequence})
	w.nothing(first)
	require.NoError(w.t, b.Ack())
	assert.Equal(w.t, []int64{3}, numbers(w.handle(second, 1)))
	require.NoError(w.t, first.Close()) // its message goes to the other
	again := w.handle(second, 1)[0]
	assert.Equal(w.t, a.ID, again.ID)
	assert.True(w.t, again.Redelivered)
	w.empty(alpha, broker.Commands)
}

func prefetch(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 10)...)
	c := w.subscribe(alpha, broker.Events, 3)
	taken := w.take(c, 3)
	w.nothing(c)
	require.NoError(w.t, taken[1].Ack())
	taken = append(taken, w.take(c, 1)...)
	w.nothing(c)
	require.NoError(w.t, taken[0].Ack())
	require.NoError(w.t, taken[2].Ack())
	require.NoError(w.t, taken[3].Ack())
	taken = append(taken, w.take(c, 3)...)
	w.nothing(c)
	assert.Equal(w.t, span(1, 7), numbers(taken))
	for _, d := range taken[4:] {
		require.NoError(w.t, d.Ack())
	}
	assert.Equal(w.t, span(8, 10), numbers(w.handle(c, 3)))
}

func drains(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 10)...)
	c := w.subscribe(alpha, broker.Events, 5)
	inFlight := w.take(c, 2)
	require.NoError(w.t, c.Stop(w.ctx))
	for d := range c.Deliveries() {
		assert.Failf(w.t, "a stopped consumer delivered more", "message %d", d.Sequence)
	}
	require.NoError(w.t, c.Stop(w.ctx), "a second stop is allowed")
	for _, d := range inFlight {
		require.NoError(w.t, d.Ack())
	}
	require.NoError(w.t, c.Close())
	require.NoError(w.t, c.Close(), "a second close is allowed")
	assert.Equal(w.t, span(3, 10), numbers(w.handle(w.subscribe(alpha, broker.Events, 5), 8)))
	w.empty(alpha, broker.Events)
}

func rejected(w *env, q broker.Queue) {
	w.declare(service(alpha, red), service(beta, red))
	m := []broker.Outgoing{event(red, 1), event(red, 2)}
	if q == broker.Commands {
		m = []broker.Outgoing{command(alpha, 1), command(alpha, 2)}
	}
	c := w.subscribe(alpha, q, 10)
	w.publish(m...)
	taken := w.take(c, 2)
	before := time.Now()
	const reason = "the data are not a portfolio: 名 \"%\"\nline two"
	require.NoError(w.t, taken[0].Reject(reason))
	require.NoError(w.t, taken[1].Ack())
	w.empty(alpha, q)
	w.deep(alpha, broker.Dead, 1)
	w.deep(beta, broker.Dead, 0)

	dead := w.subscribe(alpha, broker.Dead, 10)
	d := w.take(dead, 1)[0]
	assert.NoError(w.t, d.Err)
	assert.Equal(w.t, alpha, d.Service)
	assert.Equal(w.t, broker.Dead, d.Queue)
	assert.Equal(w.t, reason, d.Reason)
	assert.WithinRange(w.t, d.At, before.Add(-time.Minute), time.Now().Add(time.Minute))
	w.same("the dead letter", m[0].Message, d.Message)
	require.NoError(w.t, dead.Close()) // it stays until an ack
	dead = w.subscribe(alpha, broker.Dead, 10)
	again := w.take(dead, 1)[0]
	assert.True(w.t, again.Redelivered)
	assert.Equal(w.t, reason, again.Reason)
	require.NoError(w.t, again.Ack())
	w.empty(alpha, broker.Dead)
}

func undecodable(w *env) {
	if w.h.InjectRaw == nil {
		w.t.Skip("this broker accepts no other form")
	}
	w.declare(service(alpha, red))
	c := w.subscribe(alpha, broker.Events, 10)
	w.publish(event(red, 1))
	body := []byte("\x00not ours\xff")
	w.h.InjectRaw(w.t, alpha, body, map[string]any{"cloudEvents:time": "noon", "x": int64(1)})
	w.publish(event(red, 2))
	taken := w.take(c, 3)
	i := slices.IndexFunc(taken, func(d broker.Delivery) bool { return d.Err != nil })
	require.GreaterOrEqual(w.t, i, 0)
	assert.Equal(w.t, body, taken[i].Data)
	for j, d := range taken {
		if j == i {
			require.NoError(w.t, d.Reject(d.Err.Error()))
		} else {
			require.NoError(w.t, errors.Join(d.Err, d.Ack()))
		}
	}
	w.empty(alpha, broker.Events)
	dead := w.handle(w.subscribe(alpha, broker.Dead, 10), 1)[0]
	assert.Error(w.t, dead.Err)
	assert.Equal(w.t, body, dead.Data)
	assert.Equal(w.t, taken[i].Err.Error(), dead.Reason)
	w.empty(alpha, broker.Dead)
}

func depth(w *env) {
	w.declare(service(alpha, red))
	for _, q := range []broker.Queue{broker.Events, broker.Commands, broker.Dead} {
		w.deep(alpha, q, 0)
	}
	w.publish(many(red, 5)...)
	w.publish(command(alpha, 1))
	w.deep(alpha, broker.Events, 5)
	w.deep(alpha, broker.Commands, 1)
	c := w.subscribe(alpha, broker.Events, 3)
	taken := w.take(c, 2)
	w.deep(alpha, broker.Events, 5)
	require.NoError(w.t, taken[0].Ack())
	w.deep(alpha, broker.Events, 4)
	require.NoError(w.t, c.Close())
	w.deep(alpha, broker.Events, 4)
	w.handle(w.subscribe(alpha, broker.Events, 10), 4)
	w.deep(alpha, broker.Events, 0)
}

func state(w *env) {
	w.eventually("it is connected", func() bool { return w.b.State().Connected })
	s := w.b.State()
	assert.Empty(w.t, s.Blocked)
	assert.NoError(w.t, s.Err)
	require.NoError(w.t, w.b.Close())
	assert.False(w.t, w.b.State().Connected)
}
