package stream

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/events"
)

// reader is the model of a client that loses its connection again and again: it knows for each channel how far it got.
type reader struct {
	w        *world
	channels []string
	random   *rand.Rand
	at       map[string]*Position
	got      map[string][]int
}

// run reads until each channel has had its last event.
func (r *reader) run(want map[string][]int) error {
	for connections := 0; ; connections++ {
		if connections == 2000 {
			return fmt.Errorf("after %d connections %v are still not complete", connections, r.channels)
		}
		if done, err := r.once(want); done || err != nil {
			return err
		}
	}
}

// once connects, resumes, reads for a while, and breaks off.
func (r *reader) once(want map[string][]int) (done bool, err error) {
	ws, _, err := r.w.dial(nil)
	if err != nil {
		return false, err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	p := &peer{t: r.w.t, ws: ws}
	for id, channel := range r.channels {
		p.write(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"from":{"position":%d,"id":%q}}}`, id+1, channel,
			r.at[channel].Position, r.at[channel].ID))
	}
	resumed := map[string]bool{}
	for left := r.random.IntN(60); left > 0; left-- {
		s, err := p.hear()
		switch {
		case websocket.CloseStatus(err) == codeSlow: // this machine was busy elsewhere: one more disconnect
			return false, nil
		case err != nil:
			return false, fmt.Errorf("after %v: %w", r.got, err)
		case s.Error != nil:
			return false, fmt.Errorf("refused: %+v", s.Error)
		case s.Result != nil:
			resumed[s.Result.Channel] = true
		case s.Push != nil:
			for _, channel := range s.Push.Channels {
				if !resumed[channel] {
					return false, fmt.Errorf("a push of %s before the reply", channel)
				}
				*r.at[channel] = Position{s.Push.Position, s.Push.Event.ID}
				r.got[channel] = append(r.got[channel], s.Push.Event.Sequence)
			}
		}
		if r.complete(want) {
			return true, nil
		}
	}
	return false, nil
}

func (r *reader) complete(want map[string][]int) bool {
	for _, channel := range r.channels {
		if len(r.got[channel]) < len(want[channel]) {
			return false
		}
	}
	return true
}

// Whatever is cut off whenever, each channel's events come once each, in order; from memory and, as the window is
// tiny here, from the log.
func TestRandomDisconnectsLoseNothingAndDoubleNothing(t *testing.T) {
	t.Parallel()
	resumeModel(t, openLog(t, t.TempDir()), 600)
}

func resumeModel(t *testing.T, log publisher, n int) {
	w := over(t, log, Options{Window: 20 << 10, Queue: 12 << 10, Rate: 1e6, Burst: 1e6})
	start := message("prices.imported", "start", 0)
	w.publish(start)
	w.read(start)
	from := w.hub.Position()
	topics := []string{"portfolio.created", "portfolio.updated", "prices.imported", "portfolio.returns_updated"}
	subjects := []string{"a", "b", "c"}
	want := map[string][]int{}
	messages := make([]events.Message, n)
	random := rand.New(rand.NewPCG(1, 2))
	channels := []string{"#", "portfolio.*", "prices.imported", "subject:a", "*.created"}
	for i := range messages {
		messages[i] = message(topics[random.IntN(len(topics))], subjects[random.IntN(len(subjects))], i+1)
		e := newEntry(broker.LogEntry{Message: messages[i]}, nil)
		for _, name := range channels {
			if c, err := parseChannel(name); err == nil && c.takes(e) {
				want[name] = append(want[name], i+1)
			}
		}
	}
	var clients, publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range messages {
			publish(t, log, messages[i])
		}
	})
	for i, subscribed := range [][]string{{"#"}, {"portfolio.*", "subject:a"}, {"prices.imported", "*.created", "#"},
		{"subject:a"}} {
		clients.Go(func() {
			r := &reader{
				w:        w,
				channels: subscribed,
				random:   rand.New(rand.NewPCG(uint64(i), 3)),
				at:       map[string]*Position{},
				got:      map[string][]int{}}
			for _, channel := range subscribed {
				r.at[channel] = &Position{from.Position, from.ID}
			}
			if err := r.run(want); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			for _, channel := range subscribed {
				assert.Equal(t, want[channel], r.got[channel], channel)
			}
		})
	}
	publishing.Wait()
	clients.Wait()
}

// trimmed is a log that has forgotten its beginning.
type trimmed struct {
	publisher
	first atomic.Uint64
}

func (l *trimmed) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	return l.publisher.Log(ctx, max(from, l.first.Load()))
}

func (l *trimmed) LogBounds(ctx context.Context) (broker.LogBounds, error) {
	b, err := l.publisher.LogBounds(ctx)
	b.First = max(b.First, l.first.Load())
	return b, err
}

func TestAResumeIsCompleteOrRefused(t *testing.T) {
	t.Parallel()
	log := &trimmed{publisher: openLog(t, t.TempDir())}
	w := over(t, log, Options{Window: 2000, Ahead: 10 * time.Millisecond}) // two entries or so
	first := w.client()
	first.subscribed("#", nil)
	var at []Position
	for i := range 20 {
		m := message("portfolio.created", "core", i)
		w.publish(m)
		s := first.push().Push
		at = append(at, Position{s.Position, s.Event.ID})
	}
	refused := func(from Position, code string) {
		t.Helper()
		s := w.client().subscribe("#", &from)
		require.NotNil(t, s.Error, "%v", from)
		assert.Equal(t, code, s.Error.Code)
		assert.NotEmpty(t, s.Error.Hint)
	}
	complete := func(from Position, next int) {
		t.Helper()
		p := w.client()
		require.True(t, p.subscribed("#", &from).Result.Resumed)
		for i := next; i < len(at); i++ {
			require.Equal(t, at[i].ID, p.next().Push.Event.ID)
		}
		s := p.request("ping", struct{}{}) // and nothing behind
		assert.Nil(t, s.Error)
	}
	complete(at[19], 20)
	complete(at[18], 19)
	complete(at[3], 4)
	complete(Position{}, 0)
	refused(Position{at[19].Position, at[18].ID}, "position_unknown")
	refused(Position{at[3].Position, at[4].ID}, "position_unknown")
	refused(Position{at[19].Position + 7, at[19].ID}, "position_unknown")
	refused(Position{at[0].Position - 5, at[0].ID}, "position_unknown")

	log.first.Store(at[10].Position)
	refused(at[3], "position_expired")
	refused(Position{}, "position_expired")
	complete(at[10], 11)
	refused(at[9], "position_expired")
}

func TestAPositionThatThisProcessHasNotReadYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Ahead: time.Minute})
	w.publish(message("portfolio.created", "core", 1))
	p := w.client()
	p.subscribed("#", nil)
	here := w.hub.Position()
	if here.ID == "" {
		here = Position{p.push().Push.Position, "x"}
	}
	coming := message("portfolio.created", "core", 2)
	ahead := w.client()
	ahead.write(fmt.Sprintf(`{"id":1,"subscribe":{"channel":"#","from":{"position":%d,"id":%q}}}`, here.Position+1,
		coming.ID))
	w.publish(coming, message("portfolio.created", "core", 3))
	require.True(t, ahead.next().Result.Resumed)
	assert.Equal(t, 3, ahead.next().Push.Event.Sequence)
}

// Losing the broker's folder is losing the log: a position of the old one must not be taken for one of the new.
func TestAPositionOfALogThatWasLostIsUnknown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, err := embedded.Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	before := over(t, old, Options{})
	p := before.client()
	p.subscribed("#", nil)
	before.publish(message("portfolio.created", "core", 1), message("portfolio.created", "core", 2))
	s := p.push().Push
	at := Position{s.Position, s.Event.ID}
	before.stop()
	require.NoError(t, old.Close())
	require.NoError(t, os.RemoveAll(dir))

	after := over(t, openLog(t, dir), Options{Ahead: 10 * time.Millisecond})
	refused := after.client().subscribe("#", &at)
	require.NotNil(t, refused.Error)
	assert.Equal(t, "position_unknown", refused.Error.Code)
	after.publish(message("portfolio.created", "core", 1), message("portfolio.created", "core", 2))
	refused = after.client().subscribe("#", &at)
	require.NotNil(t, refused.Error)
	assert.Equal(t, "position_unknown", refused.Error.Code)
}

// swapped is a log that is replaced by another one while it is read.
type swapped struct {
	mu  sync.Mutex
	now publisher
}

func (l *swapped) get() publisher {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *swapped) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	return l.get().Log(ctx, from)
}

func (l *swapped) LogBounds(ctx context.Context) (broker.LogBounds, error) {
	return l.get().LogBounds(ctx)
}

func (l *swapped) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	return l.get().Publish(ctx, m, done)
}

func TestALogThatBeginsAnewSendsClientsAwayAndIsFollowed(t *testing.T) {
	t.Parallel()
	old, err := embedded.Open(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	log := &swapped{now: old}
	w := over(t, log, Options{})
	p := w.client()
	p.subscribed("#", nil)
	w.publish(message("portfolio.created", "core", 1))
	p.push()
	watched, stop := w.hub.Watch("#")
	defer stop()
	log.mu.Lock()
	log.now = openLog(t, t.TempDir())
	log.mu.Unlock()
	require.NoError(t, old.Close())
	assert.Equal(t, codeReset, p.closed())
	for range watched { // ends
	}
	p = w.client()
	p.subscribed("#", nil)
	w.publish(message("portfolio.created", "core", 2))
	assert.Equal(t, 2, p.push().Push.Event.Sequence)
}

// The hub goes on where it was when its reader ends, and its clients see no difference.
func TestAReaderThatEndsIsReplaced(t *testing.T) {
	t.Parallel()
	log := &cutting{publisher: openLog(t, t.TempDir())}
	w := over(t, log, Options{})
	p := w.client()
	p.subscribed("#", nil)
	for i := range 30 {
		w.publish(message("portfolio.created", "core", i))
		if i%10 == 5 {
			log.cut()
		}
	}
	for i := range 30 {
		require.Equal(t, i, p.push().Push.Event.Sequence)
	}
}

// cutting is a log whose readers can be cut off.
type cutting struct {
	publisher
	mu   sync.Mutex
	ends []context.CancelFunc
}

func (l *cutting) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, cancel)
	return l.publisher.Log(ctx, from)
}

func (l *cutting) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range l.ends {
		end()
	}
	l.ends = nil
}
