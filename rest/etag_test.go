package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tagged serves one handler behind Tagged, and requests it with some If-None-Match.
func tagged(t *testing.T, path, have string, handler http.HandlerFunc) (*http.Response, string) {
	t.Helper()
	s := httptest.NewServer(Tagged(handler))
	t.Cleanup(s.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	require.NoError(t, err)
	if have != "" {
		r.Header.Set("If-None-Match", have)
	}
	a, err := s.Client().Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Body.Close()) }()
	body, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return a, string(body)
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestAReadIsTaggedByItsBytes(t *testing.T) {
	t.Parallel()
	first, body := tagged(t, "/v1/x", "", write("one"))
	tag := first.Header.Get("ETag")
	assert.Equal(t, "one", body)
	assert.NotEmpty(t, tag)
	assert.Equal(t, "private, no-cache", first.Header.Get("Cache-Control"))
	assert.Equal(t, int64(3), first.ContentLength)

	other, _ := tagged(t, "/v1/x", tag, write("two"))
	assert.Equal(t, http.StatusOK, other.StatusCode, "another caller has another answer at the same path")
	assert.NotEqual(t, tag, other.Header.Get("ETag"))
	for _, have := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		a, body := tagged(t, "/v1/x", have, write("one"))
		assert.Equal(t, http.StatusNotModified, a.StatusCode, have)
		assert.Equal(t, tag, a.Header.Get("ETag"))
		assert.Empty(t, body)
	}
}

func TestWhatIsNoWholeReadIsNotTagged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path    string
		handler http.HandlerFunc
	}{
		"another status": {"/v1/x", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			write("gone")(w, nil)
		}},
		"an empty answer": {"/v1/x", func(http.ResponseWriter, *http.Request) {}},
		"metrics":         {"/metrics", write("1")},
		"a stream": {"/v1/events", func(w http.ResponseWriter, _ *http.Request) {
			write("1")(w, nil)
			w.(http.Flusher).Flush()
			write("2")(w, nil)
		}},
		"a large answer": {"/v1/x", write(strings.Repeat("x", maxTagged+1))},
		"a packed answer": {"/v1/x", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			write("1")(w, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := tagged(t, c.path, "*", c.handler)
			assert.Empty(t, a.Header.Get("ETag"))
			assert.NotEqual(t, http.StatusNotModified, a.StatusCode)
		})
	}
}

func TestATagOfTheHandlerStays(t *testing.T) {
	t.Parallel()
	a, body := tagged(t, "/v1/x", "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"7"`)
		write("one")(w, nil)
	})
	assert.Equal(t, `"7"`, a.Header.Get("ETag"))
	assert.Equal(t, "one", body)
}

func TestAFlushSendsWhatWasWritten(t *testing.T) {
	t.Parallel()
	leave := make(chan struct{})
	s := httptest.NewServer(Tagged(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write("early")(w, nil)
		w.(http.Flusher).Flush()
		<-leave
	})))
	defer s.Close()
	defer close(leave)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/events", nil)
	require.NoError(t, err)
	a, err := s.Client().Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Body.Close()) }()
	early := make([]byte, 5)
	_, err = io.ReadFull(a.Body, early)
	require.NoError(t, err)
	assert.Equal(t, "early", string(early))
}
