package cmd

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow is a server without a stream, which takes a write and never ends it; asked hears of each request.
func slow(t *testing.T, asked chan<- string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/stream" {
			http.Error(
				w,
				`{"kind":"not_found","code":"path_unknown","detail":"there is nothing at this path"}`,
				http.StatusNotFound,
			)
			return
		}
		asked <- r.Method
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintf(w, `{"operation_id":%q,"id":"p1"}`, r.Header.Get("Operation-Id"))
			return
		}
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// command runs a command in this process, on a home of its own.
func command(ctx context.Context, t *testing.T, args ...string) (status int, stdout, stderr string) {
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("STEGA_DAEMON", "off")
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(ctx); err != nil {
		status = explain(&errs, err)
	}
	return status, out.String(), errs.String()
}

//nolint:paralleltest // it sets the environment
func TestCtrlCWhileWaitingSaysThatTheWriteGoesOn(t *testing.T) {
	asked := make(chan string, 8)
	url := slow(t, asked)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for method := range asked {
			if method == http.MethodGet { // it waits now
				cancel()
				return
			}
		}
	}()
	status, stdout, stderr := command(
		ctx, t, "portfolio", "create", "--name", "core", "--assets", "AAPL:1", "--url", url, "-o", "json",
	)
	assert.Equal(t, 130, status)
	assert.Contains(t, stdout, `"status": "accepted"`)
	assert.Regexp(t, `no longer waiting; operation [0-9a-f-]{36} goes on`, stderr)
	assert.Regexp(t, `hint: watch it with: stega op watch [0-9a-f-]{36}`, stderr)
}

//nolint:paralleltest // it sets the environment
func TestATimeoutSaysThatTheWriteGoesOn(t *testing.T) {
	status, stdout, stderr := command(
		t.Context(), t, "portfolio", "create", "--name", "core", "--assets", "AAPL:1", "--url",
		slow(t, make(chan string, 8)),
		"--timeout", "200ms", "--wait=settled",
	)
	assert.Equal(t, 75, status)
	assert.Contains(t, stdout, "accepted")
	assert.Regexp(t, `operation [0-9a-f-]{36} is not settled after 200ms; it goes on`, stderr)
}

//nolint:paralleltest // it sets the environment
func TestATokenThatIsWrongIsSaidToBeFromWhere(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer right" {
			_, _ = w.Write([]byte(`{"items":[]}`))
			return
		}
		http.Error(w, `{"kind":"unauthorized","code":"token_invalid","detail":"the token is wrong"}`,
			http.StatusUnauthorized)
	}))
	defer server.Close()
	t.Setenv("STEGA_TOKEN", "wrong")
	status, _, stderr := command(t.Context(), t, "symbols", "--url", server.URL)
	assert.Equal(t, 77, status)
	assert.Contains(t, stderr, "the token is from STEGA_TOKEN")
	t.Setenv("STEGA_TOKEN", "right")
	status, _, _ = command(t.Context(), t, "symbols", "--url", server.URL)
	require.Zero(t, status)
}
