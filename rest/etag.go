package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

// maxTagged bounds an answer that is held back to hash it. A larger one is sent as it is made, without an ETag unless
// its handler sets one.
const maxTagged = 4 << 20

// Tagged gives each answer to a read below /v1 an entity tag, and answers 304 to a client that has it. The tag is the
// hash of the answer's bytes, so that two callers with different answers have different tags. A handler that sets an
// ETag of its own keeps it; a handler that flushes, as streams do, is not held back.
func Tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads || !strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/v1/stream" {
			next.ServeHTTP(w, r)
			return
		}
		t := &taggedAnswer{ResponseWriter: w, r: r}
		next.ServeHTTP(t, r)
		t.finish()
	})
}

// taggedAnswer holds an answer of status 200 back until it is whole.
type taggedAnswer struct {
	http.ResponseWriter
	r      *http.Request
	status int  // 0 until the handler has chosen one
	passed bool // nothing is held back any more
	body   bytes.Buffer
}

func (t *taggedAnswer) WriteHeader(status int) {
	switch {
	case t.status != 0:
		return
	case status < http.StatusOK: // the answer itself follows
		t.ResponseWriter.WriteHeader(status)
		return
	}
	t.status = status
	if status != http.StatusOK || t.Header().Get("ETag") != "" || t.Header().Get("Content-Encoding") != "" {
		t.pass()
	}
}

func (t *taggedAnswer) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	if !t.passed && t.body.Len()+len(b) > maxTagged {
		t.pass()
	}
	if t.passed {
		return t.ResponseWriter.Write(b)
	}
	return t.body.Write(b)
}

// pass sends what was held back, and whatever follows at once.
func (t *taggedAnswer) pass() {
	if t.passed {
		return
	}
	t.passed = true
	if t.status != 0 {
		t.ResponseWriter.WriteHeader(t.status)
	}
	_, _ = t.ResponseWriter.Write(t.body.Bytes()) // a client that is gone fails the next write of the handler too
	t.body = bytes.Buffer{}
}

// FlushError sends what was written so far.
func (t *taggedAnswer) FlushError() error {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	t.pass()
	return http.NewResponseController(t.ResponseWriter).Flush()
}

// Flush is FlushError for callers that need no error.
func (t *taggedAnswer) Flush() { _ = t.FlushError() }

// Unwrap lets http.ResponseController reach what is below.
func (t *taggedAnswer) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// finish sends an answer that was held back to its end: its bytes with their tag, or 304.
func (t *taggedAnswer) finish() {
	if t.passed || t.status == 0 {
		return
	}
	h := t.Header()
	if t.body.Len() > 0 {
		sum := sha256.Sum256(t.body.Bytes())
		h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
		if h.Get("Cache-Control") == "" {
			h.Set("Cache-Control", "private, no-cache")
		}
		if has(t.r, h.Get("ETag")) {
			h.Del("Content-Length")
			t.ResponseWriter.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Length", strconv.Itoa(t.body.Len()))
	}
	t.pass()
}

// has reports whether the client of a request has the answer with an entity tag.
func has(r *http.Request, tag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for v := range strings.SplitSeq(line, ",") {
			if v = strings.TrimSpace(v); v == "*" || v != "" &&
				strings.TrimPrefix(v, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}
