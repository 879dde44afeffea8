package stream

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"stega/fault"
)

// lookupTimeout bounds a lookup of an operation.
const lookupTimeout = 5 * time.Second

// obey carries out a client's message.
func (c *client) obey(data []byte) {
	if c.closing.Load() {
		return // what comes after the verdict
	}
	cmd, err := decodeCommand(data)
	if err != nil && cmd.ID == 0 {
		c.enqueue("reply", nil, reply{Error: fault.Of(err)})
		c.close(codeBad, fault.Of(err).Detail, false)
		return
	}
	if err == nil && !c.allowed() {
		err = fault.Unavailable("rate_limited", "there are more commands than %g a second",
			c.h.o.Rate).WithHint("send fewer, or wait for each answer")
	}
	if err == nil && !c.open.Load() && cmd.Auth == nil && cmd.Ping == nil {
		err = fault.New(fault.KindUnauthorized, "token_missing", "the stream needs a token").
			WithHint(`send {"id":1,"auth":{"token":"stega_…"}} first, or the header Authorization: Bearer stega_…`)
	}
	switch {
	case err != nil:
		c.refuse(cmd.ID, err)
	case cmd.Ping != nil:
		c.enqueue("reply", nil, reply{ID: cmd.ID, Result: pong{}})
	case cmd.Auth != nil:
		if err := c.mayAsk(); err != nil {
			c.refuse(cmd.ID, err)
			return
		}
		token := cmd.Auth.Token
		c.later(func(context.Context) { c.authorize(cmd.ID, token) })
	case cmd.Subscribe != nil:
		c.subscribe(cmd.ID, *cmd.Subscribe)
	case cmd.Unsubscribe != nil:
		c.unsubscribe(cmd.ID, cmd.Unsubscribe.Channel)
	}
}

// renewEvery is how often a client that was let in may send another token.
const renewEvery = time.Second

// mayAsk allows one token before the client is let in, and then now and then a newer one: each is looked up.
func (c *client) mayAsk() error {
	now := time.Now()
	switch {
	case !c.requested && !c.open.Load():
		c.requested = true
		return nil
	case !c.open.Load():
		return fault.New(fault.KindUnauthorized, "token_repeated",
			"a token was sent already, and one connection has one attempt").
			WithHint("wait for the answer to it, or connect again")
	case now.Sub(c.renewed) < renewEvery:
		return fault.New(fault.KindRateLimited, "rate_limited",
			"tokens come more often than one a second").WithHint("wait a second")
	}
	c.renewed = now
	return nil
}

