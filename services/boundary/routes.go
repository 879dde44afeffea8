package boundary

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/fault"
	"stega/internal/backoff"
	"stega/rest"
	"stega/store"
)

// Routes returns the routes that the server itself answers: operations, the stream, and those of access control.
func (s *Server) Routes() []rest.Route {
	return append(s.access.Routes(), []rest.Route{
		{
			Name:    "listOperations",
			Method:  http.MethodGet,
			Path:    "/v1/operations",
			Scope:   rest.ScopeRead,
			Summary: "List operations, the newest first",
			Query:   rest.Paging(),
			Answer:  api.List[Operation]{},
			Handler: s.list,
		},
		{
			Name: "getOperation", Method: http.MethodGet, Path: "/v1/operations/{id}", Scope: rest.ScopeRead,
			Summary: "Show an operation, after a wait if the request prefers one",
			Query: []rest.Param{{
				Name:    "tree",
				About:   "list all messages that followed from the operation",
				Type:    rest.Boolean,
				Default: false}},
			Answer: Operation{}, Handler: s.one,
		},
		{
			Name:    "cancelOperation",
			Method:  http.MethodPost,
			Path:    "/v1/operations/{id}/cancel",
			Scope:   rest.ScopeWrite,
			Command: "operation.cancel",
			Summary: "Cancel a job", Answer: api.Cancelled{}, Status: http.StatusAccepted, Handler: s.operations.cancel,
		},
		{
			Name: "stream", Method: http.MethodGet, Path: "/v1/stream", Scope: rest.ScopeRead, RawQuery: true,
			Summary: "Receive events over WebSocket, or as server-sent events", Gives: "text/event-stream",
			Handler: echo.WrapHandler(s.hub),
			Query: []rest.Param{
				{
					Name: "channel",
					About: "topics such as portfolio.*, subject:ID or operation:ID; may be repeated; of server-sent " +
						"events",
				},
				{Name: "from", About: "position after which events are sent; of server-sent events"},
			},
		},
	}...)
}

func (s *Server) list(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	all, err := s.ledger.Operations(c.Request().Context(), page.Limit+1, page.After)
	if err != nil {
		return err
	}
	own, err := s.operations.latest(c.Request().Context(), page.Limit+1, page.After)
	if err != nil { // those whose services are away are as the ledger has them
		s.log.Debug("operations are listed as the ledger has them", "error", err)
	}
	all = overlay(all, own)
	return rest.Pages(c, page, all, func(o Operation) string { return o.ID })
}

// overlay adds to the ledger's operations what the services know better: it hears of their commands a moment later.
func overlay(ledger []Operation, own []store.Operation) []Operation {
	at := make(map[string]int, len(ledger))
	for i, o := range ledger {
		at[o.ID] = i
	}
	for _, o := range own {
		if i, ok := at[o.ID]; !ok {
			ledger = append(ledger, Operation{Operation: o, Outcome: Pending})
		} else if !ledger[i].Done() {
			ledger[i].Operation = o
		}
	}
	slices.SortFunc(ledger, func(a, b Operation) int { return cmp.Compare(b.ID, a.ID) })
	return ledger
}

// one answers an operation; with Prefer: wait it waits until the command has run or, when settled is preferred too,
// until the operation is over.
func (s *Server) one(c echo.Context) error {
	tree := rest.Arg[bool](c, "tree")
	id := strings.ToLower(c.Param("id"))
	preferred, err := rest.Preferred(c.Request().Header)
	if err != nil {
		return err
	}
	p := preference{preferred}
	ctx := c.Request().Context()
	o, err := s.Look(ctx, id, tree)
	if err == nil && p.Wait > 0 && !p.done(o) {
		limited, cancel := context.WithTimeout(ctx, p.Wait)
		defer cancel()
		o, err = s.await(limited, id, tree, p.done)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, o)
}

// Look finds an operation in the ledger or, since that hears of it only a moment later, with the service that runs it.
func (s *Server) Look(ctx context.Context, id string, tree bool) (Operation, error) {
	o, err := s.ledger.Operation(ctx, id, tree)
	if err == nil && o.Done() {
		return o, err
	}
	if f, ok := errors.AsType[*fault.Fault](err); err != nil && (!ok || f.Kind != fault.KindNotFound) {
		return o, err
	}
	own, lookup := s.operations.lookup(ctx, id)
	switch {
	case lookup == nil && err != nil: // the ledger has not heard of it yet
		return Operation{Operation: own, Outcome: Pending}, nil //nolint:nilerr // see above
	case lookup == nil: // the service knows best how its command fares
		o.Operation = own
	case err != nil:
		return o, lookup
	}
	return o, nil
}

// await waits until an operation is as asked, or ctx ends; it returns it as it is then.
func (s *Server) await(ctx context.Context, id string, tree bool, until func(Operation) bool) (Operation, error) {
	news, stop := s.hub.Watch("operation:" + id)
	defer func() { stop() }()
	for {
		o, err := s.Look(context.WithoutCancel(ctx), id, tree)
		if err != nil || until(o) || ctx.Err() != nil {
			return o, err
		}
		select {
		case _, open := <-news:
			if !open { // the hub has lost the thread: take it up again, and look
				stop()
				news, stop = s.hub.Watch("operation:" + id)
				if !backoff.Sleep(ctx, lostPause) {
					return o, nil
				}
			}
		case <-ctx.Done():
		}
	}
}

// lostPause keeps a waiter from going round while the hub itself waits for the broker.
const lostPause = 200 * time.Millisecond
