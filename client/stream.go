package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"stega/fault"
)

// StreamOptions of a stream; each function may be nil, and must not wait for the stream.
type StreamOptions struct {
	Up   func(Hello) // a connection stands
	Down func(error) // it broke, or could not be made; the stream goes on trying
}

// Stream is one connection for pushes that is made again when it breaks: with full jitter, and every subscription is
// resumed from its last position.
type Stream struct {
	client  *Client
	options StreamOptions
	cancel  context.CancelFunc
	done    chan struct{}
	wake    chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and made anew when one of the following changes
	link    *link         // nil: there is no connection at present
	ever    bool          // there was one once
	failure error         // of the last try
	tries   int           // that failed
	ended   error         // the stream has ended for good
	subs    map[string]*Subscription
}

// Stream opens a stream, which ends with the context or by Close. It connects in the background.
func (c *Client) Stream(ctx context.Context, o StreamOptions) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{
		client: c, options: o, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1),
		changed: make(chan struct{}),
		subs:    map[string]*Subscription{},
	}
	go s.run(ctx)
	return s
}

// Close ends the stream and waits for it. It must not be called from a function of a subscriber.
func (s *Stream) Close() {
	s.cancel()
	<-s.done
}

// Wake has a broken connection made again at once instead of after a while.
func (s *Stream) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Err is what ended the stream for good, else why there is no connection at present, else nil.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended != nil:
		return s.ended
	case s.link == nil:
		return s.failure
	}
	return nil
}

// change changes the state and tells those that wait for it. It is called with the lock.
func (s *Stream) change(do func()) {
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// steady is how long a connection must have lasted for the next one to be tried without delay.
const steady = 5 * time.Second

func (s *Stream) run(ctx context.Context) {
	defer close(s.done)
	defer s.cancel()
	failed := 0
	for {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			s.end(errClosed())
			return
		}
		if f := verdict(err); f != nil {
			s.client.options.Log.Warn("the stream is over", "reason", f)
			s.end(f)
			return
		}
		if time.Since(began) > steady {
			failed = 0
		}
		s.down(err)
		wait := s.client.pace.wait(failed)
		if after, ok := errors.AsType[later](err); ok {
			wait += time.Duration(after)
		}
		s.client.options.Log.Debug("the stream broke", "reason", err, "again", wait)
		failed++
		if !sleep(ctx, wait, s.wake) {
			s.end(errClosed())
			return
		}
	}
}

func errClosed() error { return fault.Unavailable("stream_closed", "the stream was closed") }

// session is one connection, from its beginning to its end.
func (s *Stream) session(ctx context.Context) error {
	l, err := s.client.connect(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	s.mu.Lock()
	s.change(func() { s.link, s.ever, s.failure = l, true, nil })
	again := make([]*Subscription, 0, len(s.subs))
	for _, sub := range s.subs {
		again = append(again, sub)
	}
	s.mu.Unlock()
	if s.options.Up != nil {
		s.options.Up(l.hello)
	}
	var resuming sync.WaitGroup
	resuming.Go(func() { // beside the reader, which must go on lest both sides wait for each other
		for _, sub := range again {
			if sub.ask(ctx, l) != nil {
				return
			}
		}
	})
	defer resuming.Wait()
	defer l.close() // before that wait
	for {
		f, err := l.next(ctx)
		if err != nil {
			return err
		}
		s.take(ctx, l, f)
	}
}

// take handles a frame.
func (s *Stream) take(ctx context.Context, l *link, f frame) {
	switch {
	case f.Push != nil:
		l.sees(f.Push.Position())
		for _, name := range f.Push.Channels {
			if sub := s.find(name); sub != nil {
				sub.push(l, *f.Push)
			}
		}
	case f.Position != nil:
		l.sees(*f.Position)
		s.mu.Lock()
		for _, sub := range s.subs {
			sub.moved(l, *f.Position)
		}
		s.mu.Unlock()
	case f.ID != 0:
		if f.Result != nil {
			l.sees(f.Result.Position)
		}
		if sub := l.answered(f.ID); sub != nil {
			sub.reply(ctx, l, f)
		}
	}
}

func (s *Stream) find(channel string) *Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[channel]
}

// down tells that there is no connection.
func (s *Stream) down(err error) {
	s.mu.Lock()
	s.change(func() { s.link, s.failure, s.tries = nil, err, s.tries+1 })
	s.mu.Unlock()
	if s.options.Down != nil {
		s.options.Down(err)
	}
}

// end ends all subscriptions.
func (s *Stream) end(err error) {
	s.mu.Lock()
	subs := s.subs
	s.change(func() { s.link, s.ended, s.subs = nil, err, map[string]*Subscription{} })
	s.mu.Unlock()
	for _, sub := range subs {
		sub.end(err)
	}
}
