package store

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// silentFor is how long a query may go without a byte from or to the server: a server that is frozen, or another one
// behind the same address, answers keepalives and sends nothing. Every query of the pool has this bound, whatever
// deadline its caller has.
const silentFor = 30 * time.Second

// dial connects to a server whose silence ends a connection, except while limited is false.
func dial(limited func() bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer().DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &bounded{Conn: conn, limited: limited}, nil
	}
}

// bounded is a connection on which a read or a write fails when nothing went through for silentFor.
type bounded struct {
	net.Conn
	limited func() bool

	mu          sync.Mutex
	read, write time.Time // the deadlines that its user has set
	moved       time.Time // when something last went through, or an operation began
}

// Read reads. What is written meanwhile counts as a sign of life.
func (b *bounded) Read(p []byte) (int, error) {
	b.move()
	for {
		own, err := b.arm(&b.read, b.Conn.SetReadDeadline)
		if err != nil {
			return 0, err
		}
		n, err := b.Conn.Read(p)
		switch {
		case n > 0 || !own || !os.IsTimeout(err):
			return n, err
		case b.silent():
			return 0, b.lost()
		}
	}
}

// Write writes pieces, each of which the server must take in time.
func (b *bounded) Write(p []byte) (n int, err error) {
	for {
		b.move()
		own, err := b.arm(&b.write, b.Conn.SetWriteDeadline)
		if err != nil {
			return n, err
		}
		m, err := b.Conn.Write(p[:min(len(p), 64<<10)])
		n += m
		if p = p[m:]; err != nil && own && os.IsTimeout(err) {
			return n, b.lost()
		}
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// arm sets the deadline of an operation: the user's, or the one that silence has. own reports that it is the latter.
func (b *bounded) arm(user *time.Time, set func(time.Time) error) (own bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.moved.Add(silentFor)
	if !b.limited() || !by.After(time.Now()) {
		by = time.Now().Add(silentFor)
	}
	if own = user.IsZero() || by.Before(*user); !own {
		by = *user
	}
	return own, set(by)
}

// errSilent is no timeout: its connection is of no use any more.
var errSilent = fmt.Errorf("nothing came from the database server for %s: %w", silentFor, net.ErrClosed)

func (b *bounded) lost() error {
	_ = b.Close()
	return errSilent
}

// silent reports whether nothing went through for too long, and silence is not to be expected.
func (b *bounded) silent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limited() && time.Since(b.moved) >= silentFor
}

func (b *bounded) move() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved = time.Now()
}

// SetDeadline bounds reads and writes.
func (b *bounded) SetDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read, b.write = t, t
	return b.Conn.SetDeadline(t)
}

// SetReadDeadline bounds reads, also one that is under way.
func (b *bounded) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = t
	return b.Conn.SetReadDeadline(t)
}

// SetWriteDeadline bounds writes, also one that is under way.
func (b *bounded) SetWriteDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write = t
	return b.Conn.SetWriteDeadline(t)
}
