package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/process"
)

// send writes a request by hand, and reads the answer; within bounds both.
func send(t *testing.T, s *stegatest.Server, request string, within time.Duration) (*http.Response, net.Conn) {
	t.Helper()
	conn := dial(t, s)
	require.NoError(t, conn.SetDeadline(time.Now().Add(within)))
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, "%s", request)
	t.Cleanup(func() { _ = answer.Body.Close() })
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	return answer, conn
}

// A request whose body never comes is answered at once when the answer does not need the body, and within seconds
// when it does; then its connection ends. That holds in every process and on every route.
func TestARequestWhoseBodyNeverComesEnds(t *testing.T) {
	t.Parallel()
	up := stegatest.Up(t)
	api := stegatest.Up(t, func(c *process.Config) {
		c.Services, c.Roles = []string{"portfolio", "marketdata"}, []process.Role{process.API}
	})
	for _, framing := range []string{"Content-Length: 100", "Content-Length: 900000", "Transfer-Encoding: chunked",
		"Content-Length: 100\r\nExpect: 100-continue"} {
		for _, c := range []struct {
			s             *stegatest.Server
			name, request string
			status        int
		}{
			{up, "without a token",
				"POST /v1/portfolios HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nHost: stega.example\r\n", 401},
			{up, "with a wrong token",
				"POST /v1/portfolios HTTP/1.1\r\nAuthorization: Bearer stega_x\r\nHost: stega.example\r\n", 401},
			{up, "to the health check", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", 200},
			{api, "to the health check of a service", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", 200},
			{api, "to a service without a token",
				"POST /v1/prices HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nHost: stega.example\r\n", 401},
			{up, "to a path that is not there",
				"POST /v1/nothing HTTP/1.1\r\n" + text(headersOf(up)) + "Host: localhost\r\n",
				404},
			{up, "with a method that is not there", "PATCH /v1/portfolios HTTP/1.1\r\n" + text(headersOf(up)) +
				"Host: localhost\r\n", 405},
			{up, "with a wrong type", "POST /v1/portfolios HTTP/1.1\r\n" + text(headersOf(up)) +
				"Content-Type: text/html\r\nHost: localhost\r\n", 415},
			{up, "to read", "GET /v1/portfolios HTTP/1.1\r\n" + text(headersOf(up)) + "Host: localhost\r\n", 200},
		} {
			t.Run(c.name+", "+framing, func(t *testing.T) {
				t.Parallel()
				answer, conn := send(t, c.s, c.request+framing+"\r\n\r\n", 4*time.Second)
				assert.Equal(t, c.status, answer.StatusCode)
				assert.True(t, answer.Close, "the connection is not for more")
				require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
				_, err := conn.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF, "the connection ends")
			})
		}
		t.Run("one that is let in, "+framing, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, up)
			require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
			_, err := fmt.Fprintf(conn,
				"POST /v1/portfolios HTTP/1.1\r\n%sContent-Type: application/json\r\nHost: localhost\r\n%s\r\n\r\n",
				text(headersOf(up)), framing)
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			answer, err := http.ReadResponse(in, nil)
			if err == nil && answer.StatusCode == http.StatusContinue {
				answer, err = http.ReadResponse(in, nil)
			}
			require.NoError(t, err)
			assert.Equal(t, http.StatusBadRequest, answer.StatusCode)
			assert.Equal(t, "body_incomplete", decode(t, answer.Body).Code)
			require.NoError(t, answer.Body.Close())
			_, err = in.ReadByte()
			assert.ErrorIs(t, err, io.EOF, "the connection ends")
		})
	}
}

func text(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b)
	return b.String()
}

// A large body may take its time while it flows.
func TestABodyThatFlowsMayTakeItsTime(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	in, out := io.Pipe()
	go func() {
		_, _ = io.WriteString(out, "date,symbol,close\n")
		pace := time.NewTicker(50 * time.Millisecond) // of a slow client
		defer pace.Stop()
		for day := range 28 {
			for symbol := range 200 {
				_, _ = fmt.Fprintf(out, "2024-01-%02d,S%d,%d.5\n", day+1, symbol, 100+symbol)
			}
			<-pace.C
		}
		_ = out.Close()
	}()
	a := s.Send(http.MethodPost, "/v1/prices", in, "Content-Type", "text/csv", "Prefer", "wait=30")
	assert.Equal(t, http.StatusOK, a.Status, "%s", a.Body)
}

