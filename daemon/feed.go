package daemon

import (
	"context"
	"sync"
	"time"

	"stega/client"
	"stega/fault"
)

// feed is the connection over which the pushes of a server come.
type feed struct {
	mu     sync.Mutex
	state  FeedState
	again  chan struct{} // closed when it is to be opened anew
	stream *client.Stream
}

// FeedState is how a feed stands, for people.
type FeedState struct {
	State    string       `json:"state"` // connected, connecting, refused
	Since    time.Time    `json:"since"`
	Position uint64       `json:"position,omitempty"` // of the last push
	Version  string       `json:"server_version,omitempty"`
	Fault    *fault.Fault `json:"error,omitempty"`
}

// The states of a feed.
const (
	Connected  = "connected"
	Connecting = "connecting"
	Refused    = "refused"
)

// reopen is after how long a feed that ended for good is tried once more: the server may have been upgraded, or the
// token mended.
const reopen = 30 * time.Second

func (f *feed) set(change func(s *FeedState)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.state.State
	change(&f.state)
	if f.state.State != was {
		f.state.Since = time.Now()
	}
}

func (f *feed) now() FeedState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *feed) up() bool { return f.now().State == Connected }

// restart opens a feed anew when it was refused: there is another token.
func (f *feed) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.again != nil && f.state.State == Refused {
		close(f.again)
		f.again = nil
	}
}

// follow keeps the feed open until the context ends.
func (u *upstream) follow(ctx context.Context, b Build) {
	for ctx.Err() == nil {
		again := make(chan struct{})
		u.feed.mu.Lock()
		u.feed.again = again
		u.feed.mu.Unlock()
		u.feed.set(func(s *FeedState) { s.State = Connecting })
		token := u.bearer()
		err := u.stream(ctx, b, token)
		u.fresh.lost()
		if ctx.Err() != nil {
			return
		}
		u.feed.set(func(s *FeedState) { s.State, s.Fault = Refused, fault.Of(err) })
		u.log.Warn("the stream is refused", "error", err)
		if u.bearer() != token {
			continue
		}
		timer := time.NewTimer(reopen)
		select {
		case <-ctx.Done():
		case <-again:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stream is one stream, until it ends for good or the context does.
func (u *upstream) stream(ctx context.Context, b Build, token string) error {
	c, err := client.New(client.Options{URL: u.url, Token: token, Prove: u.proving() != "", UserAgent: "stega-daemon/" + b.Version, Log: u.log})
	if err != nil {
		return err
	}
	defer c.Close()
	s := c.Stream(ctx, client.StreamOptions{
		Up: func(h client.Hello) {
			u.fresh.opened(h.Position.Position)
			u.feed.set(func(s *FeedState) { s.Version, s.Fault = h.Version, nil })
		},
		Down: func(err error) {
			u.fresh.lost()
			u.feed.set(func(s *FeedState) { s.State, s.Fault = Connecting, fault.Of(err) })
		},
	})
	defer s.Close()
	u.feed.mu.Lock()
	u.feed.stream = s
	u.feed.mu.Unlock()
	ended := make(chan error, 1)
	_, err = s.Keep(client.Interest{Channel: "#"}, client.Subscriber{
		Standing: func(st client.Standing) {
			u.fresh.standing(st.Position.Position, st.Resumed)
			u.feed.set(func(s *FeedState) { s.State, s.Fault = Connected, nil })
			u.log.Info("the stream stands", "resumed", st.Resumed, "position", st.Position.Position)
			u.nudge() // the server is there
		},
		Push: func(p client.Push) {
			u.fresh.push(p.Number, p.Event.Type, p.Event.Subject)
			u.feed.set(func(s *FeedState) { s.Position = p.Number })
		},
		Ended: func(err error) { ended <- err },
	})
	if err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
