package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"stega/fault"
)

// perStream is how many operations are waited for on one connection; the server allows a few more subscriptions.
const perStream = 100

// shared is a stream that several wait on.
type shared struct {
	*Stream
	used int
}

// lease is a stream with room for one more operation.
func (c *Client) lease() (*shared, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed()
	}
	c.streams = slices.DeleteFunc(c.streams, func(s *shared) bool {
		select {
		case <-s.done:
			return true
		default:
			return false
		}
	})
	for _, s := range c.streams {
		if s.used < perStream {
			s.used++
			return s, nil
		}
	}
	s := &shared{Stream: c.Stream(context.Background(), StreamOptions{}), used: 1}
	c.streams = append(c.streams, s)
	return s, nil
}

func (c *Client) release(s *shared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.used--
}

// inbox collects what is known of an operation.
type inbox struct {
	ring chan struct{}

	mu    sync.Mutex
	op    Operation
	ended error
}

func (in *inbox) put(op *Operation) {
	if op == nil {
		return
	}
	in.mu.Lock()
	in.op.merge(*op)
	in.mu.Unlock()
	in.bell()
}

func (in *inbox) end(err error) {
	in.mu.Lock()
	in.ended = err
	in.mu.Unlock()
	in.bell()
}

func (in *inbox) bell() {
	select {
	case in.ring <- struct{}{}:
	default:
	}
}

func (in *inbox) look() (Operation, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.op, in.ended
}

// dialPatience is how long a connection may take to stand, even when nothing is repeated.
const dialPatience = 5 * time.Second

// listen subscribes to an operation on one of the shared streams.
func (c *Client) listen(ctx context.Context, in *inbox, unheard bool) (stop func(), err error) {
	s, err := c.lease()
	if err != nil {
		return nil, err
	}
	s.Wake() // somebody waits now
	limited, cancel := context.WithTimeout(ctx, max(c.options.RetryFor, dialPatience))
	defer cancel()
	sub, err := s.Subscribe(limited, Interest{Channel: "operation:" + in.op.ID, unheard: unheard}, Subscriber{
		Standing: func(at Standing) { in.put(at.Operation) },
		Push:     func(p Push) { in.put(p.Operation) },
		Ended:    in.end,
	})
	if err != nil {
		c.release(s)
		if ctx.Err() == nil && limited.Err() != nil {
			err = fault.Unavailable(CodeServerUnavailable, "%s does not answer; nothing was sent", c.options.URL).
				WithHint("try again when it runs").Because(errors.Join(s.Err(), err))
		}
		return nil, err
	}
	return func() { sub.Close(); c.release(s) }, nil
}

// follow sends a command, when there is one, and waits for what becomes of its operation.
func (c *Client) follow(ctx context.Context, id string, cmd *Command, w Wait) (Operation, error) {
	in := &inbox{op: Operation{ID: id}, ring: make(chan struct{}, 1)}
	ctx, end := limited(ctx, in, cmd, w)
	defer end()
	stop, err := c.listen(ctx, in, cmd != nil && cmd.Unsent)
	// Without a stream each answer is held until the outcome is there. So it is while a daemon answers for a server
	// that is
	// away: it queues the write, or has queued it.
	if has(err, CodeStreamMissing) || has(err, CodeServerUnavailable) && c.relayed.Load() {
		return c.hold(ctx, in, cmd, w)
	}
	if err != nil {
		op, _ := in.look()
		return op, err
	}
	defer stop()
	return c.wait(ctx, in, cmd, w, func(ctx context.Context, trying func(error)) (Operation, error) {
		if cmd == nil {
			return c.lookAt(ctx, in)
		}
		return c.deliver(ctx, *cmd, "", trying)
	})
}

// lookAt reads an operation, again while something that is needed for that is away: its outcome is pushed meanwhile. As
// long as a daemon has it in its queue, of which nothing is pushed, the daemon holds each request.
func (c *Client) lookAt(ctx context.Context, in *inbox) (Operation, error) {
	prefer := ""
	for failed := 0; ; failed++ {
		op, err := c.held(ctx, in.op.ID, nil, prefer, nil)
		f, ok := errors.AsType[*fault.Fault](err)
		switch {
		case err == nil && op.Status == Queued:
			in.put(&op)
			prefer = heldAnswer
		case err == nil, !ok, !passing(f), f.Code == CodeServerUnavailable && !c.reached.Load():
			return op, err
		}
		if (err != nil || failed > 0) && !sleep(ctx, c.pace.wait(failed), nil) {
			return op, context.Cause(ctx)
		}
	}
}

// limited sets the time limit of a wait. While a body is sent, it begins anew with each piece that the server takes:
// a long body takes as long as it takes, and a server that takes nothing any more is not waited for.
func limited(ctx context.Context, in *inbox, cmd *Command, w Wait) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	if w.Timeout > 0 {
		timer := time.AfterFunc(w.Timeout, func() {
			op, _ := in.look()
			end(tooSlow(w, op))
		})
		context.AfterFunc(ctx, func() { timer.Stop() })
		if cmd != nil && cmd.Stream != nil {
			cmd.Stream = timed(cmd.Stream, timer, w.Timeout)
		}
	}
	return ctx, func() { end(nil) }
}

