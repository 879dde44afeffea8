// Package rest is the HTTP edge that services share: reading bodies strictly, answering writes with 202 and
// an operation, problem details for faults, paging, and the endpoints of operations.
package rest

import (
	"github.com/labstack/echo/v4"

	"stega/bus"
	"stega/events"
	"stega/store"
)

// New makes the echo server with what every process has: recovery, request ids, body and header limits,
// timeouts, problem+json for every error (also 404 and 405), and access logs.
func New(opts Options) *echo.Echo { panic("contract") }

// Options of New.
type Options struct{}

// Write answers a write. It reads the Operation-Id and Prefer headers of the request, submits the command and answers 202 with
// Location and {"operation_id","id"}; with "Prefer: wait=N" it waits up to N seconds (at most 60) and answers 200
// with the finished operation, else 202. bodyHash is what the same operation id must have been used with.
func Write(c echo.Context, svc Service, cmd events.Typed, entityID, bodyHash string) error {
	panic("contract")
}

// Service is a service with its command bus and database.
type Service interface {
	Commands() *bus.CommandBus
	Store() *store.DB
}

// Body reads a JSON body strictly into v and returns the hash of method, path and body: a wrong content type is
// 415, malformed JSON or a second value 400 with the offset, an unknown field 422 with its pointer, too large 413.
func Body(c echo.Context, v any) (hash string, err error) { panic("contract") }
