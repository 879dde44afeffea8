package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"stega/client"
	"stega/events"
	"stega/fault"
)

// write passes a write to the server, and queues it when the server is away or when it belongs behind writes that are
// queued already.
func (u *upstream) write(w http.ResponseWriter, r *http.Request) error {
	if !queueable(r.Method, r.URL.Path) || r.Header.Get("Stega-Queue") == "no" {
		return u.pass(w, r, u.notify(r)) //nolint:bodyclose // pass closes the body
	}
	id, err := operationID(r)
	if err != nil {
		return err
	}
	body, rest, err := readBody(r)
	if err != nil {
		return err
	}
	it := Item{
		Operation: id, Method: r.Method, Path: r.URL.RequestURI(), ContentType: r.Header.Get("Content-Type"),
		IfMatch: r.Header.Get("If-Match"),
		Body:    body, entity: entityOf(r.Method, r.URL.Path),
	}
	busy, err := u.queue.before(r.Context(), it.entity)
	if err != nil {
		u.log.Error("the queue cannot be read", "error", err) // then nothing can be behind it
	}
	if busy && rest == nil {
		return u.keep(w, r, it)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if rest != nil {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), rest))
	} else {
		r.ContentLength = int64(len(body))
	}
	notify := u.notify(r) //nolint:bodyclose // pass closes the body
	away := u.pass(w, r, func(a *http.Response) error {
		if gone(a.StatusCode) && rest == nil {
			return errors.New(a.Status) // its id makes it harmless to send it again
		}
		return notify(a)
	})
	switch {
	case away == nil:
		return nil
	case r.Context().Err() != nil:
		return stopping()
	case rest != nil:
		return fault.Unavailable("server_unavailable",
			"nothing answers at %s, and a body of more than %d MiB is not queued", u.url, maxQueuedBody>>20).
			WithHint("send it again when the server is back, or in smaller pieces").
			Because(away)
	}
	return u.keep(w, r, it)
}

// queueable reports whether a write may wait for the server: it must be an operation, which a repetition under the
// same id does not repeat.
func queueable(method, path string) bool {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return false
	}
	kind, name, one := strings.Cut(rest, "/")
	switch method {
	case http.MethodPost:
		return !one && (kind == "portfolios" || kind == "prices" || kind == "optimizations" || kind == "schedules") ||
			rest == "prices/pull"
	case http.MethodPut, http.MethodDelete:
		return one && (kind == "portfolios" || kind == "schedules") && name != "" && !strings.Contains(name, "/")
	}
	return false
}

// entityOf returns the entity that a write changes, whose writes keep their order even when one of them is refused;
// empty for a write that creates one.
func entityOf(method, path string) string {
	if method == http.MethodPost {
		return ""
	}
	return path
}

// operationID is the id that the client minted, or a new one.
func operationID(r *http.Request) (string, error) {
	id := r.Header.Get("Operation-Id")
	if id == "" {
		id = events.NewID()
		r.Header.Set("Operation-Id", id)
		return id, nil
	}
	checked, err := events.CheckID(id, time.Now())
	if err != nil {
		return "", fault.Malformed("operation_id_malformed", "the Operation-Id %s", err).
			WithHint("send a UUIDv7 of now")
	}
	return checked, nil
}

// readBody reads a body as far as it can be queued; rest is what is beyond, nil for a whole body.
func readBody(r *http.Request) (body []byte, rest io.Reader, err error) {
	if r.ContentLength > maxQueuedBody {
		return nil, r.Body, nil
	}
	body, err = io.ReadAll(io.LimitReader(r.Body, maxQueuedBody+1))
	if err != nil {
		return nil, nil, fault.Malformed("body_incomplete", "the body could not be read to its end").Because(err)
	}
	if len(body) > maxQueuedBody {
		return body, r.Body, nil
	}
	return body, nil, nil
}

