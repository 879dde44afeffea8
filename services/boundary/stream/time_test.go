package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

// fedLog is a log in memory that a test feeds.
type fedLog struct {
	entries chan broker.LogEntry
	last    *atomic.Pointer[broker.LogEntry]
}

func (l fedLog) Log(ctx context.Context, _ uint64) (<-chan broker.LogEntry, error) {
	out := make(chan broker.LogEntry)
	go func() {
		defer close(out)
		for {
			select {
			case e := <-l.entries:
				l.last.Store(&e)
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (l fedLog) LogBounds(context.Context) (broker.LogBounds, error) {
	if last := l.last.Load(); last != nil {
		return broker.LogBounds{Recent: *last}, nil
	}
	return broker.LogBounds{Empty: true}, nil
}

// tape is a link that records what is written.
type tape struct {
	c  *client
	mu sync.Mutex
	// stuck: nothing is written any more
	stuck  bool
	frames []string
	pings  []time.Time
	code   int
	ended  time.Time
	gone   chan struct{} // closed at the end
}

func newTape(t *testing.T, h *Hub) *tape {
	c, err := h.join(asWebSocket, "here")
	require.NoError(t, err)
	l := &tape{c: c, gone: make(chan struct{})}
	c.start(l)
	return l
}

func (l *tape) write() { go l.flush() }

func (l *tape) flush() {
	for {
		batch, finish := l.c.queue.take(nil, batchBytes)
		l.mu.Lock()
		if finish {
			l.code, l.ended = l.c.code, time.Now()
			close(l.gone)
		}
		for _, it := range batch {
			if it.ping {
				l.pings = append(l.pings, time.Now())
			} else {
				l.frames = append(l.frames, string(it.frame))
			}
		}
		stuck := l.stuck
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		l.c.writing(batch)
		if stuck {
			<-l.c.life.Done()
			continue
		}
		l.c.wrote(batch)
	}
}

func (l *tape) hurry(time.Duration) {}
func (l *tape) cut()                {}

// inBubble runs a hub and a recorded client in a bubble of fake time.
func inBubble(t *testing.T, o Options, test func(h *Hub, l *tape, log fedLog)) {
	synctest.Test(t, func(t *testing.T) {
		log := fedLog{make(chan broker.LogEntry), &atomic.Pointer[broker.LogEntry]{}}
		h := New(log, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); assert.NoError(t, h.Run(ctx, nil)) }()
		defer func() { cancel(); <-done }()
		synctest.Wait()
		l := newTape(t, h)
		defer l.c.leave()
		test(h, l, log)
	})
}

func TestAClientThatAnswersPingsStays(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(_ *Hub, l *tape, log fedLog) {
		l.c.welcome()
		for i := range 100 {
			time.Sleep(5 * time.Second)
			(&socket{c: l.c}).markAlive()
			if i == 50 {
				log.entries <- broker.LogEntry{Position: 7, Message: message("portfolio.created", "core", 1)}
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		assert.InDelta(t, 20, len(l.pings), 1)
		for i := range len(l.pings) - 1 {
			assert.InDelta(t, 25*time.Second, l.pings[i+1].Sub(l.pings[i]), float64(2*time.Second))
		}
		assert.Zero(t, l.code)
		require.Len(t, l.frames, 2, "a quiet client is told the position once, when it has moved")
		assert.Contains(t, l.frames[0], `"ping_seconds":25`)
		assert.Contains(t, l.frames[1], `{"position":{"position":7,`)
	})
}

func TestAClientThatDoesNotAnswerPingsIsClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(_ *Hub, l *tape, _ fedLog) {
		l.c.welcome()
		start := time.Now()
		<-l.c.life.Done()
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		assert.Equal(t, codeNoPong, l.code)
		assert.LessOrEqual(t, l.ended.Sub(start), 37*time.Second)
		assert.InDelta(t, 10*time.Second, l.ended.Sub(l.pings[0]), float64(1100*time.Millisecond))
	})
}

func TestAClientWithoutATokenIsClosedAfterTenSeconds(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(h *Hub, l *tape, _ fedLog) {
		start := time.Now()
		l.c.authBy.Store(start.Add(h.o.Auth).UnixNano())
		<-l.c.life.Done()
		synctest.Wait()
		assert.Equal(t, codeToken, l.c.code)
		assert.InDelta(t, 10*time.Second, time.Since(start), float64(1100*time.Millisecond))
	})
}

func TestAWriteThatIsStuckEndsTheConnection(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(_ *Hub, l *tape, _ fedLog) {
		l.stuck = true
		start := time.Now()
		l.c.welcome()
		<-l.c.life.Done()
		synctest.Wait()
		assert.Equal(t, codeSlow, l.c.code)
		assert.InDelta(t, 10*time.Second, time.Since(start), float64(1100*time.Millisecond))
	})
}

func TestFarewellsAreSpread(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Drain: 10 * time.Second}, func(h *Hub, first *tape, _ fedLog) {
		const n = 50
		tapes := []*tape{}
		for range n - 1 {
			l := newTape(t, h)
			tapes = append(tapes, l)
			go func() { <-l.gone; l.c.leave() }()
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // of the bubble
		defer cancel()
		h.Drain(ctx) // the first client never goes
		assert.Equal(t, time.Minute, time.Since(start))
		late := 0
		for _, l := range tapes {
			assert.Equal(t, codeShutdown, l.code)
			if l.ended.Sub(start) > 5*time.Second {
				late++
			}
		}
		assert.InDelta(t, n/2, late, 3)
		assert.Equal(t, codeShutdown, first.c.code)
	})
}
