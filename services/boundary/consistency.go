package boundary

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// PositionHeader carries, on every read, the position of the log that the answer is as of. A subscription from there
// misses nothing.
const PositionHeader = "Stega-Position"

// afterWait is how long a read with ?after= waits without a Prefer header.
const afterWait = 5 * time.Second

// consistent adds to the answers of services the position of the log that a read is as of, ?after=<operation> on
// reads, and writes that are answered once all that follows from them is committed (Prefer: wait=N, settled).
func (s *Server) consistent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v1/"):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			err = s.read(w, r, next)
		default:
			err = s.write(w, r, next)
		}
		if err != nil {
			rest.Refuse(w, r, err)
		}
	})
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, next http.Handler) error {
	if after := r.URL.Query().Get("after"); after != "" {
		if err := s.after(r, strings.ToLower(after)); err != nil {
			return err
		}
		r = without(r, "after")
	}
	// The position first, then the data: what is published after it is pushed to those who subscribe from it.
	w.Header().Set(PositionHeader, s.hub.Position().String())
	next.ServeHTTP(w, r)
	return nil
}

// without removes a parameter from the query of a request, and leaves the rest as it is written.
func without(r *http.Request, name string) *http.Request {
	r = r.Clone(r.Context())
	var kept []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if key, _, _ := strings.Cut(part, "="); key != name {
			kept = append(kept, part)
		}
	}
	r.URL.RawQuery = strings.Join(kept, "&")
	r.RequestURI = r.URL.RequestURI()
	return r
}

// after blocks until what follows from an operation can be read.
func (s *Server) after(r *http.Request, id string) error {
	p, err := rest.Preferred(r.Header)
	if err != nil {
		return err
	}
	if p.Wait == 0 {
		p.Wait = afterWait
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.Wait)
	defer cancel()
	o, err := s.await(ctx, id, false, Operation.Over)
	if err != nil || o.Settled {
		return err
	}
	f := fault.New(fault.KindTimeout, "view_behind", "operation %s is not settled after %s", id, p.Wait).
		WithHint(
			"ask again, wait longer with Prefer: wait=N, or see what it waits for: GET /v1/operations/%s?tree=true", id)
	if o.Outcome == Failed {
		f = fault.Conflict("view_incomplete", "what follows from operation %s was given up in part", id).
			WithHint("see which message could not be handled: GET /v1/dead")
	}
	for _, w := range o.Waiting {
		f = f.With(fault.Item{Detail: behind(w)})
	}
	if len(o.Waiting) == 0 && !o.Done() {
		f = f.With(fault.Item{Detail: fmt.Sprintf("%s of %s has not run to its end: it is %s", o.Command, o.Service,
			o.Status)})
	}
	return f
}

// behind describes what an operation waits for.
func behind(w events.Waiting) string {
	who := w.Handler
	if who == "" {
		who = "the consumer of " + w.Service
	}
	text := fmt.Sprintf("%s has not handled %s of %s", who, w.Topic, w.Subject)
	switch w.State {
	case events.ReceiptParked:
		text += fmt.Sprintf(" yet: it failed %d times and is tried again", w.Attempts)
	case events.ReceiptDead:
		text += fmt.Sprintf(", and gave up after %d attempts", w.Attempts)
	default:
		text += " yet"
	}
	if w.Error != "" {
		first, _, _ := strings.Cut(w.Error, "\n")
		text += ": " + first
	}
	return text
}

// write forwards a write. One that prefers to be answered when it is settled is answered here.
func (s *Server) write(w http.ResponseWriter, r *http.Request, next http.Handler) error {
	p, err := rest.Preferred(r.Header)
	if err != nil {
		return err
	}
	if !p.Settled || p.Wait == 0 || strings.HasPrefix(r.URL.Path, "/v1/operations/") {
		next.ServeHTTP(w, r)
		return nil
	}
	deadline := time.Now().Add(p.Wait)
	r = r.Clone(r.Context())
	r.Header.Del("Prefer")
	answer := &held{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(answer, r)
	var accepted struct {
		ID string `json:"operation_id"`
	}
	if answer.status != http.StatusAccepted || json.Unmarshal(answer.body.Bytes(), &accepted) != nil ||
		accepted.ID == "" {
		answer.release(w)
		return nil
	}
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	until := preference{p}.done
	o, err := s.await(ctx, accepted.ID, false, until)
	if err != nil || !until(o) { // the write was accepted: that is the answer, whatever became of the wait
		answer.release(w)
		return nil
	}
	h := w.Header()
	h.Set("Location", answer.header.Get("Location"))
	h.Set("Preference-Applied", fmt.Sprintf("wait=%d, settled", int(p.Wait.Seconds())))
	h.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return json.NewEncoder(w).Encode(o)
}

// preference is what a client prefers to wait for.
type preference struct{ rest.Preference }

// done reports whether an operation is as far as the client prefers to wait.
func (p preference) done(o Operation) bool {
	if p.Settled {
		return o.Over()
	}
	return o.Done()
}

// held is an answer that is not sent yet.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(b []byte) (int, error) { return h.body.Write(b) }

func (h *held) release(w http.ResponseWriter) {
	for name, values := range h.header {
		w.Header()[name] = values
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes())
}