// keep queues a write and answers 202. While the server is there and only other writes are before it, the answer waits
// as long as its client prefers.
func (u *upstream) keep(w http.ResponseWriter, r *http.Request, it Item) error {
	if err := u.queue.add(context.WithoutCancel(r.Context()), it); err != nil {
		return err
	}
	u.log.Info("a write is queued", "operation", it.Operation, "method", it.Method, "path", it.Path)
	u.nudge()
	if wait, settled := preferred(r.Header); wait > 0 && u.connected() {
		began := time.Now()
		operation := u.outcome(r.Context(), it.Operation, wait)
		if operation != nil && settled {
			operation = u.settled(r.Context(), it.Operation, wait-time.Since(began), operation)
		}
		if operation != nil {
			w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
			return reply(w, http.StatusOK, operation)
		}
	}
	w.Header().Set("Location", "/v1/operations/"+it.Operation)
	w.Header().Set("Stega-Queued", "true")
	return reply(w, http.StatusAccepted, struct {
		Operation string `json:"operation_id"`
		ID        string `json:"id,omitempty"`
		Status    string `json:"status"`
	}{it.Operation, it.entityID(), Queued})
}

// entityID returns the id of the entity that a write changes or creates: a new entity has the id of its operation.
func (it Item) entityID() string {
	if it.entity != "" {
		return path.Base(it.entity)
	}
	return it.Operation
}

// outcome waits for the end of a queued write; nil when it takes longer.
func (u *upstream) outcome(ctx context.Context, operation string, wait time.Duration) json.RawMessage {
	over, stop := u.queue.watch(ctx, operation)
	defer stop()
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case o := <-over:
		return o
	case <-late.C:
	case <-ctx.Done():
	}
	return nil
}

// settled waits until the server has settled an operation that is over; when that takes longer than the wait, it
// returns the operation as it was.
func (u *upstream) settled(ctx context.Context, id string, wait time.Duration, over json.RawMessage) json.RawMessage {
	var o struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(over, &o) != nil || o.Status != client.Succeeded || wait < time.Second {
		return over
	}
	ctx, cancel := context.WithTimeout(ctx, wait+patienceKept)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url+"/v1/operations/"+id, nil)
	if err != nil {
		return over
	}
	r.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds()))+", settled")
	if status, body, err := u.do(r); err == nil && status == http.StatusOK && json.Valid(body) {
		return body
	}
	return over
}

// preferred returns the wait that a client prefers (RFC 7240), at most a minute, and whether it lasts until the
// operation
// has settled.
func preferred(h http.Header) (wait time.Duration, settled bool) {
	for _, line := range h.Values("Prefer") {
		for p := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			value, _, _ = strings.Cut(value, ";")
			switch name = strings.TrimSpace(name); {
			case strings.EqualFold(name, "settled"):
				settled = true
			case strings.EqualFold(name, "wait") && wait == 0:
				if n, err := strconv.Atoi(strings.Trim(value, `" `)); err == nil {
					wait = time.Duration(min(max(n, 0), 60)) * time.Second
				}
			}
		}
	}
	return wait, settled
}

// operationOf returns a queued write as an operation.
func operationOf(it Item) json.RawMessage {
	o := client.Operation{
		ID: it.Operation, Command: it.Method + " " + it.Path, EntityID: it.entityID(), Status: it.State,
		Outcome: client.Pending, AcceptedAt: it.QueuedAt,
		Error: it.Fault,
	}
	if it.State == Sending { // whether it arrived is not known yet
		o.Status = Queued
	}
	if it.State == Failed {
		o.Outcome, o.FinishedAt = client.GaveUp, it.TriedAt
	}
	b, err := json.Marshal(o)
	if err != nil { // a fault that cannot be written
		return json.RawMessage(`{}`)
	}
	return b
}

// operation answers for an operation that the server has not got yet, or has refused.
func (u *upstream) operation(w http.ResponseWriter, r *http.Request) error {
	it, err := u.queue.get(r.Context(), r.PathValue("id"))
	if err != nil || it.State == Accepted {
		return u.pass(w, r, u.notify(r)) //nolint:bodyclose // pass closes the body
	}
	if wait, settled := preferred(r.Header); wait > 0 && it.State != Failed {
		began := time.Now()
		if o := u.outcome(r.Context(), it.Operation, wait); o != nil {
			if settled {
				o = u.settled(r.Context(), it.Operation, wait-time.Since(began), o)
			}
			return reply(w, http.StatusOK, o)
		}
		if it, err = u.queue.get(r.Context(), it.Operation); err != nil { // it was sent meanwhile
			return u.pass(w, r, u.notify(r)) //nolint:bodyclose // pass closes the body
		}
	}
	w.Header().Set("Stega-Queued", "true")
	return reply(w, http.StatusOK, operationOf(it))
}

// denied reports whether another token may mend a refusal.
func denied(f *fault.Fault) bool {
	return f.Kind == fault.KindUnauthorized || f.Kind == fault.KindForbidden
}
