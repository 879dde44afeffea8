package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"stega/api"
	"stega/events"
	"stega/fault"
)

// The statuses of a command.
const (
	Queued    = "queued" // by the daemon, until the server is back
	Accepted  = "accepted"
	Running   = "running"
	Succeeded = "succeeded"
	Failed    = "failed"
)

// The outcomes of settling.
const (
	Pending = "pending"
	Settled = "settled"
	Stalled = "stalled" // it waits for somebody
	GaveUp  = "failed"  // a handler gave up
)

// Operation is what a command became.
type Operation struct {
	ID         string           `json:"id"`
	Command    string           `json:"command,omitempty"`
	Service    string           `json:"service,omitempty"`
	Subject    string           `json:"subject,omitempty"`
	EntityID   string           `json:"entity_id,omitempty"`
	Status     string           `json:"status"`
	Settled    bool             `json:"settled"`
	Outcome    string           `json:"outcome,omitempty"`
	Error      *fault.Fault     `json:"error,omitempty"`
	AcceptedAt time.Time        `json:"accepted_at,omitzero"`
	FinishedAt *time.Time       `json:"finished_at,omitempty"`
	SettledAt  *time.Time       `json:"settled_at,omitempty"`
	Progress   *Progress        `json:"progress,omitempty"`
	Waiting    []events.Waiting `json:"waiting,omitempty"`
	Tree       *Node            `json:"tree,omitempty"`
}

// Progress is how far a deferred command is.
type Progress struct {
	Done  int64     `json:"done"`
	Total int64     `json:"total,omitempty"`
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at,omitzero"`
}

// Node is a message of a causation tree, with what became of it and what it caused; the root is the command.
type Node struct {
	Message   string     `json:"message"`
	Topic     string     `json:"topic"`
	Subject   string     `json:"subject,omitempty"`
	Service   string     `json:"service,omitempty"`
	EmittedAt *time.Time `json:"emitted_at,omitempty"`
	Handlings []Handling `json:"handlings"`
	Children  []*Node    `json:"children,omitempty"`
	Operation string     `json:"operation,omitempty"` // that accounts for it, when it is another one
}

// Handling is what became of a message in one handler.
type Handling struct {
	Service  string     `json:"service"`
	Handler  string     `json:"handler,omitempty"`
	State    string     `json:"state"` // pending, parked, dead, handled, unhandled
	Attempts int        `json:"attempts,omitempty"`
	Error    string     `json:"error,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	TookMS   float64    `json:"took_ms,omitempty"`
}

// Done reports whether the command has run to its end.
func (o *Operation) Done() bool { return o.Status == Succeeded || o.Status == Failed }

// Over reports whether nothing more will happen by itself.
func (o *Operation) Over() bool {
	return o.Settled || o.Outcome == Settled || o.Outcome == GaveUp || o.Status == Failed
}

var ranks = map[string]int{Accepted: 1, Running: 2, Succeeded: 3, Failed: 3}

// merge adds what is known from elsewhere. A push may tell a part only, and a state that was read may be older than a
// push.
func (o *Operation) merge(n Operation) {
	if ranks[n.Status] >= ranks[o.Status] {
		o.Status = n.Status
	}
	for _, f := range []struct{ to, from *string }{
		{&o.Command, &n.Command}, {&o.Service, &n.Service}, {&o.Subject, &n.Subject}, {&o.EntityID, &n.EntityID},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if n.Error != nil {
		o.Error = n.Error
	}
	if !n.AcceptedAt.IsZero() {
		o.AcceptedAt = n.AcceptedAt
	}
	if n.FinishedAt != nil {
		o.FinishedAt = n.FinishedAt
	}
	if n.Progress != nil && (o.Progress == nil || !n.Progress.At.Before(o.Progress.At)) {
		o.Progress = n.Progress
	}
	if n.Tree != nil {
		o.Tree = n.Tree
	}
	o.settle(n)
}

// settle takes over how settling stands: what has settled stays so.
func (o *Operation) settle(n Operation) {
	if o.Settled {
		return
	}
	if n.Settled || n.Outcome == Settled {
		o.Settled, o.Outcome, o.SettledAt, o.Waiting = true, Settled, n.SettledAt, nil
		return
	}
	if n.Outcome != "" {
		o.Outcome, o.Waiting = n.Outcome, n.Waiting
	}
}

// Page says which part of a list is wanted.
type Page struct {
	Limit  int    // 0: as many as the server gives
	Cursor string // the NextCursor of the page before
}

func (p Page) query() url.Values {
	q := url.Values{}
	set(q, "limit", count(p.Limit))
	set(q, "cursor", p.Cursor)
	return q
}

// set sets a parameter that has a value.
func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// number writes the value of a parameter; empty for none.
func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

// count writes the value of a parameter that is a number of something; empty for 0.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Operations lists operations, the newest first.
func (c *Client) Operations(ctx context.Context, p Page) (Answer[api.List[Operation]], error) {
	return Get[api.List[Operation]](ctx, c, "/v1/operations", p.query())
}

// Operation is one operation as it is now.
func (c *Client) Operation(ctx context.Context, id string) (Answer[Operation], error) {
	return Get[Operation](ctx, c, "/v1/operations/"+url.PathEscape(id), nil)
}

// OperationTree is one operation with its causation tree.
func (c *Client) OperationTree(ctx context.Context, id string) (Answer[Operation], error) {
	return Get[Operation](ctx, c, "/v1/operations/"+url.PathEscape(id), url.Values{"tree": {"true"}})
}

// Cancel asks a deferred command to end. That it did is told by the operation.
func (c *Client) Cancel(ctx context.Context, id string) error {
	_, err := send[json.RawMessage](ctx, c, http.MethodPost, "/v1/operations/"+url.PathEscape(id)+"/cancel", nil)
	return err
}
