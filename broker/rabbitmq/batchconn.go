package rabbitmq

import (
	"net"
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
	buf     []byte
	err     error
	closing bool
	done    chan struct{}
}

const (
	keepBuffer = 4 << 20         // a larger buffer is not kept; a window of small messages is about as large
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
	c.buf = append(c.buf, p...)
	c.wake.Signal()
	return len(p), nil
}

func (c *batchConn) flush() {
	defer close(c.done)
	var batch []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.buf) == 0 && !c.closing {
			c.wake.Wait()
		}
		if len(c.buf) == 0 {
			return
		}
		if cap(batch) > keepBuffer {
			batch = nil
		}
		batch, c.buf = c.buf, batch[:0]
		c.mu.Unlock()
		_, err := c.Conn.Write(batch)
		c.mu.Lock()
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
