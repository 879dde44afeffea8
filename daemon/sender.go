package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"stega/fault"
)

// The pace at which a server that is away is tried; the feed, which sees it return, usually says so sooner.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 10 * time.Second
)

// errAway says that the server did not take a write, and may take it later.
var errAway = errors.New("the server is away")

// send sends what is queued, in order, whenever the server is there.
func (u *upstream) send(ctx context.Context) {
	defer u.watchers.Wait()
	if watched, err := u.queue.accepted(ctx); err == nil {
		for _, it := range watched {
			u.watchLater(ctx, it)
		}
	}
	failures, sent := 0, false
	for ctx.Err() == nil {
		it, ok, err := u.queue.next(ctx)
		if err != nil && ctx.Err() == nil {
			u.log.Error("the queue cannot be read", "error", err)
		}
		if err == nil && ok {
			err = u.one(ctx, it)
		}
		if err == nil && ok {
			failures, sent = 0, true
			continue
		}
		if sent && !ok {
			u.queue.shrink(ctx)
			sent = false
		}
		u.pause(ctx, failures, err != nil)
		if err != nil {
			failures++
		}
	}
}

// pause waits until there may be something to send: for a call, and after a failure at most for a while.
func (u *upstream) pause(ctx context.Context, failures int, failed bool) {
	wait := time.Hour
	if failed {
		wait = firstPause/2 + rand.N(min(longPause, firstPause<<min(failures, 10)))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-u.kick:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// one sends one write and settles what became of it; an error means that it stays where it is.
func (u *upstream) one(ctx context.Context, it Item) error {
	keep := context.WithoutCancel(ctx) // what became of it is noted although the daemon ends
	if err := u.queue.mark(ctx, it, Sending, it.Fault); err != nil && !full(err) {
		return err
	}
	status, body, err := u.replay(ctx, it)
	if err != nil {
		return errors.Join(errAway, u.queue.mark(keep, it, Queued, u.away(err)))
	}
	f := refusal(status, body)
	switch {
	case status == http.StatusOK:
		return u.finish(keep, it, body)
	case status == http.StatusAccepted:
		if err := u.queue.mark(keep, it, Accepted, nil); err != nil {
			return err
		}
		u.watchLater(ctx, it)
		return nil
	case denied(f) || !f.Kind.Permanent() || status == http.StatusTooManyRequests: // the write may be good
		return errors.Join(errAway, u.queue.mark(keep, it, Queued, f))
	}
	u.log.Warn("a queued write was refused", "operation", it.Operation, "code", f.Code, "detail", f.Detail)
	return u.queue.over(keep, it, f, nil)
}

// replay sends a write under its own operation id, and waits a while for what becomes of it.
func (u *upstream) replay(ctx context.Context, it Item) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, it.Method, u.url+it.Path, bytes.NewReader(it.Body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Operation-Id", it.Operation)
	r.Header.Set("Prefer", "wait=10")
	for name, value := range map[string]string{"Content-Type": it.ContentType, "If-Match": it.IfMatch} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return u.do(r)
}

func (u *upstream) do(r *http.Request) (status int, body []byte, err error) {
	if token := u.bearer(); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := u.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = a.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(a.Body, 4<<20))
	return a.StatusCode, body, err
}

// refusal is the fault in an answer; nil when it is none.
func refusal(status int, body []byte) *fault.Fault {
	if status == http.StatusOK || status == http.StatusAccepted {
		return nil
	}
	var f fault.Fault
	if err := json.Unmarshal(body, &f); err != nil || !f.Kind.Known() {
		f = *fault.New(fault.KindUnavailable, "answer_strange", "the server answers %d, and not as stega does", status).WithHint("what runs at its URL?")
	}
	return &f
}

// finish settles a write whose command has run: it is done, or what it was refused for is kept with it.
func (u *upstream) finish(ctx context.Context, it Item, operation []byte) error {
	var o struct {
		Status string       `json:"status"`
		Error  *fault.Fault `json:"error"`
	}
	if err := json.Unmarshal(operation, &o); err != nil {
		return errors.Join(errAway, err)
	}
	u.fresh.wrote()
	if o.Status != "failed" {
		u.log.Info("a queued write is done", "operation", it.Operation)
		return u.queue.over(ctx, it, nil, operation)
	}
	if o.Error == nil {
		o.Error = fault.New(fault.KindInternal, "operation_failed", "the operation failed")
	}
	u.log.Warn("a queued write failed", "operation", it.Operation, "code", o.Error.Code, "detail", o.Error.Detail)
	return u.queue.over(ctx, it, o.Error, operation)
}

// watchLater waits for the end of a command that the server runs later. The server holds each question until then, up
// to half a minute.
func (u *upstream) watchLater(ctx context.Context, it Item) {
	u.watchers.Go(func() {
		for failures := 0; ctx.Err() == nil; {
			over, err := u.watchOnce(ctx, it)
			if over {
				u.nudge() // others may have waited behind it
				return
			}
			if err == nil {
				failures = 0
				continue
			}
			failures++
			u.rest(ctx, failures)
		}
	})
}

func (u *upstream) watchOnce(ctx context.Context, it Item) (over bool, err error) {
	asking, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(asking, http.MethodGet, u.url+"/v1/operations/"+it.Operation, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Prefer", "wait=30")
	status, body, err := u.do(r)
	if err != nil {
		return false, err
	}
	if f := refusal(status, body); f != nil {
		if f.Kind == fault.KindNotFound { // it is not the server that took it: there it was lost, and may be sent again
			return true, u.queue.mark(context.WithoutCancel(ctx), it, Queued, f)
		}
		return false, f
	}
	var o struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return false, err
	}
	if o.Status != "succeeded" && o.Status != "failed" {
		return false, nil
	}
	return true, u.finish(context.WithoutCancel(ctx), it, body)
}

func (u *upstream) rest(ctx context.Context, failures int) {
	timer := time.NewTimer(rand.N(min(longPause, firstPause<<min(failures, 10))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
