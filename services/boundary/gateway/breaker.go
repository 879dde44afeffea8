package gateway

import (
	"sync"
	"time"
)

// state is that of a breaker, as its metric shows it.
type state int

const (
	closed   state = iota // all may ask
	halfOpen              // one asks, and the others wait for what becomes of it
	opened                // nobody asks
)

// outcome is what an attempt says of the other side.
type outcome int

const (
	unsaid outcome = iota // nothing: the client went, or sent nonsense
	worked
	failed
)

// breaker keeps requests from a service that does not answer: they would wait, and keep it from coming back. After
// some failures in a row it opens; after a while one request may try, and when it works all may.
type breaker struct {
	failures int           // in a row that open it
	first    time.Duration // how long it stays open at first; doubled with each try that fails
	longest  time.Duration

	mu      sync.Mutex
	state   state
	row     int
	rest    time.Duration
	until   time.Time
	changes int // tells what began before a change from what began after it
}

// begin asks whether an attempt may be made. It returns what to call with its outcome; or nil, and how long to wait.
func (b *breaker) begin() (end func(outcome), wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch b.state {
	case halfOpen:
		return nil, b.first
	case opened:
		if now.Before(b.until) {
			return nil, b.until.Sub(now)
		}
		b.turn(halfOpen)
	case closed:
	}
	began := b.changes
	return func(o outcome) { b.end(began, o) }, 0
}

func (b *breaker) turn(to state) {
	b.state = to
	b.changes++
}

func (b *breaker) end(began int, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if began != b.changes {
		return // of a time that is over
	}
	switch {
	case b.state == halfOpen && o == unsaid:
		b.turn(opened) // the next one tries: until has passed
	case b.state == halfOpen && o == failed:
		b.rest = min(2*b.rest, b.longest)
		b.open()
	case o == worked:
		if b.state == halfOpen {
			b.turn(closed)
		}
		b.row = 0
	case o == failed:
		if b.row++; b.row >= b.failures {
			b.rest = b.first
			b.open()
		}
	}
}

func (b *breaker) open() {
	b.turn(opened)
	b.row = 0
	b.until = time.Now().Add(b.rest)
}

func (b *breaker) now() state {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}
