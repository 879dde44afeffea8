package client

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
	"stega/internal/wait"
)

// heard collects what a subscriber hears.
type heard struct {
	mu   sync.Mutex
	said []string
	err  error
}

func (h *heard) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.said)
}

func (h *heard) ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *heard) subscriber() Subscriber {
	return Subscriber{
		Push:     func(p Push) { h.note("push %d", p.Number) },
		Standing: func(at Standing) { h.note("standing resumed=%t", at.Resumed) },
		Lost:     func(f *fault.Fault) { h.note("lost %s", f.Code) },
		Ended: func(err error) {
			h.mu.Lock()
			h.err = err
			h.mu.Unlock()
		},
	}
}

func (h *heard) until(t *testing.T, what ...string) {
	t.Helper()
	wait.Until(
		t, fmt.Sprintf("%v was heard and not %v", what, h.all()), func() bool { return slices.Equal(h.all(), what) },
	)
}

func open(t *testing.T, s *server) *Stream {
	stream := s.client().Stream(context.Background(), StreamOptions{})
	t.Cleanup(stream.Close)
	return stream
}

func TestAStreamResumesWhatItMissed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stream := open(t, s)
	var h heard
	_, err := stream.Subscribe(t.Context(), Interest{Channel: "portfolio.*"}, h.subscriber())
	require.NoError(t, err)
	s.publish("portfolio.created", "portfolio.*")
	h.until(t, "standing resumed=false", "push 1")
	for i := range 3 {
		s.mu.Lock()
		for ws := range s.conns { // nobody hears of what comes next
			delete(s.conns, ws)
			_ = ws.CloseNow()
		}
		s.append("portfolio.updated", nil, "portfolio.*")
		s.mu.Unlock()
		wait.Until(t, "the stream is back", func() bool { return s.count() == i+2 })
		wait.Until(t, "the push has come", func() bool { return slices.Contains(h.all(), fmt.Sprintf("push %d", i+2)) })
	}
	h.until(
		t, "standing resumed=false", "push 1", "standing resumed=true", "push 2", "standing resumed=true", "push 3",
		"standing resumed=true", "push 4",
	)
	assert.Equal(t, []string{"portfolio.*", "portfolio.* from 1", "portfolio.* from 2", "portfolio.* from 3"}, s.asked)
}

func TestAQuietSubscriptionResumesFromThePositionsThatItHears(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stream := open(t, s)
	var h, other heard
	_, err := stream.Subscribe(t.Context(), Interest{Channel: "portfolio.*"}, h.subscriber())
	require.NoError(t, err)
	_, err = stream.Subscribe(t.Context(), Interest{Channel: "returns.*"}, other.subscriber())
	require.NoError(t, err)
	for range 5 {
		s.publish("returns.asset_updated", "returns.*")
	}
	s.mu.Lock()
	for ws := range s.conns {
		s.send(ws, map[string]any{"position": s.tail()})
	}
	s.mu.Unlock()
	s.publish("returns.asset_updated", "returns.*") // comes after the position
	wait.Until(t, "all was heard", func() bool { return len(other.all()) == 7 })
	s.cut()
	wait.Until(t, "both are back", func() bool { return len(h.all()) == 2 && len(other.all()) == 8 })
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.ElementsMatch(t, []string{"portfolio.* from 5", "returns.* from 6"}, s.asked[2:])
}

func TestAResumeThatIsRefusedIsToldAndPushesGoOn(t *testing.T) {
	t.Parallel()
	for code, forget := range map[string]func(s *server){
		"position_expired": func(s *server) { s.first = 100 },
		"position_unknown": func(s *server) { s.epoch, s.log = "b", nil },
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			stream := open(t, s)
			var h heard
			_, err := stream.Subscribe(t.Context(), Interest{Channel: "portfolio.*"}, h.subscriber())
			require.NoError(t, err)
			s.publish("portfolio.created", "portfolio.*")
			h.until(t, "standing resumed=false", "push 1")
			s.mu.Lock()
			forget(s)
			next := len(s.log) + 1
			s.mu.Unlock()
			s.end(4005, "another log")
			h.until(t, "standing resumed=false", "push 1", "standing resumed=false", "lost "+code)
			s.publish("portfolio.updated", "portfolio.*")
			h.until(t, "standing resumed=false", "push 1", "standing resumed=false", "lost "+code,
				fmt.Sprintf("push %d", next))
		})
	}
}

