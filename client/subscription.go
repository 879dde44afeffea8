package client

import (
	"context"
	"sync"
	"time"

	"stega/fault"
)

// Interest is what a subscription is for.
type Interest struct {
	Channel  string    // operation:<id>, subject:<subject>, or topics such as portfolio.*
	From     *Position // the pushes after it come first; nil: from now on
	Coalesce bool      // of several pushes of one subject and topic that are due, only the newest

	unheard bool // nothing can have happened of it before the subscription stands
}

// Subscriber hears of a subscription. Its functions may be nil; they are called one at a time, in order, by the
// reader of the connection: they must be quick, and must not wait for the stream.
type Subscriber struct {
	Push     func(Push)
	Standing func(Standing) // it stands, at first and again after each reconnect
	// it could not be resumed: what happened meanwhile is not known and must be read; pushes go on, from the standing
	// before
	Lost  func(*fault.Fault)
	Ended func(error) // there will be no pushes any more
}

// Subscription is a subscription of a stream.
type Subscription struct {
	stream *Stream
	want   Interest
	to     Subscriber
	first  chan error // how the first try to subscribe ended
	tries  int        // of the stream before

	mu    sync.Mutex
	on    *link        // where it stands
	from  *Position    // what was seen last
	stood bool         // it stood once
	lost  *fault.Fault // why it could not be resumed, until it stands again
	fails int          // how often it was refused for a reason that passes
	over  bool
}

// Keep subscribes as soon as there is a connection, and again after each reconnect. A channel can have one
// subscription.
func (s *Stream) Keep(want Interest, to Subscriber) (*Subscription, error) {
	sub := &Subscription{stream: s, want: want, to: to, from: want.From, first: make(chan error, 1)}
	s.mu.Lock()
	if s.ended != nil {
		s.mu.Unlock()
		return nil, s.ended
	}
	if s.subs[want.Channel] != nil {
		s.mu.Unlock()
		return nil, fault.Conflict("channel_subscribed", "this stream has a subscription of %s already", want.Channel)
	}
	s.subs[want.Channel] = sub
	sub.tries = s.tries
	l := s.link
	s.mu.Unlock()
	if l != nil {
		_ = sub.ask(context.Background(), l) // when it fails, so does the reader, and the next connection asks again
	}
	return sub, nil
}

// Subscribe is Keep that returns once the subscription stands, or was refused. It does not wait for a server that was
// never there.
func (s *Stream) Subscribe(ctx context.Context, want Interest, to Subscriber) (*Subscription, error) {
	sub, err := s.Keep(want, to)
	if err != nil {
		return nil, err
	}
	if err := sub.wait(ctx); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

func (sub *Subscription) wait(ctx context.Context) error {
	s := sub.stream
	for {
		s.mu.Lock()
		changed, failure, hopeless := s.changed, s.failure, !s.ever && s.tries > sub.tries
		s.mu.Unlock()
		if hopeless {
			return failure
		}
		select {
		case err := <-sub.first:
			return err
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close unsubscribes.
func (sub *Subscription) Close() {
	s := sub.stream
	s.mu.Lock()
	if s.subs[sub.want.Channel] == sub {
		delete(s.subs, sub.want.Channel)
	}
	l := s.link
	s.mu.Unlock()
	sub.mu.Lock()
	was := sub.over
	sub.over = true
	sub.mu.Unlock()
	if l != nil && !was {
		_ = l.ask(context.Background(), nil, command{Unsubscribe: &channel{Channel: sub.want.Channel}})
	}
}

// ask asks the server to subscribe, from where it was.
func (sub *Subscription) ask(ctx context.Context, l *link) error {
	sub.mu.Lock()
	c := &channel{Channel: sub.want.Channel, From: sub.from, Coalesce: sub.want.Coalesce}
	if c.From == nil && sub.want.unheard && !sub.stood && sub.fails == 0 {
		c.From = l.seen() // and the server need not look for what happened before
	}
	over := sub.over
	sub.mu.Unlock()
	if over {
		return nil
	}
	return l.ask(ctx, sub, command{Subscribe: c})
}

// reply takes the answer to ask.
func (sub *Subscription) reply(ctx context.Context, l *link, f frame) {
	if f.Error != nil || f.Result == nil {
		sub.refused(ctx, l, f.Error)
		return
	}
	sub.mu.Lock()
	sub.on, sub.stood, sub.fails = l, true, 0
	if sub.from == nil || !f.Result.Resumed {
		sub.from = f.Result.Position.known()
	}
	lost := sub.lost
	sub.lost = nil
	sub.mu.Unlock()
	if sub.to.Standing != nil {
		sub.to.Standing(*f.Result)
	}
	if lost != nil && sub.to.Lost != nil {
		sub.to.Lost(lost)
	}
	sub.told(nil)
}

// refused goes on from now when only resuming was refused, asks again later for what passes, and else ends the
// subscription.
func (sub *Subscription) refused(ctx context.Context, l *link, f *fault.Fault) {
	if f == nil {
		f = fault.New(fault.KindInternal, "answer_strange", "the answer to subscribe is not understood")
	}
	sub.mu.Lock()
	gone := f.Code == "position_expired" || f.Code == "position_unknown"
	again := gone && (sub.stood && sub.from != nil || sub.want.unheard && sub.fails == 0)
	if again && sub.stood {
		sub.from, sub.lost = nil, f
	}
	later := time.Duration(0)
	if !again && passing(f) {
		again, later = true, sub.stream.client.pace.wait(sub.fails)
	}
	if again {
		sub.fails++
	}
	sub.mu.Unlock()
	switch {
	case later > 0:
		// when there is another connection by then, that one has asked
		time.AfterFunc(later, func() { _ = sub.ask(ctx, l) })
		return
	case again:
		_ = sub.ask(ctx, l)
		return
	}
	sub.stream.mu.Lock()
	if sub.stream.subs[sub.want.Channel] == sub {
		delete(sub.stream.subs, sub.want.Channel)
	}
	sub.stream.mu.Unlock()
	sub.end(f)
}

// told says once how the first try ended.
func (sub *Subscription) told(err error) {
	select {
	case sub.first <- err:
	default:
	}
}

func (sub *Subscription) end(err error) {
	sub.mu.Lock()
	was := sub.over
	sub.over = true
	sub.mu.Unlock()
	if was {
		return
	}
	sub.told(err)
	if sub.to.Ended != nil {
		sub.to.Ended(err)
	}
}

// push hands a push over, unless it was seen before.
func (sub *Subscription) push(l *link, p Push) {
	sub.mu.Lock()
	at := p.Position()
	later := sub.from == nil || at.Position > sub.from.Position
	due := !sub.over && sub.on == l && (sub.want.Coalesce || later)
	if due && later {
		sub.from = &at
	}
	sub.mu.Unlock()
	if due && sub.to.Push != nil {
		sub.to.Push(p)
	}
}

// moved notes that everything up to a position has come.
func (sub *Subscription) moved(l *link, p Position) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.on == l && (sub.from == nil || p.Position > sub.from.Position) {
		sub.from = &p
	}
}
