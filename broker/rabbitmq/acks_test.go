package rabbitmq

import (
	"math/rand/v2"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// channelServer is the server side of the acks of a channel.
type channelServer struct {
	t       *testing.T
	unacked map[uint64]*settler
	sent    int
}

func (s *channelServer) ack(tag uint64, multiple bool) error {
	s.sent++
	require.Contains(s.t, s.unacked, tag, "the server ends a channel for an ack of another tag")
	for other, x := range s.unacked {
		if other == tag || multiple && other < tag {
			require.True(s.t, x.acked, "delivery %d is open, and the ack of %d covers it", other, tag)
			delete(s.unacked, other)
		}
	}
	return nil
}

// ackChannel is a channel whose deliveries are settled.
type ackChannel struct {
	channelServer
	acks pendingAcks
	open []*settler
	next uint64
}

func newAckChannel(t *testing.T, prefetch int) *ackChannel {
	w := &ackChannel{channelServer: channelServer{t: t, unacked: map[uint64]*settler{}}}
	w.acks = newPendingAcks(prefetch, w.ack)
	t.Cleanup(func() { w.acks.timer.Stop() })
	return w
}

func (w *ackChannel) deliver(n int) {
	for range n {
		w.next++
		x := &settler{d: &amqp.Delivery{DeliveryTag: w.next}}
		w.unacked[w.next] = x
		w.open = append(w.open, x)
		w.acks.add(x)
	}
}

// take returns and removes the nth open delivery.
func (w *ackChannel) take(n int) *settler {
	x := w.open[n]
	w.open = append(w.open[:n:n], w.open[n+1:]...)
	return x
}

func (w *ackChannel) settle(n int) { require.NoError(w.t, w.acks.ack(w.take(n), len(w.open))) }

func (w *ackChannel) back(n int) {
	x := w.take(n)
	w.acks.remove(x)
	delete(w.unacked, x.d.DeliveryTag)
}

func TestPendingAcks(t *testing.T) {
	t.Parallel()
	t.Run("one message acks a run", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 80)
		w.deliver(80)
		for range 20 {
			w.settle(0)
		}
		assert.Equal(t, 2, w.sent)
		assert.Len(t, w.unacked, 60)
	})
	t.Run("no ack waits when no delivery is open", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 1000)
		w.deliver(3)
		w.settle(2)
		w.settle(0)
		assert.Zero(t, w.sent)
		w.settle(0)
		assert.Equal(t, 1, w.sent)
		assert.Empty(t, w.unacked)
	})
	t.Run("acks behind an open delivery occupy half of the prefetch at most", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 10)
		w.deliver(10)
		for range 5 {
			w.settle(1)
		}
		assert.Len(t, w.unacked, 5, "at most half is kept")
	})
	t.Run("an open delivery delays an ack by some ticks at most", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 1000)
		w.deliver(3)
		w.settle(1)
		for range lateTicks {
			require.NoError(t, w.acks.tick())
			assert.True(t, w.acks.armed)
		}
		assert.Zero(t, w.sent)
		require.NoError(t, w.acks.tick())
		assert.Equal(t, 1, w.sent)
		assert.False(t, w.acks.armed)
	})
	t.Run("with a prefetch of one, an ack is sent at once", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 1)
		w.deliver(1)
		w.settle(0)
		assert.Equal(t, 1, w.sent)
	})
	t.Run("a released delivery in the middle is not acked, and does not end a run", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 1000)
		w.deliver(10)
		w.back(4)
		for range 9 {
			w.settle(0)
		}
		assert.Equal(t, 1, w.sent)
		assert.Empty(t, w.unacked)
	})
	t.Run("after sendAtOnce each ack is sent", func(t *testing.T) {
		t.Parallel()
		w := newAckChannel(t, 1000)
		w.deliver(10)
		w.settle(0)
		w.settle(3)
		require.NoError(t, w.acks.sendAtOnce())
		assert.Len(t, w.unacked, 8)
		w.settle(2)
		assert.Len(t, w.unacked, 7)
	})
}

// In any order, an ack names an unacked delivery and covers no open one. At the end all acks are sent.
func TestPendingAcksInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		prefetch := 1 + random.IntN(40)
		w := newAckChannel(t, prefetch)
		kept := 0 // requeued only by the end of the channel
		for range 500 {
			switch n := random.IntN(20); {
			case len(w.open) == 0 || n < 8:
				w.deliver(max(0, min(random.IntN(prefetch)+1, prefetch-len(w.unacked))))
				if len(w.open) == 0 { // kept deliveries fill the prefetch
					require.Equal(t, kept, len(w.unacked))
					return
				}
			case n == 8:
				require.NoError(t, w.acks.tick())
			case n == 9:
				w.back(random.IntN(len(w.open)))
			case n == 10 && kept < prefetch/4:
				w.take(random.IntN(len(w.open)))
				kept++
			default:
				w.settle(random.IntN(min(len(w.open), 1+random.IntN(8))))
			}
		}
		for len(w.open) > 0 {
			w.settle(random.IntN(len(w.open)))
		}
		require.NoError(t, w.acks.sendAtOnce())
		require.Len(t, w.unacked, kept)
		require.Zero(t, w.acks.held)
	}
}
