package rabbitmq

import (
	"math/rand/v2"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// channelServer is what a server makes of acks.
type channelServer struct {
	t       *testing.T
	unacked map[uint64]*settler
	told    int
}

func (s *channelServer) ack(tag uint64, multiple bool) error {
	s.told++
	require.Contains(s.t, s.unacked, tag, "the server ends a channel that acks what is not unacked")
	for other, x := range s.unacked {
		if other == tag || multiple && other < tag {
			require.True(s.t, x.acked, "delivery %d is open, and the ack of %d reaches over it", other, tag)
			delete(s.unacked, other)
		}
	}
	return nil
}

// gatheringWorld is a channel whose deliveries are settled.
type gatheringWorld struct {
	channelServer
	acks gathering
	open []*settler
	next uint64
}

func newGatheringWorld(t *testing.T, prefetch int) *gatheringWorld {
	w := &gatheringWorld{channelServer: channelServer{t: t, unacked: map[uint64]*settler{}}}
	w.acks = newGathering(prefetch, w.ack)
	t.Cleanup(func() { w.acks.clock.Stop() })
	return w
}

func (w *gatheringWorld) deliver(n int) {
	for range n {
		w.next++
		x := &settler{d: &amqp.Delivery{DeliveryTag: w.next}}
		w.unacked[w.next] = x
		w.open = append(w.open, x)
		w.acks.add(x)
	}
}

// take takes the nth open delivery.
func (w *gatheringWorld) take(n int) *settler {
	x := w.open[n]
	w.open = append(w.open[:n:n], w.open[n+1:]...)
	return x
}

func (w *gatheringWorld) settle(n int) { require.NoError(w.t, w.acks.ack(w.take(n), len(w.open))) }

func (w *gatheringWorld) back(n int) {
	x := w.take(n)
	w.acks.remove(x)
	delete(w.unacked, x.d.DeliveryTag)
}

func TestGathering(t *testing.T) {
	t.Parallel()
	t.Run("one message acks a run", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 80)
		w.deliver(80)
		for range 20 {
			w.settle(0)
		}
		assert.Equal(t, 2, w.told)
		assert.Len(t, w.unacked, 60)
	})
	t.Run("nothing waits when nothing is open", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 1000)
		w.deliver(3)
		w.settle(2)
		w.settle(0)
		assert.Zero(t, w.told)
		w.settle(0)
		assert.Equal(t, 1, w.told)
		assert.Empty(t, w.unacked)
	})
	t.Run("an open delivery does not use up the room", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 10)
		w.deliver(10)
		for range 5 {
			w.settle(1)
		}
		assert.Len(t, w.unacked, 5, "half of the room at most is kept")
	})
	t.Run("what is open holds an ack up for some ticks and no longer", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 1000)
		w.deliver(3)
		w.settle(1)
		for range lateTicks {
			require.NoError(t, w.acks.tick())
			assert.True(t, w.acks.armed)
		}
		assert.Zero(t, w.told)
		require.NoError(t, w.acks.tick())
		assert.Equal(t, 1, w.told)
		assert.False(t, w.acks.armed)
	})
	t.Run("an ack with room for one is told at once", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 1)
		w.deliver(1)
		w.settle(0)
		assert.Equal(t, 1, w.told)
	})
	t.Run("what was given back in the middle is not acked, and does not end a run", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 1000)
		w.deliver(10)
		w.back(4)
		for range 9 {
			w.settle(0)
		}
		assert.Equal(t, 1, w.told)
		assert.Empty(t, w.unacked)
	})
	t.Run("in a hurry each is told", func(t *testing.T) {
		t.Parallel()
		w := newGatheringWorld(t, 1000)
		w.deliver(10)
		w.settle(0)
		w.settle(3)
		require.NoError(t, w.acks.hurry())
		assert.Len(t, w.unacked, 8)
		w.settle(2)
		assert.Len(t, w.unacked, 7)
	})
}

// Whatever comes in whatever order, an ack names what is unacked and reaches over nothing that is open, and in the
// end all acks were told.
func TestGatheringInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		prefetch := 1 + random.IntN(40)
		w := newGatheringWorld(t, prefetch)
		kept := 0 // given back by the end of the channel alone
		for range 500 {
			switch n := random.IntN(20); {
			case len(w.open) == 0 || n < 8:
				w.deliver(max(0, min(random.IntN(prefetch)+1, prefetch-len(w.unacked))))
				if len(w.open) == 0 { // all the room is taken by what is kept
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
		require.NoError(t, w.acks.hurry())
		require.Len(t, w.unacked, kept)
		require.Zero(t, w.acks.held)
	}
}