// Connections that wait fill the process up to its bound, and a client gets in all the same; databases and broker work.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) { c.HTTP = process.Connections{Total: 24, PerAddress: 24} })
	for i := range 200 {
		conn := dial(t, s)
		switch i % 4 {
		case 0: // says nothing
		case 1: // stops in the header
			_, _ = io.WriteString(conn, "GET /v1/portfolios HTTP/1.1\r\nHost: ")
		case 2: // is not let in, and leaves its body waiting
			_, _ = io.WriteString(conn,
				"POST /v1/portfolios HTTP/1.1\r\nHost: stega.example\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: "+
					"100\r\n\r\n")
		case 3: // has had an answer
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		}
	}
	for i := range 20 {
		before := time.Now()
		s.Portfolio(fmt.Sprintf(`{"name":"p%d","assets":[{"symbol":"A","weight":"1"}]}`, i))
		assert.Less(t, time.Since(before), 10*time.Second)
	}
	metrics := string(s.Do(http.MethodGet, "/metrics", "").Body)
	assert.Contains(t, metrics, "stega_http_connections_limit 24")
	assert.Contains(t, metrics, `stega_http_connections_refused_total{reason="evicted"}`)
	assert.NotContains(t, metrics, `{reason="evicted"} 0`)
}

// A stream that was let in is not closed to make room for others.
func TestAStreamKeepsItsPlace(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) { c.HTTP = process.Connections{Total: 16, PerAddress: 16} })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/stream?channel=portfolio.*", nil)
	require.NoError(t, err)
	r.Header = headersOf(s)
	events, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = events.Body.Close() }()
	require.Equal(t, http.StatusOK, events.StatusCode)
	for range 100 {
		dial(t, s)
	}
	s.Portfolio(`{"name":"core","assets":[{"symbol":"A","weight":"1"}]}`)
	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "portfolio.created") {
			return
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
}

// One token has a bounded number of requests under way, and more are refused at once.
func TestOneCallerHasBoundedRequests(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) { c.HTTP = process.Connections{Total: 64, PerAddress: 32} })
	for range 24 { // bodies that do not come; more than there is room for, since reads take a place too
		conn := dial(t, s)
		_, err := fmt.Fprintf(conn,
			"POST /v1/portfolios HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\nContent-Length: "+
				"100\r\n\r\n", text(headersOf(s)))
		require.NoError(t, err)
	}
	var refused stegatest.Answer
	s.Eventually("one more is refused", func() bool {
		refused = s.Do(http.MethodGet, "/v1/portfolios", "")
		// the limit in time comes first, or not
		return refused.Status == http.StatusTooManyRequests && refused.Problem().Code == "too_many_at_once"
	})
	assert.NotEmpty(t, refused.Header.Get("Retry-After"))
	s.Eventually("there is room again",
		func() bool { return s.Do(http.MethodGet, "/v1/portfolios", "").Status == http.StatusOK })
}

// When the listener breaks, the process ends with an error: nobody could reach it any more.
func TestAListenerThatBreaksEndsTheProcess(t *testing.T) {
	t.Parallel()
	address, ended := make(chan string, 1), make(chan error, 1)
	cfg := stegatest.Config(t.TempDir())
	go func() { ended <- process.Run(t.Context(), cfg, func(addr string) { address <- addr }) }()
	select {
	case addr := <-address:
		breakListener(t, addr)
	case err := <-ended:
		require.NoError(t, err)
	}
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "HTTP")
	case <-time.After(stegatest.Patience):
		t.Fatal("the process runs on without HTTP")
	}
}

// breakListener shuts down the socket that listens on an address of this process.
func breakListener(t *testing.T, addr string) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	for fd := range 4096 {
		at, err := syscall.Getsockname(fd)
		if err != nil {
			continue
		}
		listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
		if in4, ok := at.(*syscall.SockaddrInet4); ok && err == nil && listening == 1 &&
			strconv.Itoa(in4.Port) == port {
			require.NoError(t, syscall.Shutdown(fd, syscall.SHUT_RDWR))
			return
		}
	}
	t.Fatal("nothing listens there")
}
