package cmd

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
)

// A data folder that others can enter becomes the user's alone, with all that stega keeps in it; what is not stega's
// stays as it is.
func TestADataFolderThatIsThereBecomesPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "here")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "broker", "streams"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	own := []string{
		"token",
		"lock",
		"portfolio.db",
		"portfolio.db-wal",
		"portfolio.db-shm",
		"broker/meta",
		"broker/streams/1.blk",
	}
	others := []string{"notes.txt", "src/main.go", "src/x.db"}
	for _, name := range append(own, others...) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), 0o644))
	}
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "link.db")))
	unlock, err := lockFolder(dir)
	require.NoError(t, err)
	defer unlock()
	mode := func(name string) os.FileMode {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	for _, name := range append(own, "", "broker", "broker/streams") {
		assert.Zero(t, mode(name)&0o077, name)
	}
	for _, name := range others {
		assert.Equal(t, os.FileMode(0o644), mode(name), name)
	}
}

func TestADataFolderOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		wait.Skip(t, "only root can give a folder away")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 12345, 12345))
	_, err := lockFolder(dir)
	require.ErrorContains(t, err, "belongs to the user 12345")
}

// Neither a command nor the daemon sends the token of this machine to a program that has taken the server's port.
func TestTheLocalTokenIsNotSentToASquatter(t *testing.T) {
	alone(t)
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "token"), []byte("stega_localsecret\n"), 0o600))
	t.Setenv("STEGA_DATA", data)
	var mu sync.Mutex
	paths, tokens := map[string]int{}, 0
	squatter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths[r.URL.Path]++
		if r.Header.Get("Authorization") != "" {
			tokens++
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		_ = json.NewEncoder(w).Encode(map[string]string{"proof": "AAAA", "address": local.String()})
	}))
	defer squatter.Close()
	for _, args := range [][]string{{"portfolio", "list"}, {"api", "/v1/portfolios"}, {"open", "--print"}, {"doctor"},
		{"watch", "#"}, {"portfolio", "delete", "core"}} {
		status, _, stderr := run(t.Context(), "", append(args, "--url", squatter.URL, "--direct", "--timeout", "3s")...)
		assert.NotZero(t, status, "%v", args)
		if args[0] != "doctor" {
			assert.Contains(t, stderr, "is not your stega", "%v", args)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Zero(t, tokens, "requests that had the token, of %v", paths)
	assert.Positive(t, paths["/v1/proof"])
	assert.Len(t, paths, 1, "nothing but the challenge was sent: %v", paths)
}

// What api prints is the answer's own body, byte by byte unless it is JSON that would steer a terminal, and its exit
// status is that of the fault.
func TestAPISendsAnyRequest(t *testing.T) {
	alone(t)
	t.Setenv("STEGA_TOKEN", "stega_given")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"not_found","code":"x","detail":"not here"}`))
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(
			[]byte(
				r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get(
					"Authorization",
				) + " " + r.Header.Get(
					"Content-Type",
				) + " " + r.Header.Get(
					"If-Match",
				) + "\x1b\xff",
			),
		)
	}))
	defer server.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"/v1/a?b=c%20d"}, "GET /v1/a?b=c%20d Bearer stega_given  \x1b\xff"},
		{[]string{"delete", "/v1/a", "-H", `If-Match: "3"`}, "DELETE /v1/a Bearer stega_given  \"3\"\x1b\xff"},
		{[]string{"/v1/a", "-d", "{}"}, "POST /v1/a Bearer stega_given application/json \x1b\xff"},
		{[]string{"-X", "PUT", "/v1/a", "-d", "-", "-H", "Content-Type: text/x"},
			"PUT /v1/a Bearer stega_given text/x \x1b\xff"},
	} {
		status, stdout, stderr := run(t.Context(), "x",
			append(append([]string{"api"}, c.args...), "--url", server.URL)...)
		assert.Zero(t, status, stderr)
		assert.Equal(t, c.want, stdout)
	}
	status, stdout, stderr := run(t.Context(), "", "api", "/missing", "-i", "--url", server.URL)
	assert.Equal(t, 66, status)
	assert.Contains(t, stdout, "404 Not Found")
	assert.Contains(t, stdout, `"detail":"not here"`)
	assert.Contains(t, stderr, "not here")
	for _, path := range []string{"@127.0.0.1:1/v1", "http://127.0.0.1:1/", "v1"} {
		status, _, _ = run(t.Context(), "", "api", path, "--url", server.URL)
		assert.Equal(t, 64, status, path)
	}
}
