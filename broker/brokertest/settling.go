package brokertest

import (
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

func (w *env) ack(taken ...broker.Delivery) {
	w.t.Helper()
	for _, d := range taken {
		require.NoError(w.t, d.Ack())
	}
}

// commands returns commands 1 to n for a service.
func commands(service string, n int) []broker.Outgoing {
	out := make([]broker.Outgoing, n)
	for i := range out {
		out[i] = command(service, i+1)
	}
	return out
}

func acksInAnyOrder(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 60)...)
	c := w.subscribe(alpha, broker.Events, 20)
	taken := w.take(c, 20)
	slices.Reverse(taken)
	w.ack(taken...)
	taken = w.take(c, 20)
	for i := range 10 { // the even ones, then the odd ones
		w.ack(taken[2*i+1])
	}
	for i := range 10 {
		w.ack(taken[2*i])
	}
	last := w.take(c, 20)
	w.ack(last[5:]...)
	w.ack(last[:5]...)
	assert.Equal(w.t, span(41, 60), numbers(last))
	w.empty(alpha, broker.Events)
	require.NoError(w.t, c.Close())
	w.publish(event(red, 61))
	assert.Equal(w.t, []int64{61}, numbers(w.handle(w.subscribe(alpha, broker.Events, 20), 1)))
}

// openInTheMiddle keeps a delivery open while its neighbours are acked.
func openInTheMiddle(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 20)...)
	c := w.subscribe(alpha, broker.Events, 20)
	taken := w.take(c, 20)
	w.ack(taken[:6]...)
	w.ack(taken[7:12]...)
	w.ack(taken[13:]...)
	w.deep(alpha, broker.Events, 2)
	require.NoError(w.t, c.Close())
	assert.Equal(w.t, []int64{7, 13}, numbers(w.handle(w.subscribe(alpha, broker.Events, 20), 2)))
	w.empty(alpha, broker.Events)
}

// openForLong keeps the first delivery open while many times the prefetch follows.
func openForLong(w *env) {
	w.declare(service(alpha))
	w.publish(commands(alpha, 200)...)
	c := w.subscribe(alpha, broker.Commands, 8)
	first := w.take(c, 1)
	assert.Equal(w.t, span(2, 200), numbers(w.handle(c, 199)))
	w.ack(first...)
	w.empty(alpha, broker.Commands)
}

func mixedSettling(w *env) {
	w.declare(service(alpha))
	w.publish(commands(alpha, 40)...)
	c := w.subscribe(alpha, broker.Commands, 40)
	taken := w.take(c, 40)
	w.ack(taken[:10]...)
	require.NoError(w.t, taken[12].Reject("thirteen"))
	w.ack(taken[13:20]...)
	require.NoError(w.t, taken[25].Release())
	w.ack(taken[26:]...)
	w.ack(taken[10:12]...)
	w.ack(taken[20:25]...)
	again := w.handle(c, 1)[0]
	assert.EqualValues(w.t, 26, again.Sequence)
	assert.True(w.t, again.Redelivered)
	w.empty(alpha, broker.Commands)
	assert.Equal(w.t, []int64{13}, numbers(w.handle(w.subscribe(alpha, broker.Dead, 10), 1)))
	w.empty(alpha, broker.Dead)
	require.NoError(w.t, c.Close())
	w.publish(command(alpha, 41))
	assert.Equal(w.t, []int64{41}, numbers(w.handle(w.subscribe(alpha, broker.Commands, 10), 1)))
}

// ackedAtTheEnd acks and ends at once: by a stop, a close, or the end of the connection. Acked messages are not
// redelivered.
func ackedAtTheEnd(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 40)...)
	c := w.subscribe(alpha, broker.Events, 20)
	taken := w.take(c, 10)
	w.ack(taken[:4]...)
	require.NoError(w.t, c.Stop(w.ctx))
	w.ack(taken[4:9]...)
	require.NoError(w.t, taken[9].Release())
	require.NoError(w.t, c.Close())

	c = w.subscribe(alpha, broker.Events, 20)
	taken = w.take(c, 10)
	assert.Equal(w.t, span(10, 19), numbers(taken))
	w.ack(taken[1:9]...)
	require.NoError(w.t, c.Close())

	other := *w
	if other.b = w.h.Open(w.t); other.b != w.b {
		taken = other.take(other.subscribe(alpha, broker.Events, 20), 10)
		assert.Equal(w.t, append([]int64{10}, span(19, 27)...), numbers(taken))
		w.ack(taken[2:]...)
		require.NoError(w.t, other.b.Close())
		assert.Equal(w.t, append([]int64{10, 19}, span(28, 40)...),
			numbers(w.handle(w.subscribe(alpha, broker.Events, 20), 15)))
		w.empty(alpha, broker.Events)
	}
}

// ackedInPieces acks hundreds of deliveries between open ones, each in a separate message, and ends while the server
// still processes them.
func ackedInPieces(w *env) {
	const n = 1000
	w.declare(service(alpha, red))
	w.publish(many(red, n)...)
	c := w.subscribe(alpha, broker.Events, n)
	var open []int64
	for i, d := range w.take(c, n) {
		if i%2 == 0 {
			open = append(open, d.Sequence)
			continue
		}
		require.NoError(w.t, d.Ack())
	}
	next := w.subscribe(alpha, broker.Events, n)
	require.NoError(w.t, c.Close())
	assert.Equal(w.t, open, numbers(w.handle(next, len(open))))
	w.empty(alpha, broker.Events)
}

func oneAtATime(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 100)...)
	c := w.subscribe(alpha, broker.Events, 1)
	assert.Equal(w.t, span(1, 100), numbers(w.handle(c, 100)))
	w.empty(alpha, broker.Events)
}

// cutAfterAcks loses the connection right after acks: the acks may be lost, but no unacked message.
func cutAfterAcks(w *env) {
	w.declare(service(alpha, red))
	w.publish(many(red, 60)...)
	c := w.subscribe(alpha, broker.Events, 40)
	taken := w.take(c, 40)
	w.ack(taken[:10]...)
	w.ack(taken[20:30]...)
	w.h.CutConnections(w.t)
	left := map[int64]bool{}
	for _, n := range slices.Concat(span(11, 20), span(31, 60)) {
		left[n] = true
	}
	for len(left) > 0 {
		d := w.handle(c, 1)[0]
		delete(left, d.Sequence)
	}
	w.empty(alpha, broker.Events)
}
