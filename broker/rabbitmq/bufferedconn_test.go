package rabbitmq

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// All bytes arrive in order, in whatever pieces they are written, also those unwritten at Close.
func TestBufferedConn(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	c := newBufferedConn(near)
	var sent bytes.Buffer
	received := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		received <- b
	}()
	for i := range 200 {
		p := bytes.Repeat([]byte{byte(i)}, i*37)
		sent.Write(p)
		n, err := c.Write(p)
		require.NoError(t, err)
		require.Len(t, p, n)
	}
	long := bytes.Repeat([]byte("long"), 3*chunkSize)
	sent.Write(long)
	_, err := c.Write(long)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Equal(t, sent.Bytes(), <-received)
	assert.LessOrEqual(t, len(c.free), keepChunks)
	_, err = c.Write([]byte("late"))
	assert.Error(t, err)
}
