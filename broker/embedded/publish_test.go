package embedded

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

func TestPublishWaitsWhileAQueueIsFull(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a", "b")
	declare(t, b, "test.other", "c")
	fill := make([]broker.Outgoing, queueMessages)
	for i := range fill {
		fill[i] = event(strconv.Itoa(i), happened)
	}
	publish(t, b, fill...)
	require.Equal(t, queueMessages, depth(t, b, "a", broker.Events))

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := b.Publish(ctx, event("refused", happened), func(error) { t.Error("it was called") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	publish(t, b, event("elsewhere", "test.other")) // nobody else is held up

	through := make(chan error, 1)
	go func() {
		through <- b.Publish(t.Context(), event("last", happened), func(error) {})
	}()
	a, c := subscribe(t, b, "a", broker.Events), subscribe(t, b, "b", broker.Events)
	d := take(t, a)
	require.NoError(t, d.Release()) // that makes no room
	require.NoError(t, take(t, a).Ack())
	select {
	case <-through:
		require.Fail(t, "the other queue is full")
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, take(t, c).Ack())
	require.NoError(t, receive(t, "the publish", through))

	go func() {
		through <- b.Publish(context.Background(), event("late", happened), func(error) { t.Error("it was called") })
	}()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.room != nil
	}, patience, time.Millisecond)
	require.NoError(t, b.Close())
	require.ErrorIs(t, receive(t, "the publish", through), broker.ErrClosed)
}

func TestPublishFromDoneMayWaitForRoom(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a")
	c := subscribe(t, b, "a", broker.Events)
	const n, each = 50, 1 << 20 // more than the window and the queue hold
	var left sync.WaitGroup
	left.Add(2 * n)
	large := func(id string) broker.Outgoing {
		m := event(id, happened)
		m.Data = make([]byte, each)
		return m
	}
	go func() {
		for d := range c.Deliveries() {
			_ = d.Ack()
			left.Done()
		}
	}()
	for i := range n {
		require.NoError(t, b.Publish(t.Context(), large(strconv.Itoa(i)), func(error) {
			assert.NoError(t, b.Publish(t.Context(), large(strconv.Itoa(n+i)), func(error) {}))
		}))
	}
	returns(t, "all of them", left.Wait)
}

func TestAMessageThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	m := event("1", happened)
	m.Data = make([]byte, maxMessage+1)
	err := b.Publish(t.Context(), m, func(error) { t.Error("it was called") })
	require.ErrorIs(t, err, broker.ErrNacked)
	m.Data = m.Data[:maxMessage]
	publish(t, b, m)
	assert.Len(t, read(t, b, 0, 1)[0].Data, maxMessage)
}

func TestAFileThatIsReplacedInTheMiddleLosesNoMessage(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a")
	const n = 2000
	var refused, confirmed atomic.Int64
	go func() {
		var send func(i int)
		send = func(i int) {
			assert.NoError(t, b.Publish(context.Background(), event(strconv.Itoa(i), happened), func(err error) {
				if err != nil {
					assert.ErrorIs(t, err, broker.ErrNacked)
					refused.Add(1)
					send(i)
					return
				}
				confirmed.Add(1)
			}))
		}
		for i := range n {
			if i%500 == 250 {
				b.record(errDamaged)
			}
			send(i)
		}
	}()
	got := map[string]bool{}
	for c := subscribe(t, b, "a", broker.Events); len(got) < n; {
		d := take(t, c)
		got[d.ID] = true
		require.NoError(t, d.Ack())
	}
	require.Eventually(t, func() bool { return confirmed.Load() == n }, patience, time.Millisecond)
	t.Logf("%d were refused", refused.Load())
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
}
