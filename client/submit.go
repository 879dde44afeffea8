package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"stega/events"
	"stega/fault"
)

// Command is a write. The body is given whole, or streamed; a stream that can seek is sent again when the answer was
// lost.
type Command struct {
	Method      string
	Path        string
	Query       url.Values
	ContentType string
	Body        []byte
	Stream      io.Reader
	IfMatch     string // the entity tag of the version that is to be changed, see Version
	OperationID string // empty: a new one
	// the id is a new one, which the caller minted and never sent: then nobody has to look for what became of it
	Unsent bool
}

// Level is what is waited for.
type Level int

// The levels: the server has the command, the command ran to its end, or everything that follows from it is committed
// everywhere.
const (
	ForAccepted Level = iota
	ForResolved
	ForSettled
)

func (l Level) String() string { return [...]string{"accepted", "resolved", "settled"}[l] }

// Wait says what to wait for, and who hears of it meanwhile. The functions may be nil; they are called by the
// goroutine that waits.
type Wait struct {
	For     Level
	Timeout time.Duration   // 0: as long as the context; while a body is sent, it begins anew with each piece
	Changed func(Operation) // something became known of the operation
	Stalled func(Operation) // settling waits for somebody, whom Waiting names; it may settle yet
	Trying  func(error)     // the write is repeated, because of this
}

// Submit sends a command and waits. It subscribes to the operation first, so that nothing can be missed, and is told
// by pushes alone; it survives broken connections, and when the answer was lost it repeats the very same request,
// which takes effect at most once.
//
// The operation is what was known last, also beside an error. When the command failed, the error is the operation's;
// when a handler gave up it is a fault with CodeSettleFailed; when the time was up, one with CodeWaitTimeout, which
// says nothing about the write: that goes on. With CodeAnswerLost it is not known whether the server took the write,
// and with CodeWriteQueued the daemon keeps it until the server is back.
func (c *Client) Submit(ctx context.Context, cmd Command, w Wait) (Operation, error) {
	if cmd.OperationID == "" {
		cmd.OperationID, cmd.Unsent = events.NewID(), true
	}
	if w.For == ForAccepted {
		ctx, end := limited(ctx, &inbox{op: Operation{ID: cmd.OperationID}}, &cmd, w)
		defer end()
		op, err := c.deliver(ctx, cmd, "", w.Trying)
		if err != nil {
			return Operation{ID: cmd.OperationID}, err
		}
		return op, nil
	}
	return c.follow(ctx, cmd.OperationID, &cmd, w)
}

// Await waits for an operation that was submitted before.
func (c *Client) Await(ctx context.Context, id string, w Wait) (Operation, error) {
	return c.follow(ctx, id, nil, w)
}

// tooSlow is the fault of a wait whose time is up.
func tooSlow(w Wait, op Operation) *fault.Fault {
	f := fault.New(fault.KindTimeout, CodeWaitTimeout, "operation %s is not %s after %s; it goes on", op.ID, w.For,
		w.Timeout).
		WithHint("watch it with: stega op watch %s", op.ID)
	return f.With(items(op.Waiting)...)
}

// met reports whether what is waited for has come, or can come no more.
func (w Wait) met(op *Operation) (over bool, err error) {
	switch {
	case op.Status == Failed && op.Error != nil:
		return true, op.Error
	case op.Status == Failed:
		return true, fault.Conflict("command_failed", "operation %s failed", op.ID)
	case w.For == ForAccepted:
		return op.Status != "", nil
	case w.For == ForResolved:
		return op.Status == Succeeded, nil
	case op.Outcome == GaveUp:
		return true, settleFailed(op)
	}
	return op.Settled, nil
}

func settleFailed(op *Operation) *fault.Fault {
	f := fault.Conflict(CodeSettleFailed, "the write of operation %s is done, but what follows from it failed", op.ID)
	for _, at := range op.Waiting {
		if at.State == events.ReceiptDead {
			f.Detail = fmt.Sprintf("the write of operation %s is done, but %s could not handle %s", op.ID, at.Service,
				at.Topic)
			break
		}
	}
	return f.With(items(op.Waiting)...).
		WithHint("see what failed with: stega dead list; once it is handled, the operation settles: stega op watch %s",
			op.ID)
}

// queued is the fault of a write that waits in the daemon.
func queued(op Operation) *fault.Fault {
	return fault.New(fault.KindTimeout, CodeWriteQueued,
		"the server is away; the write is queued, and will be sent when it is back").
		WithHint("list queued writes with: stega queue list; watch it with: stega op watch %s", op.ID)
}

