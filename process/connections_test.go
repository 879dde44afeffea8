package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func bounded(t *testing.T, bounds Connections) *listener {
	t.Helper()
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := newListener(plain, bounds, true, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// pair is both ends of a connection.
func (l *listener) pair(t *testing.T) (client net.Conn, server *connection) {
	t.Helper()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	conn, err := l.Accept()
	require.NoError(t, err)
	return client, conn.(*connection)
}

// ended reads to the end of a connection.
func ended(t *testing.T, conn net.Conn) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	b, err := io.ReadAll(conn)
	require.False(t, errors.Is(err, syscall.EAGAIN), "%v", err)
	if e, ok := errors.AsType[net.Error](err); ok {
		require.False(t, e.Timeout(), "it goes on")
	}
	return string(b)
}

func TestAWaitingConnectionMakesRoomAndAWorkingOneDoesNot(t *testing.T) {
	t.Parallel()
	l := bounded(t, Connections{Total: 3, PerAddress: 3})
	oldest, server := l.pair(t)
	server.work()
	second, _ := l.pair(t)
	_, third := l.pair(t)
	done := third.work()
	l.pair(t) // in place of the second, which waits longest
	assert.Empty(t, ended(t, second))
	assert.Equal(t, 1.0, testutil.ToFloat64(l.refused.WithLabelValues("evicted")))
	_, fourth := l.pair(t) // in place of the one before
	fourth.work()

	// All are at work: a new one is told so.
	refused, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = refused.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- conn
	}()
	text := ended(t, refused)
	assert.Contains(t, text, "503 Service Unavailable")
	assert.Contains(t, text, `"too_many_connections"`)
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err, "Content-Length is right")
	require.NoError(t, answer.Body.Close())
	assert.True(t, json.Valid(body))

	done() // it waits again
	after, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = after.Close() }()
	select {
	case conn := <-accepted:
		require.NotNil(t, conn)
		require.NoError(t, conn.Close())
	case <-time.After(10 * time.Second):
		t.Fatal("there is no room")
	}
	_, err = oldest.Write([]byte("x"))
	require.NoError(t, err)
	open, waiting := l.count()
	assert.Equal(t, []int{2, 0}, []int{open, waiting})
}

func TestAnAddressHasItsShareAndAProxyHasAll(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		bounds := Connections{Total: 6, PerAddress: 2}
		if shared {
			bounds.Shared = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		l := bounded(t, bounds)
		for range 2 {
			_, c := l.pair(t)
			c.work()
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		accepted := make(chan net.Conn, 1)
		go func() {
			c, _ := l.Accept()
			accepted <- c
		}()
		if shared {
			require.NotNil(t, <-accepted)
		} else {
			assert.Contains(t, ended(t, conn), "503")
		}
		require.NoError(t, conn.Close())
		require.NoError(t, l.Close())
		if !shared {
			assert.Nil(t, <-accepted)
		}
	}
}

// failing is a listener that cannot accept for a while.
type failing struct {
	net.Listener
	left atomic.Int64
	with error
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: f.with}
	}
	return f.Listener.Accept()
}

func TestALackOfDescriptorsIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, with := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ECONNABORTED} {
		plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		f := &failing{Listener: plain, with: with}
		l := newListener(f, Connections{}, true, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		waiting, _ := l.pair(t)
		f.left.Store(3)
		l.pair(t)
		assert.Empty(t, ended(t, waiting), "one that waits gives its descriptor")
		assert.Equal(t, 3.0, testutil.ToFloat64(l.refused.WithLabelValues("failed")))
		require.NoError(t, l.Close())
	}
	f := &failing{with: syscall.EINVAL}
	f.left.Store(1)
	l := newListener(f, Connections{}, true, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	_, err := l.Accept()
	require.ErrorIs(t, err, syscall.EINVAL, "what does not pass is an error")
}

// A client that takes nothing of an answer is given up, and one that takes it slowly is not.
func TestAnAnswerMustBeTaken(t *testing.T) {
	t.Parallel()
	l := bounded(t, Connections{})
	_, server := l.pair(t)
	require.NoError(t, server.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := server.Write(make([]byte, 64<<20))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout(), "a deadline that was set holds")

	l.stall = 200 * time.Millisecond
	_, server = l.pair(t)
	_, err = server.Write(make([]byte, 64<<20))
	require.ErrorAs(t, err, &timeout)

	slow, server := l.pair(t)
	go func() { _, _ = io.Copy(io.Discard, slow) }()
	n, err := server.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	assert.Equal(t, 8<<20, n)
}

func TestDefaultsLeaveDescriptorsForOthers(t *testing.T) {
	t.Parallel()
	c := Connections{}.filled()
	assert.LessOrEqual(t, c.Total, max(minConnections, descriptors()*3/4))
	assert.Less(t, c.PerAddress, c.Total)
	assert.Positive(t, c.PerAddress)
}