// allowed takes a command from the client's allowance.
func (c *client) allowed() bool {
	now := time.Now()
	c.tokens = min(float64(c.h.o.Burst), c.tokens+now.Sub(c.refilled).Seconds()*c.h.o.Rate)
	c.refilled = now
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

func (c *client) refuse(id uint64, err error) {
	f := fault.Of(err)
	if f.Kind == fault.KindInternal {
		c.h.o.Log.Warn("a command of a stream client failed", "error", err)
	}
	c.enqueue("reply", nil, reply{ID: id, Error: f})
}

// authorize looks at the token of a client that could not send it in a header, or has a newer one.
func (c *client) authorize(id uint64, token string) {
	err := c.h.authorized(token)
	if err == nil {
		err = c.h.occupy(c, holder(token))
	}
	if err == nil {
		c.watch(context.Background(), token)
		c.enqueue("reply", nil, reply{ID: id, Result: authorized{}})
		c.welcome()
		return
	}
	c.refuse(id, err)
	c.close(verdict(err), fault.Of(err).Detail, false)
}

// authorized checks a token.
func (h *Hub) authorized(token string) error {
	if h.o.Authorize == nil {
		return nil
	}
	return h.o.Authorize(token)
}

// verdict is the code that a client with a refused token is closed with.
func verdict(err error) int {
	switch kind := fault.Of(err).Kind; {
	case kind == fault.KindForbidden:
		return codeForbidden
	case kind == fault.KindRateLimited:
		return codeCrowded
	case kind.Permanent():
		return codeToken
	}
	return codeAgain // it could not be looked at
}

// subscribe begins a subscription, at the end or where the client was.
func (c *client) subscribe(id uint64, s subscribe) {
	parsed, err := parseChannel(s.Channel)
	if err != nil {
		c.refuse(id, err)
		return
	}
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	sub, err := h.add(c, parsed, s.Coalesce)
	if err != nil {
		c.refuse(id, err)
		return
	}
	r := &resume{c: c, subs: []*subscription{sub}, next: h.window.tail.next()}
	switch {
	case s.From != nil:
		from := *s.From
		r.next = from.next()
		answer := reply{ID: id, Result: subscribed{Channel: s.Channel, Position: from, Resumed: true}}
		if h.classify(from) == here {
			h.metrics.resumes.WithLabelValues("memory").Inc()
			c.enqueue("reply", nil, answer)
			if !r.step() {
				c.later(r.run)
			}
			return
		}
		c.later(func(ctx context.Context) {
			if err := h.prove(ctx, from); err != nil {
				h.discard(sub)
				c.refuse(id, err)
				return
			}
			c.enqueue("reply", nil, answer)
			r.run(ctx)
		})
	case parsed.operation != "" && h.o.Operation != nil:
		at := h.window.tail
		c.later(func(ctx context.Context) {
			operation, err := h.lookup(ctx, parsed.operation)
			if err != nil {
				h.discard(sub)
				c.refuse(id, err)
				return
			}
			c.enqueue("reply", nil,
				reply{ID: id, Result: subscribed{Channel: s.Channel, Position: at, Operation: operation}})
			r.run(ctx)
		})
	default:
		sub.live = true
		c.resuming--
		c.enqueue("reply", nil, reply{ID: id, Result: subscribed{Channel: s.Channel, Position: h.window.tail}})
	}
}

// lookup returns an operation as JSON; nil when there is none.
func (h *Hub) lookup(ctx context.Context, id string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	select {
	case h.lookups <- struct{}{}:
		defer func() { <-h.lookups }()
	case <-ctx.Done():
		return nil, busy(ctx.Err())
	}
	operation, err := h.o.Operation(ctx, id)
	// While a service is away it is not known whether that one has it. What is new to the ledger will be pushed, and a
	// client that could subscribe only with all services there could not write to the others either.
	if f, ok := errors.AsType[*fault.Fault](err); ok &&
		(f.Kind == fault.KindNotFound || f.Code == "service_unavailable") {
		return nil, nil
	}
	if err != nil && ctx.Err() != nil {
		err = busy(err)
	}
	return operation, err
}

func busy(err error) error {
	return fault.Unavailable("operation_unavailable",
		"the server is too busy to say how the operation fares").WithHint("subscribe again in a moment").Because(err)
}

// add notes a subscription, which is not live yet. The lock is held.
func (h *Hub) add(c *client, parsed *channel, coalesce bool) (*subscription, error) {
	if _, has := c.subs[parsed.name]; has {
		return nil, fault.Conflict("already_subscribed", "there is a subscription to %s on this connection",
			short(parsed.name)).
			WithHint("unsubscribe first")
	}
	if len(c.subs) >= h.o.Subscriptions {
		return nil, fault.Invalid("too_many_subscriptions", "a connection can have %d subscriptions",
			h.o.Subscriptions).
			WithHint("use patterns such as portfolio.*, or unsubscribe from what is no longer needed")
	}
	if c.life.Err() != nil {
		return nil, fault.Unavailable("stream_unavailable", "the connection is being closed")
	}
	channel := h.index.open(parsed)
	s := &subscription{client: c, channel: channel, at: len(channel.subs), coalesce: coalesce}
	channel.subs = append(channel.subs, s)
	if c.subs == nil {
		c.subs = map[string]*subscription{}
	}
	c.subs[strings.Clone(channel.name)] = s
	c.resuming++
	h.metrics.subscriptions.Inc()
	return s, nil
}

// drop removes a subscription. The lock is held.
func (h *Hub) drop(s *subscription) {
	if s.gone {
		return
	}
	s.gone = true
	if !s.live {
		s.client.resuming--
	}
	s.live = false
	delete(s.client.subs, s.channel.name)
	subs := s.channel.subs
	last := len(subs) - 1
	subs[s.at] = subs[last]
	subs[s.at].at = s.at
	subs[last] = nil
	s.channel.subs = subs[:last]
	h.index.release(s.channel)
	h.metrics.subscriptions.Dec()
}

func (h *Hub) discard(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(s)
}

func (c *client) unsubscribe(id uint64, name string) {
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s := c.subs[name]
	if s == nil {
		c.refuse(id, fault.NotFound("not_subscribed", "there is no subscription to %s on this connection", short(name)))
		return
	}
	h.drop(s)
	c.enqueue("reply", nil, reply{ID: id, Result: unsubscribed{Channel: name}})
}