// items says of whom something waits.
func items(waiting []events.Waiting) []fault.Item {
	list := make([]fault.Item, 0, len(waiting))
	for _, at := range waiting {
		detail := fmt.Sprintf("%s of %s is %s", at.Topic, at.Subject, at.State)
		if at.Subject == "" {
			detail = fmt.Sprintf("%s is %s", at.Topic, at.State)
		}
		if at.Attempts > 0 {
			detail += fmt.Sprintf(" after %d tries", at.Attempts)
		}
		if at.Error != "" {
			detail += ": " + at.Error
		}
		where := at.Service
		if at.Handler != "" {
			where += "/" + at.Handler
		}
		list = append(list, fault.Item{Pointer: where, Detail: detail})
	}
	return list
}

// passing reports whether sending the same request again may help.
func passing(f *fault.Fault) bool {
	return f.Kind == fault.KindUnavailable || f.Kind == fault.KindTimeout || f.Kind == fault.KindRateLimited
}

// definite reports that the server certainly did nothing with the request.
func definite(f *fault.Fault) bool {
	return f.Kind == fault.KindRateLimited || f.Code == CodeServerUnavailable || f.Code == "command_not_recorded"
}

// deliver sends a command until it is answered. What it returns is what the answer tells of the operation.
func (c *Client) deliver(ctx context.Context, cmd Command, prefer string, trying func(error)) (Operation, error) {
	var began time.Time
	unknown := false
	for failed := 0; ; failed++ {
		op, err := c.attempt(ctx, &cmd, prefer)
		f, ok := errors.AsType[*fault.Fault](err)
		if !ok || ctx.Err() != nil || !passing(f) {
			return op, err
		}
		if failed == 0 {
			began = time.Now()
		}
		unknown = unknown || !definite(f)
		hopeless := f.Code == CodeServerUnavailable && !c.reached.Load()
		wait := c.pace.wait(failed)
		if after, ok := errors.AsType[later](err); ok {
			wait = max(wait, time.Duration(after))
		}
		if hopeless || time.Since(began)+wait > c.options.RetryFor || !cmd.rewind() {
			if unknown {
				f = lost(cmd.OperationID, c.options.URL, err)
			}
			return op, f
		}
		if trying != nil {
			trying(f)
		}
		if !sleep(ctx, wait, nil) {
			return op, context.Cause(ctx)
		}
	}
}

func lost(id, where string, err error) *fault.Fault {
	return fault.Unavailable(CodeAnswerLost, "it is not known whether %s took the write: no answer came", where).
		WithHint("see: stega op show %s; sent again with this operation id, it takes effect at most once", id).
		Because(err)
}

// attempt sends a command once.
func (c *Client) attempt(ctx context.Context, cmd *Command, prefer string) (Operation, error) {
	header := http.Header{"Operation-Id": {cmd.OperationID}}
	if cmd.IfMatch != "" {
		header.Set("If-Match", cmd.IfMatch)
	}
	if prefer != "" {
		header.Set("Prefer", prefer)
	}
	r := Request{Method: cmd.Method, Path: cmd.Path, Query: cmd.Query, Header: header, ContentType: cmd.ContentType}
	switch {
	case cmd.Stream != nil:
		r.Body = io.NopCloser(cmd.Stream) // it is the caller's to close
	case cmd.Body != nil:
		r.Body = bytes.NewReader(cmd.Body)
	}
	a, err := call[json.RawMessage](ctx, c, r)
	if err != nil {
		return Operation{}, err
	}
	var accepted struct {
		OperationID string `json:"operation_id"`
		ID          string `json:"id"`
		Status      string `json:"status"` // of what the daemon keeps for later
	}
	var op Operation
	if err := errors.Join(json.Unmarshal(a.Raw, &accepted), json.Unmarshal(a.Raw, &op)); err != nil {
		return Operation{}, fault.New(fault.KindInternal, "answer_strange", "what %s answers is no operation",
			c.options.URL).
			Because(err)
	}
	if accepted.OperationID != "" {
		op = Operation{ID: accepted.OperationID, EntityID: accepted.ID, Status: cmp.Or(accepted.Status, Accepted)}
	}
	return op, nil
}

// rewind prepares a command to be sent again; false means that it cannot be.
func (cmd *Command) rewind() bool {
	if cmd.Stream == nil {
		return true
	}
	seeker, ok := cmd.Stream.(io.Seeker)
	if !ok {
		return false
	}
	_, err := seeker.Seek(0, io.SeekStart)
	return err == nil
}
