package access

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// recorder records the status of an answer, and whether its handler returned.
type recorder struct {
	rest.Recorder
	finished bool // the handler returned, and did not panic
}

// maxPath bounds what the audit keeps of a path.
const maxPath = 500

// trail is what a handler notes of a request for the audit.
type trail struct {
	detail Detail
}

type trailKey struct{}

// note adds to the audit's line of a request what it made, which has no secrets.
func note(ctx context.Context, made any) {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		t.detail = detail(made)
	}
}

func detail(made any) Detail {
	b, _ := json.Marshal(made) // plain structs
	return Detail(b)
}

// entry is the line of the audit for a request that was answered.
func (g *guard) entry(r *http.Request, answer *recorder, route route, caller Caller, at time.Time, notes *trail) Entry {
	status := answer.Status
	switch {
	case status == 0 && answer.finished:
		status = http.StatusOK
	case status == 0:
		status = http.StatusInternalServerError
	}
	return Entry{
		ID: events.NewID(), At: at.UTC(), TokenID: caller.Token, Who: caller.Name, Remote: g.client(r).String(),
		Method: r.Method,
		Path:   cut(r.URL.EscapedPath()), Command: route.Command, Operation: operation(answer.Header()), Status: status,
		Detail: notes.detail, Requests: 1,
	}
}

// operation is the operation that a write became, as the answer names it.
func operation(answer http.Header) string {
	id, _ := strings.CutPrefix(answer.Get("Location"), "/v1/operations/")
	if parsed, err := uuid.Parse(id); err == nil {
		return parsed.String()
	}
	return ""
}

// record hands a line to the audit. A process without the boundary's database, which the gateway or somebody with the
// services' secret reached, logs it. Requests that changed nothing share a line with others of their kind.
func (g *guard) record(e Entry, route route) {
	switch {
	case g.audit == nil && e.Status < http.StatusBadRequest:
		g.log.Info("audit", "caller", e.Who, "token", e.TokenID, "remote", e.Remote, "method", e.Method, "path", e.Path,
			"command", e.Command, "operation", e.Operation, "status", e.Status)
	case g.audit == nil:
	case e.Status >= http.StatusBadRequest || safe(e.Method):
		g.audit.gather(kind{e.TokenID, e.Who, e.Method, route.Path, e.Status}, e)
	default:
		g.audit.add(e)
	}
}

// failed records that nobody was let in.
func (g *guard) failed(r *http.Request, err error) {
	f := fault.Of(err)
	if g.audit == nil || f.Kind != fault.KindUnauthorized && f.Kind != fault.KindForbidden {
		return
	}
	from := network(g.client(r))
	g.audit.gather(kind{method: "", who: from, route: f.Code, status: f.Kind.Status()}, Entry{
		ID:       events.NewID(),
		At:       g.now().UTC(),
		Remote:   g.client(r).String(),
		Method:   r.Method,
		Path:     cut(r.URL.EscapedPath()),
		Command:  "refused " + f.Code,
		Status:   f.Kind.Status(),
		Requests: 1,
	})
}

func cut(path string) string { return path[:min(len(path), maxPath)] }
