package access

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"stega/events"
)

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status   int
	finished bool // the handler returned, and did not panic
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK { // those below are followed by the answer
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.status = cmp.Or(r.status, http.StatusOK)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach what is below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush sends what was written so far.
func (r *recorder) Flush() {
	r.status = cmp.Or(r.status, http.StatusOK)
	_ = http.NewResponseController(r.ResponseWriter).Flush() // who cannot flush sends at the end
}

// maxPath bounds what the audit keeps of a path.
const maxPath = 500

// entry is the line of the audit for a request that was answered.
func (g *guard) entry(r *http.Request, answer *recorder, route Route, caller Caller, at time.Time) Entry {
	status := answer.status
	switch {
	case status == 0 && answer.finished:
		status = http.StatusOK
	case status == 0:
		status = http.StatusInternalServerError
	}
	path := strings.ToValidUTF8(r.URL.Path, "\uFFFD")
	path = strings.ReplaceAll(path[:min(len(path), maxPath)], "\x00", "\uFFFD") // PostgreSQL keeps none
	return Entry{
		ID: events.NewID(), At: at.UTC(), TokenID: caller.Token, Who: caller.Name, Remote: remote(r).String(), Method: r.Method,
		Path: strings.ToValidUTF8(path, ""), Command: route.Command, Operation: operation(r, answer.Header()), Status: status,
	}
}

// operation is the operation that a write became: that of the answer, else the one that the client named.
func operation(r *http.Request, answer http.Header) string {
	id, ok := strings.CutPrefix(answer.Get("Location"), "/v1/operations/")
	if !ok {
		id = r.Header.Get("Operation-Id")
	}
	if parsed, err := uuid.Parse(id); err == nil {
		return parsed.String()
	}
	return ""
}
