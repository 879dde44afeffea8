package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"stega/client"
	"stega/events"
	"stega/fault"
)

// write passes a write to the server, and keeps it when the server is away. Behind writes that wait it waits too, so
// that order holds.
func (u *upstream) write(w http.ResponseWriter, r *http.Request) error {
	if !queueable(r.Method, r.URL.Path) || r.Header.Get("Stega-Queue") == "no" {
		return u.pass(w, r)
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
		Operation: id, Method: r.Method, Path: r.URL.RequestURI(), ContentType: r.Header.Get("Content-Type"), IfMatch: r.Header.Get("If-Match"),
		Body: body, entity: entityOf(r.Method, r.URL.Path),
	}
	busy, err := u.queue.before(r.Context(), it.entity)
	if err != nil {
		u.log.Error("the queue cannot be read", "error", err) // then nothing can be behind it
	}
	if busy && rest == nil {
		return u.keep(w, r, it)
	}
	a, away := u.forward(r, body, rest)
	if away != nil {
		if r.Context().Err() != nil && errors.Is(away, r.Context().Err()) {
			return stopping()
		}
		if rest != nil {
			return fault.Unavailable("server_unavailable", "nothing answers at %s, and more than %d MiB are not kept until it does", u.url, maxQueuedBody>>20).
				WithHint("send it again when the server is back, or in smaller pieces").Because(away)
		}
		return u.keep(w, r, it)
	}
	defer func() { _ = a.Body.Close() }()
	u.fresh.wrote()
	return u.copy(w, a)
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
		return "", fault.Malformed("operation_id_malformed", "the Operation-Id %s", err).WithHint("send a UUIDv7 of now")
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

// forward sends a write to the server. It is away when there is no answer, or one that says so: the same id makes it
// harmless to send it again.
func (u *upstream) forward(r *http.Request, body []byte, rest io.Reader) (a *http.Response, away error) {
	out, err := u.request(r.Context(), r)
	if err != nil {
		return nil, err
	}
	reader := io.Reader(bytes.NewReader(body))
	if rest != nil {
		reader = io.MultiReader(reader, rest)
	}
	out.Body, out.ContentLength = io.NopCloser(reader), r.ContentLength
	if rest == nil {
		out.ContentLength = int64(len(body))
		if len(body) == 0 {
			out.Body = http.NoBody
		}
	}
	a, err = u.http.Do(out)
	if err != nil {
		return nil, err
	}
	if gone(a.StatusCode) && rest == nil {
		_ = a.Body.Close()
		return nil, errors.New(a.Status)
	}
	return a, nil
}

// keep queues a write and says so. When the server is there and only others are before it, it waits as long as its
// client prefers.
func (u *upstream) keep(w http.ResponseWriter, r *http.Request, it Item) error {
	if err := u.queue.add(context.WithoutCancel(r.Context()), it); err != nil {
		return err
	}
	u.log.Info("a write is queued", "operation", it.Operation, "method", it.Method, "path", it.Path)
	u.fresh.wrote()
	u.nudge()
	if wait, settled := preferred(r.Header); wait > 0 && u.feed.up() {
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
	entity := ""
	if it.entity != "" {
		entity = path.Base(it.entity)
	}
	return reply(w, http.StatusAccepted, struct {
		Operation string `json:"operation_id"`
		ID        string `json:"id,omitempty"` // unknown of what the server is to create
		Status    string `json:"status"`
	}{it.Operation, entity, Queued})
}

// outcome waits for the end of a queued write; nil when it takes longer.
func (u *upstream) outcome(ctx context.Context, operation string, wait time.Duration) json.RawMessage {
	over := make(chan json.RawMessage, 1)
	_, queued, stop := u.queue.watch(ctx, operation, func(it Item, o json.RawMessage) {
		if o == nil {
			o = standing(it)
		}
		over <- o
	})
	defer stop()
	if !queued {
		return nil
	}
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

// settled is an operation that is over, once it has settled, which the server tells; as it was, when that takes
// longer than the wait.
func (u *upstream) settled(ctx context.Context, id string, wait time.Duration, over json.RawMessage) json.RawMessage {
	var o struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(over, &o) != nil || o.Status != client.Succeeded || wait < time.Second {
		return over
	}
	ctx, cancel := context.WithTimeout(ctx, wait+patienceStale)
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

// preferred is the wait that a client prefers (RFC 7240), at most a minute, and whether it waits until all has settled.
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

// standing is a queued write as an operation.
func standing(it Item) json.RawMessage {
	o := client.Operation{ID: it.Operation, Command: it.Method + " " + it.Path, Status: it.State, Outcome: client.Pending, AcceptedAt: it.QueuedAt, Error: it.Fault}
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

// operation answers for an operation that the server does not know yet, or has refused.
func (u *upstream) operation(w http.ResponseWriter, r *http.Request) error {
	it, err := u.queue.get(r.Context(), r.PathValue("id"))
	if err != nil || it.State == Accepted {
		return u.pass(w, r)
	}
	if wait, _ := preferred(r.Header); wait > 0 && it.State != Failed {
		if o := u.outcome(r.Context(), it.Operation, wait); o != nil {
			return reply(w, http.StatusOK, o)
		}
	}
	w.Header().Set("Stega-Queued", "true")
	return reply(w, http.StatusOK, standing(it))
}

// denials are the faults that a better token mends.
var denials = []fault.Kind{fault.KindUnauthorized, fault.KindForbidden}

func denied(f *fault.Fault) bool { return slices.Contains(denials, f.Kind) }
