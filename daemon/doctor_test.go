package daemon

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sick is a server that has what the test gives it.
func sick(t *testing.T, apart time.Duration, missing map[string]string, scopes string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(apart).UTC().Format(http.TimeFormat))
		scope := map[string]string{"/v1/tokens": "admin", "/v1/portfolios": "read"}[r.URL.Path]
		if r.Method == http.MethodPost {
			scope = "write"
		}
		switch {
		case r.URL.Path == "/readyz" && len(missing) > 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "not ready", "missing": missing})
		case r.URL.Path == "/readyz":
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "ready"})
		case scopes == "":
			w.WriteHeader(http.StatusUnauthorized)
		case !strings.Contains(scopes, scope):
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTheDoctorExplains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, about string
		url         func(t *testing.T) string
		harm        func(t *testing.T, h *home)
		verdict     string
		detail      string
	}{
		{"a server that is away", "server http://127.0.0.1:1", func(*testing.T) string {
			return "http://127.0.0.1:1"
		}, nil, Fail, "nothing answers"},
		{"a server that is no URL", "server nonsense", func(*testing.T) string {
			return "nonsense"
		}, nil, Fail, "is not a URL of a server"},
		{"a server that is not ready", "server", func(t *testing.T) string {
			return sick(t, 0, map[string]string{"broker": "no connection"}, "read")
		}, nil, Fail, "broker: no connection"},
		{"another clock", "clock", func(t *testing.T) string {
			return sick(t, time.Hour, nil, "read")
		}, nil, Warn, "1h0m0s from yours"},
		{"the same clock", "clock", func(t *testing.T) string { return sick(t, 0, nil, "read") }, nil, OK, "agrees"},
		{"a wrong token", "token", func(t *testing.T) string {
			return sick(t, 0, nil, "")
		}, nil, Fail, "the server wants one"},
		{"a token that reads", "token", func(t *testing.T) string {
			return sick(t, 0, nil, "read")
		}, nil, OK, "allows read"},
		{"a token that writes", "token", func(t *testing.T) string {
			return sick(t, 0, nil, "read write")
		}, nil, OK, "allows write"},
		{"a token of an administrator", "token", func(t *testing.T) string {
			return sick(t, 0, nil, "read write admin")
		}, nil, OK, "allows admin"},
		{"a runtime folder that went", "socket", nil, func(t *testing.T, h *home) {
			require.NoError(t, os.RemoveAll(h.runtime))
		}, Note, "as after a logout"},
		{"something that is no socket", "socket", nil, func(t *testing.T, h *home) {
			require.NoError(t, os.MkdirAll(filepath.Dir(h.socket()), 0o700))
			require.NoError(t, os.WriteFile(h.socket(), nil, 0o600))
		}, Fail, "not a socket"},
		{"a lock that nobody holds", "lock", nil, nil, Note, "no daemon runs"},
		{"a lock that cannot be read", "lock", nil, func(t *testing.T, h *home) {
			require.NoError(t, os.MkdirAll(filepath.Join(h.state, "stega", "daemon.lock"), 0o700))
		}, Fail, "read the lock"},
		{"a state folder that others enter", "state folder", nil, func(t *testing.T, h *home) {
			require.NoError(t, os.MkdirAll(filepath.Join(h.state, "stega"), 0o700))
			require.NoError(t, os.Chmod(filepath.Join(h.state, "stega"), 0o755))
		}, Fail, "mode 0755"},
		{"a disk with room", "disk", nil, nil, OK, "MiB are free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			if c.harm != nil {
				c.harm(t, h)
			}
			url := "http://127.0.0.1:1"
			if c.url != nil {
				url = c.url(t)
			}
			for _, f := range Examine(t.Context(), Patient{
				Paths:  h.paths(),
				Server: Server{URL: url},
				Config: filepath.Join(h.dir, "c.json"),
				Tokens: filepath.Join(h.dir, "token"),
			}) {
				if f.Verdict != OK && f.Verdict != Note {
					assert.NotEmpty(t, f.Hint, "%s has no hint", f.Name)
				}
				if strings.HasPrefix(f.Name, c.about) && strings.Contains(f.Detail, c.detail) {
					assert.Equal(t, c.verdict, f.Verdict, "%+v", f)
					return
				}
			}
			t.Errorf("the doctor does not say %q of %s", c.detail, c.about)
		})
	}
}

func TestTheDoctorSeesTheDaemon(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	h := newHome(t)
	d := serveIn(t, h, b.url())
	d.connected()
	b.down()
	d.do("POST", "/v1/portfolios", "{}")
	newer := Build{Version: "v2.0.0", ID: "newer"}
	said := map[string]Finding{}
	for _, f := range Examine(t.Context(), Patient{Paths: h.paths(), Build: newer, Server: Server{URL: b.url()}}) {
		said[f.Name] = f
	}
	assert.Contains(t, said["lock"].Detail, "holds it, version v1.0.0")
	assert.Contains(t, said["daemon"].Hint, "the daemon is older")
	assert.Equal(t, "1 writes wait, 0 KiB", said["queue of "+b.url()].Detail)
	assert.Contains(t, said["cache of "+b.url()].Detail, "answers")
	assert.Contains(t, said["connection to "+b.url()].Detail, Away)
	assert.Equal(t, OK, said["socket "+h.socket()].Verdict)
}
