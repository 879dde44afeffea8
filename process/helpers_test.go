package process_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// headersOf are those that a request by hand sends to be let in.
func headersOf(s *stegatest.Server) http.Header {
	return http.Header{"Authorization": {"Bearer " + s.Token}}
}

// dial opens a connection to a server, for requests that no client would send.
func dial(t *testing.T, s *stegatest.Server) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(stegatest.Patience)))
	return conn
}

func closeWrite(conn net.Conn) error { return conn.(*net.TCPConn).CloseWrite() }

// decode reads a problem.
func decode(t *testing.T, body io.Reader) (p stegatest.Problem) {
	t.Helper()
	require.NoError(t, json.NewDecoder(body).Decode(&p))
	return p
}
