package stream

import (
	"context"
	"math/rand/v2"
	"time"
)

// sweepEvery is how exact the deadlines of clients are. One look over all of them takes the place of timers for each.
const sweepEvery = time.Second

// firstPing spreads the pings of clients that came at the same time.
func (h *Hub) firstPing() int64 {
	return time.Now().Add(h.o.Ping/2 + rand.N(h.o.Ping/2)).UnixNano()
}

func (h *Hub) sweep(ctx context.Context) {
	tick := time.NewTicker(min(sweepEvery, h.o.Ping/4))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			h.look(now)
		case <-ctx.Done():
			return
		}
	}
}

// look sees what has fallen due.
func (h *Hub) look(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	most := 0
	for c := range h.clients {
		most = max(most, c.queue.waiting())
		c.due(now)
	}
	h.metrics.queueMost.Set(float64(most))
}

// due closes a client that missed a deadline, and pings one that is to be pinged. The hub's lock is held.
func (c *client) due(now time.Time) {
	n := now.UnixNano()
	switch {
	case passed(&c.writeBy, n):
		c.close(codeSlow, "a write took too long", true)
	case passed(&c.pongBy, n):
		c.close(codeNoPong, "no answer to a ping", true)
	case passed(&c.readBy, n):
		c.close(codeBad, "a message took too long", false)
	case passed(&c.authBy, n):
		c.close(codeToken, "no token was sent", false)
	case n >= c.pingAt && !c.closing.Load():
		c.pingAt = n + int64(c.h.o.Ping)
		c.ping()
	}
}

func passed(deadline *atomicTime, now int64) bool {
	d := deadline.Load()
	return d != 0 && now > d
}

// ping shows that the server is there, and sends the position that a quiet client may resume from.
func (c *client) ping() {
	if tail := c.h.window.tail; c.open.Load() && c.resuming == 0 && c.sentPosition != tail.Position {
		c.sentPosition = tail.Position
		c.enqueue("position", &tail, positionMessage{tail})
	}
	if c.form == asSSE {
		c.send(item{frame: beatFrame})
	} else if c.pongBy.Load() == 0 {
		c.send(item{frame: pingFrame, ping: true})
	}
}

// Drain takes no new clients, and tells those that are there to come back: spread over a while, so that they do not
// all come at once to where they go next. It returns when all have gone, or ctx ends; those that are left are cut off
// when Run ends.
func (h *Hub) Drain(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	clients := h.all()
	h.mu.Unlock()
	start := time.Now()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i, c := range clients {
		due := time.Duration(float64(h.o.Drain) * float64(i) / float64(len(clients)))
		if wait := due - time.Since(start); wait > 0 {
			pause.Reset(wait)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		c.close(codeShutdown, "the server is shutting down", false)
	}
	h.emptied(ctx)
}

// emptied waits until there are no clients.
func (h *Hub) emptied(ctx context.Context) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		h.mu.Lock()
		n := len(h.clients)
		h.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// finish ends all that is left when Run ends.
func (h *Hub) finish() {
	h.mu.Lock()
	h.end()
	clients := h.all()
	h.closeWatchers()
	h.mu.Unlock()
	for _, c := range clients {
		c.close(codeShutdown, "the server is shutting down", true)
		c.link.cut()
	}
	h.work.Wait()
}
