package rabbitmq

import (
	"net"
	"slices"
	"sync"
	"time"
)

// batchConn is a connection whose writes are gathered: the client library writes each message by itself, and a system
// call for each costs more than the message. While one batch is on its way to the kernel the next one gathers.
//
// A write never blocks, so no publisher hangs in one while the server, under an alarm, does not read. What gathers
// meanwhile is bounded by the window of unconfirmed messages.
type batchConn struct {
	net.Conn

	mu      sync.Mutex
	wake    *sync.Cond
	full    [][]byte // chunks to be written; the last may have room
	free    [][]byte // chunks to be used again
	err     error
	closing bool
	done    chan struct{}
}

const (
	chunkSize  = 64 << 10        // a buffer that grew with a window of messages would be copied again and again
	keepChunks = 64              // more are not kept
	flushGrace = 2 * time.Second // for what is still unwritten at Close
)

func newBatchConn(conn net.Conn) *batchConn {
	c := &batchConn{Conn: conn, done: make(chan struct{})}
	c.wake = sync.NewCond(&c.mu)
	go c.flush()
	return c
}

func (c *batchConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.closing {
		return 0, net.ErrClosed
	}
	for rest := p; len(rest) > 0; {
		chunk := c.room()
		n := min(len(rest), chunkSize-len(*chunk))
		*chunk = append(*chunk, rest[:n]...)
		rest = rest[n:]
	}
	c.wake.Signal()
	return len(p), nil
}

// room is a chunk that is not full.
func (c *batchConn) room() *[]byte {
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

func (c *batchConn) flush() {
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
		unwritten := net.Buffers(slices.Clone(batch)) // writing takes it apart
		_, err := unwritten.WriteTo(c.Conn)
		c.mu.Lock()
		for _, chunk := range batch[:min(len(batch), keepChunks-len(c.free))] {
			c.free = append(c.free, chunk[:0])
		}
		clear(batch)
		if err != nil {
			c.err = err
			_ = c.Conn.Close() // the reader sees it, and ends the connection
			return
		}
	}
}

func (c *batchConn) Close() error {
	c.mu.Lock()
	c.closing = true
	c.wake.Signal()
	c.mu.Unlock()
	// A deadline, for the peer may not read; when it cannot be set, the connection is closed already.
	_ = c.SetWriteDeadline(time.Now().Add(flushGrace))
	<-c.done
	return c.Conn.Close()
}
