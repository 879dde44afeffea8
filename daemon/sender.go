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

// The pace at which a server that is away is tried. Any answer that it gives to another request is noticed sooner.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
)

// errAway says that the server did not take a write, and may take it later.
var errAway = errors.New("the server is away")

// send sends what is queued, in order, whenever the server is there.
func (u *upstream) send(ctx context.Context) {
	defer u.watched.Wait()
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

// pause waits for a nudge, and after a failure at most until the next try is due.
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

// one sends one write and settles it; an error means that it stays queued.
func (u *upstream) one(ctx context.Context, it Item) error {
	keep := context.WithoutCancel(ctx) // the outcome is recorded even while the daemon ends
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
	return u.queue.settle(keep, it, f, nil)
}

// replay sends a write under its own operation id, and waits a while for its outcome.
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
	u.authorize(r)
	a, err := u.http.Do(r)
	if err != nil {
		if r.Context().Err() == nil {
			_ = u.unreached(err)
		}
		return 0, nil, err
	}
	u.answered(a.StatusCode)
	defer func() { _ = a.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(a.Body, 4<<20))
	return a.StatusCode, body, err
}

// refusal returns the fault of an answer; nil for an answer of success.
func refusal(status int, body []byte) *fault.Fault {
	if status == http.StatusOK || status == http.StatusAccepted {
		return nil
	}
	var f fault.Fault
	if err := json.Unmarshal(body, &f); err != nil || !f.Kind.Known() {
		f = *fault.New(fault.KindUnavailable, "answer_strange",
			"the server answers with status %d, and not as stega does", status).WithHint("check what runs at its URL")
	}
	return &f
}

// finish settles a write whose command has run: it is done, or kept with the fault that refused it.
func (u *upstream) finish(ctx context.Context, it Item, operation []byte) error {
	var o struct {
		Status string       `json:"status"`
		Error  *fault.Fault `json:"error"`
	}
	if err := json.Unmarshal(operation, &o); err != nil {
		return errors.Join(errAway, err)
	}
	u.answers.notified()
	if o.Status != "failed" {
		u.log.Info("a queued write is done", "operation", it.Operation)
		return u.queue.settle(ctx, it, nil, operation)
	}
	if o.Error == nil {
		o.Error = fault.New(fault.KindInternal, "operation_failed", "the operation failed")
	}
	u.log.Warn("a queued write failed", "operation", it.Operation, "code", o.Error.Code, "detail", o.Error.Detail)
	return u.queue.settle(ctx, it, o.Error, operation)
}

// watchLater waits for the end of a command that the server runs later. The server holds each request for it, up to
// half
// a minute.
func (u *upstream) watchLater(ctx context.Context, it Item) {
	u.watched.Go(func() {
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

// watchOnce waits for the end of a command with one request.
func (u *upstream) watchOnce(ctx context.Context, it Item) (over bool, err error) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodGet, u.url+"/v1/operations/"+it.Operation, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Prefer", "wait=30")
	status, body, err := u.do(r)
	if err != nil {
		return false, err
	}
	if f := refusal(status, body); f != nil {
		if f.Kind == fault.KindNotFound { // the server that accepted it is gone with its data: it is sent again
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

// rest waits before the next try, the longer the more have failed.
func (u *upstream) rest(ctx context.Context, failures int) {
	timer := time.NewTimer(rand.N(min(longPause, firstPause<<min(failures, 10))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
