package stream

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"stega/fault"
)

// eventStream is the link of a client that reads server-sent events; the handler of its request writes.
type eventStream struct {
	c       *client
	answer  *http.ResponseController
	w       http.ResponseWriter
	wake    chan struct{}
	gone    chan struct{}
	cutting sync.Once
}

// sse serves a client with server-sent events until it ends.
func (h *Hub) sse(w http.ResponseWriter, r *http.Request, token string) error {
	channels, from, err := requested(r)
	if err != nil {
		return err
	}
	if from != nil {
		if err := h.prove(r.Context(), *from); err != nil {
			return err
		}
	}
	c, err := h.join(asSSE, remote(r))
	if err != nil {
		return err
	}
	defer c.leave()
	if err := h.occupy(c, h.holderOf(r, token)); err != nil {
		return err
	}
	s := &eventStream{c: c, w: w, answer: http.NewResponseController(w), wake: make(chan struct{}, 1),
		gone: make(chan struct{})}
	c.start(s)
	c.watch(r.Context(), token)
	if err := c.listen(channels, from); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // for proxies that would collect
	w.WriteHeader(http.StatusOK)
	s.serve(r.Context())
	return nil
}

// requested returns the channels of a request, and the position to resume from.
func requested(r *http.Request) (channels []*channel, from *Position, err error) {
	query := r.URL.Query()
	names := query["channel"]
	if len(names) == 0 {
		return nil, nil, fault.Malformed("channel_missing", "there is no channel").
			WithHint("name what to listen to: /v1/stream?channel=portfolio.*&channel=operation:<id>")
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c, err := parseChannel(name)
		if err != nil {
			return nil, nil, err
		}
		channels = append(channels, c)
	}
	text := r.Header.Get("Last-Event-ID") // of a client that comes back; what it asked for at first is older
	if text == "" {
		text = query.Get("from")
	}
	if text == "" {
		return channels, nil, nil
	}
	position, err := ParsePosition(text)
	return channels, &position, err
}

// listen subscribes to all channels at once, so that one position is good for all of them.
func (c *client) listen(channels []*channel, from *Position) error {
	operations, at, err := c.operations(channels, from)
	if err != nil {
		return err
	}
	c.welcome()
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &resume{c: c, next: at.next()}
	for _, channel := range channels {
		s, err := h.add(c, channel, false)
		if err != nil {
			return err
		}
		r.subs = append(r.subs, s)
	}
	for i, channel := range channels {
		c.enqueue("reply", nil,
			reply{Result: subscribed{
				Channel:   channel.name,
				Position:  at,
				Resumed:   from != nil,
				Operation: operations[i],
			}})
	}
	c.later(r.run)
	return nil
}

// operations asks about the operations among the channels, and says from where on the channels are to be listened to.
func (c *client) operations(channels []*channel, from *Position) (known [][]byte, at Position, err error) {
	known = make([][]byte, len(channels))
	if from != nil {
		return known, *from, nil
	}
	at = c.h.Position() // before the question: what comes meanwhile is pushed
	for i, channel := range channels {
		if channel.operation == "" || c.h.o.Operation == nil {
			continue
		}
		if known[i], err = c.h.lookup(c.life, channel.operation); err != nil {
			return nil, at, err
		}
	}
	return known, at, nil
}

func (s *eventStream) write() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *eventStream) hurry(within time.Duration) {
	_ = s.answer.SetWriteDeadline(time.Now().Add(within)) // best effort: the sweep cuts
}

func (s *eventStream) cut() { s.cutting.Do(func() { close(s.gone) }) }

// serve writes what is queued until the client or the hub ends.
func (s *eventStream) serve(ctx context.Context) {
	for {
		select {
		case <-s.wake:
			if !s.flush() {
				return
			}
		case <-s.gone:
			return
		case <-ctx.Done():
			if !s.c.closing.Swap(true) {
				s.c.h.metrics.closed(int(websocket.StatusAbnormalClosure))
			}
			return
		}
	}
}

// flush writes what is queued, and reports whether more can come.
func (s *eventStream) flush() bool {
	var few [8]item
	for {
		batch, finish := s.c.queue.take(few[:0], batchBytes)
		if len(batch) == 0 {
			if finish {
				// the client may be gone
				_, _ = s.w.Write(frame(asSSE, "close", nil, closeMessage{s.c.code, s.c.reason}))
			}
			return !finish
		}
		_ = s.answer.SetWriteDeadline(time.Now().Add(s.c.h.o.Write)) // in place of the server's, if it can be
		s.c.writing(batch)
		for _, it := range batch {
			if _, err := s.w.Write(it.frame); err != nil {
				return false
			}
		}
		if err := s.answer.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		s.c.wrote(batch)
		clear(batch)
	}
}