func TestAFirstSubscriptionFromAPlaceThatIsGoneIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, err := open(t, s).Subscribe(t.Context(), Interest{Channel: "#", From: &Position{7, "x"}}, Subscriber{})
	assert.True(t, has(err, "position_unknown"), "%v", err)
}

func TestCloseCodesSayWhetherToComeBack(t *testing.T) {
	t.Parallel()
	for code, kind := range map[websocket.StatusCode]fault.Kind{
		4001:                          "",
		4002:                          "",
		4003:                          "",
		4004:                          "",
		4005:                          "",
		4321:                          "",
		websocket.StatusGoingAway:     "",
		websocket.StatusInternalError: "",
		websocket.StatusNormalClosure: "",
		4500:                          fault.KindUnauthorized,
		4501:                          fault.KindMalformed,
		4502:                          fault.KindForbidden,
		4777:                          fault.KindForbidden,
		websocket.StatusMessageTooBig: fault.KindTooLarge,
	} {
		t.Run(strconv.Itoa(int(code)), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var h heard
			_, err := open(t, s).Subscribe(t.Context(), Interest{Channel: "#"}, h.subscriber())
			require.NoError(t, err)
			s.end(code, "")
			if kind == "" {
				wait.Until(t, "it comes back", func() bool { return len(h.all()) == 2 })
				require.NoError(t, h.ended())
				return
			}
			wait.Until(t, "the subscription ends", func() bool { return h.ended() != nil })
			assert.Equal(t, kind, fault.Of(h.ended()).Kind)
			assert.Equal(t, 1, s.count())
		})
	}
}

func TestAHandshakeThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, refused := range []*fault.Fault{
		fault.New(fault.KindUnauthorized, "token_invalid", "no"),
		fault.New(fault.KindForbidden, "token_forbidden", "no"),
		fault.NotFound("path_unknown", "no"),
	} {
		t.Run("for good: "+refused.Code, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.greet = func(_ int, w http.ResponseWriter) bool { refuse(w, refused); return false }
			stream := open(t, s)
			_, err := stream.Subscribe(t.Context(), Interest{Channel: "#"}, Subscriber{})
			assert.Equal(t, refused.Kind, fault.Of(err).Kind, "%v", err)
			<-stream.done
			assert.Equal(t, 1, s.count())
		})
	}
	t.Run("for now", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		s.greet = func(n int, w http.ResponseWriter) bool {
			if n > 3 {
				return true
			}
			refuse(w, fault.Unavailable("connections_too_many", "no"))
			return false
		}
		var h heard
		_, err := open(t, s).Keep(Interest{Channel: "#"}, h.subscriber())
		require.NoError(t, err)
		wait.Until(t, "it stands in the end", func() bool { return len(h.all()) == 1 })
	})
}

func TestADeadConnectionIsNoticedByItsSilence(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.hello.PingSeconds = 1
	c := s.client()
	c.margin = 0
	var h heard
	down := make(chan error, 1)
	stream := c.Stream(context.Background(), StreamOptions{Down: func(err error) {
		select {
		case down <- err:
		default:
		}
	}})
	defer stream.Close()
	_, err := stream.Subscribe(t.Context(), Interest{Channel: "#"}, h.subscriber())
	require.NoError(t, err)
	assert.True(t, has(<-down, "connection_silent"))
	wait.Until(t, "it is made again", func() bool { return len(h.all()) >= 2 })
}

func TestWhoSubscribesToAServerThatIsNotThereIsTold(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	s.Close()
	stream := c.Stream(context.Background(), StreamOptions{})
	defer stream.Close()
	_, err := stream.Subscribe(t.Context(), Interest{Channel: "#"}, Subscriber{})
	assert.True(t, has(err, CodeServerUnavailable), "%v", err)
}

func TestAChannelHasOneSubscription(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stream := open(t, s)
	sub, err := stream.Subscribe(t.Context(), Interest{Channel: "#"}, Subscriber{})
	require.NoError(t, err)
	_, err = stream.Keep(Interest{Channel: "#"}, Subscriber{})
	assert.True(t, has(err, "channel_subscribed"), "%v", err)
	sub.Close()
	_, err = stream.Subscribe(t.Context(), Interest{Channel: "#"}, Subscriber{})
	require.NoError(t, err)
}
