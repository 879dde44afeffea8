package rabbitmq

import (
	"net"
	"slices"
	"sync"
	"time"
)

// bufferedConn is a connection with buffered writes. The client library writes each message by itself, and a system
// call for each costs more than the message. While the kernel receives one batch, the next one fills.
//
// A write never blocks, so no publisher hangs while the server, under an alarm, does not read. The window of
// unconfirmed messages limits the buffer.
type bufferedConn struct {
	net.Conn

	mu      sync.Mutex
	wake    *sync.Cond
	full    [][]byte // chunks to write; the last may have space
	free    [][]byte // chunks for reuse
	err     error
	closing bool
	done    chan struct{}
}

const (
	chunkSize  = 64 << 10        // one buffer growing with the window would be copied again and again
	keepChunks = 64              // at most this many are kept for reuse
	flushGrace = 2 * time.Second // for unwritten bytes at Close
)

func newBufferedConn(conn net.Conn) *bufferedConn {
	c := &bufferedConn{Conn: conn, done: make(chan struct{})}
	c.wake = sync.NewCond(&c.mu)
	go c.flush()
	return c
}

func (c *bufferedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.closing {
		return 0, net.ErrClosed
	}
	for rest := p; len(rest) > 0; {
		chunk := c.spare()
		n := min(len(rest), chunkSize-len(*chunk))
		*chunk = append(*chunk, rest[:n]...)
		rest = rest[n:]
	}
	c.wake.Signal()
	return len(p), nil
}

// spare returns a chunk with space.
func (c *bufferedConn) spare() *[]byte {
	last := len(c.full) - 1
	if last >= 0 && len(c.full[last]) < chunkSize {
		return &c.full[last]
	}
	var chunk []byte
	if n := len(c.free); n > 0 {
		chunk, c.free = c.free[n-1], c.free[:n-1]
	} else {
		chunk = make([]byte, 0, chunkSize)
	}
	c.full = append(c.full, chunk)
	return &c.full[last+1]
}

func (c *bufferedConn) flush() {
	defer close(c.done)
	var batch [][]byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.full) == 0 && !c.closing {
			c.wake.Wait()
		}
		if len(c.full) == 0 {
			return
		}
		batch, c.full = c.full, batch[:0]
		c.mu.Unlock()
		unwritten := net.Buffers(slices.Clone(batch)) // WriteTo consumes it
		_, err := unwritten.WriteTo(c.Conn)
		c.mu.Lock()
		for _, chunk := range batch[:min(len(batch), keepChunks-len(c.free))] {
			c.free = append(c.free, chunk[:0])
		}
		clear(batch)
		if err != nil {
			c.err = err
			_ = c.Conn.Close() // the reader fails, and ends the connection
			return
		}
	}
}

func (c *bufferedConn) Close() error {
	c.mu.Lock()
	c.closing = true
	c.wake.Signal()
	c.mu.Unlock()
	// A deadline, because the peer may not read. If setting it fails, the connection is closed already.
	_ = c.SetWriteDeadline(time.Now().Add(flushGrace))
	<-c.done
	return c.Conn.Close()
}