// timed is a body whose reads start a timer anew.
func timed(r io.Reader, timer *time.Timer, timeout time.Duration) io.Reader {
	body := timedReader{r, timer, timeout}
	if seeker, ok := r.(io.Seeker); ok {
		return struct {
			timedReader
			io.Seeker
		}{body, seeker}
	}
	return body
}

type timedReader struct {
	io.Reader
	timer   *time.Timer
	timeout time.Duration
}

// Read stops the timer while the source of the body takes its time.
func (r timedReader) Read(b []byte) (int, error) {
	r.timer.Stop()
	defer r.timer.Reset(r.timeout)
	return r.Reader.Read(b)
}

// patienceForAnswer is how long an answer may come after the push that makes it unimportant; without it the
// connection could not be used again.
const patienceForAnswer = time.Second

// patienceForQueue is how long a write may be queued before that is told: the ones before it may be on their way.
const patienceForQueue = 2 * time.Second

// answer is how sending ended.
type answer struct {
	op  Operation
	err error
}

// wait sends a command, or reads the operation of one that was sent before, and waits for pushes.
func (c *Client) wait(
	ctx context.Context, in *inbox, cmd *Command, w Wait, submit func(context.Context, func(error)) (Operation, error),
) (Operation, error) {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	answers, trying := make(chan answer, 1), make(chan error, 1)
	go func() {
		op, err := submit(sending, func(err error) {
			select {
			case trying <- err:
			default:
			}
		})
		answers <- answer{op, err}
	}()
	var late, kept <-chan time.Time
	pending, failing, enough := true, false, false
	told := teller{w: w}
	for {
		op, ended := in.look()
		told.tell(op)
		if over, err := w.met(&op); over {
			if !pending || failing || enough {
				return op, err
			}
			if late == nil {
				late = time.After(patienceForAnswer)
			}
		} else if ended != nil {
			return op, fmt.Errorf("wait for operation %s: %w", op.ID, ended)
		}
		if cmd != nil && op.Status == Queued && kept == nil {
			kept = time.After(patienceForQueue)
		}
		select {
		case a := <-answers:
			pending = false
			if a.err == nil {
				in.put(&a.op)
			} else if seen, _ := in.look(); seen.Status == "" || !has(a.err, CodeAnswerLost) {
				// Otherwise a push has shown that the server took it.
				return op, a.err
			}
		case err := <-trying:
			failing = true
			if w.Trying != nil {
				w.Trying(err)
			}
		case <-in.ring:
		case <-late:
			enough = true
		case <-kept:
			if op, _ := in.look(); op.Status == Queued {
				return op, queued(op)
			}
		case <-ctx.Done():
			op, _ = in.look()
			return op, context.Cause(ctx)
		}
	}
}

// teller tells what changed.
type teller struct {
	w    Wait
	last Operation
}

func (t *teller) tell(op Operation) {
	was := t.last
	t.last = op
	if t.w.Changed != nil &&
		(op.Status != was.Status || op.Outcome != was.Outcome || op.Progress != was.Progress ||
			op.Settled != was.Settled) {
		t.w.Changed(op)
	}
	if t.w.Stalled != nil && op.Outcome == Stalled &&
		(was.Outcome != Stalled || !slices.Equal(op.Waiting, was.Waiting)) {
		t.w.Stalled(op)
	}
}

// heldAnswer is the preference of a request whose answer the server holds until the outcome is there, or for a while.
const heldAnswer = "wait=50"

// hold waits without a stream, for a service that runs by itself has none: the server holds its answer until the
// outcome is there.
func (c *Client) hold(ctx context.Context, in *inbox, cmd *Command, w Wait) (Operation, error) {
	prefer := heldAnswer
	if w.For == ForSettled {
		prefer += ", settled"
	}
	told := teller{w: w}
	for {
		asked := time.Now()
		op, err := c.held(ctx, in.op.ID, cmd, prefer, w.Trying)
		sent := cmd != nil
		cmd = nil
		if err != nil {
			known, _ := in.look()
			return known, err
		}
		in.put(&op)
		op, _ = in.look()
		told.tell(op)
		over, err := w.met(&op)
		switch {
		case over:
			return op, err
		case sent && op.Status == Queued:
			return op, queued(op)
		}
		if op.Done() && op.Outcome == "" {
			return op, fault.Unavailable("settled_unreported",
				"%s does not report when what follows from a write is settled",
				c.options.URL).
				WithHint("wait with --wait=resolved, or ask the boundary")
		}
		if time.Since(asked) < time.Second &&
			!sleep(ctx, time.Second, nil) { // a server that does not hold is not to be hurried
			return op, context.Cause(ctx)
		}
	}
}

// held sends a command, or asks for its operation, in a way that has the server wait.
func (c *Client) held(
	ctx context.Context, id string, cmd *Command, prefer string, trying func(error),
) (Operation, error) {
	if cmd != nil {
		return c.deliver(ctx, *cmd, prefer, trying)
	}
	header := http.Header{}
	if prefer != "" {
		header.Set("Prefer", prefer)
	}
	a, err := call[Operation](
		ctx, c, Request{Method: http.MethodGet, Path: "/v1/operations/" + url.PathEscape(id), Header: header},
	)
	return a.Value, err
}
