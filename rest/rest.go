// Package rest is the HTTP edge that services share: reading bodies strictly, answering writes with 202 and
// an operation, problem details for faults, paging, and the endpoints of operations and dead letters.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"stega/api"
	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// Service is a service with its command bus and database.
type Service interface {
	Commands() *bus.CommandBus
	Store() *store.DB
}

// Options of New.
type Options struct {
	Log *slog.Logger
}

// New makes the echo server with what every process has: recovery, request ids, traces, problem+json for every error
// (also 404 and 405), and access logs.
func New(opts Options) *echo.Echo {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(discard{})
	e.JSONSerializer = plainJSON{}
	e.HTTPErrorHandler = func(err error, c echo.Context) { problem(opts, err, c) }
	e.Use(middleware.RequestID(), access(opts.Log), middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableErrorHandler: true,
		LogErrorFunc: func(_ echo.Context, err error, stack []byte) error {
			return fmt.Errorf("panic: %w\n%s", err, stack)
		},
	}), traced())
	return e
}

// Heads answers HEAD as GET: the server keeps the body back. What streams without an end has no HEAD.
func Heads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && r.URL.Path != "/v1/stream" && r.URL.Path != "/v1/events" {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// plainJSON writes answers without escaping what only HTML needs escaped.
type plainJSON struct{ echo.DefaultJSONSerializer }

func (plainJSON) Serialize(c echo.Context, v any, indent string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

// access logs requests, those that fail inside as warnings.
func access(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			err := next(c)
			if err != nil {
				c.Error(err)
			}
			level := slog.LevelDebug
			if c.Response().Status >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			r := c.Request()
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", c.Response().Status),
				slog.Duration("took", time.Since(start)),
				slog.String("request", c.Response().Header().Get(echo.HeaderXRequestID)),
			}
			if level == slog.LevelWarn && err != nil {
				attrs = append(attrs, slog.Any("error", err))
			}
			log.LogAttrs(r.Context(), level, "http", attrs...)
			return nil
		}
	}
}

// traced makes a span of each request, a child of the client's when it sent one.
func traced() echo.MiddlewareFunc {
	tracer := otel.Tracer("stega/rest")
	var propagator propagation.TraceContext
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			ctx := propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
			ctx, span := tracer.Start(ctx, r.Method+" "+c.Path(), trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
			c.SetRequest(r.WithContext(ctx))
			err := next(c)
			if err != nil {
				span.RecordError(err)
			}
			return err
		}
	}
}

func problem(opts Options, err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status := 0
	if e, ok := errors.AsType[*echo.HTTPError](err); ok && e.Code == http.StatusMethodNotAllowed {
		status = e.Code
	}
	f := of(err)
	if _, own := errors.AsType[*fault.Fault](err); !own && errors.Is(c.Request().Context().Err(), context.Canceled) {
		f = fault.Of(context.Canceled) // whatever broke off, it was because the client has gone
	}
	if err := refuse(c.Response(), c.Request(), f, status); err != nil {
		opts.Log.Debug("an answer could not be written", "error", err)
	}
}

// of finds the fault in an error; errors of the router and of the database have theirs.
func of(err error) *fault.Fault {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return PathUnknown()
		case http.StatusMethodNotAllowed:
			return fault.New(fault.KindMalformed, "method_not_allowed", "this path does not answer to this method")
		case http.StatusRequestEntityTooLarge:
			return fault.New(fault.KindTooLarge, "body_too_large", "the body is too large")
		case http.StatusUnsupportedMediaType:
			return fault.New(fault.KindUnsupported, "media_type_unsupported", "the media type is not understood")
		case http.StatusBadRequest:
			return fault.Malformed("request_malformed", "the request cannot be read").Because(err)
		}
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.New(fault.KindTooLarge, "body_too_large", "the body has more than %d bytes", e.Limit)
	}
	if errors.Is(err, context.Canceled) {
		return fault.Of(err)
	}
	if store.Away(err) {
		return fault.Unavailable("database_unavailable", "the database does not answer").WithHint("try again shortly").
			Because(err)
	}
	return fault.Of(err)
}

// PathUnknown returns the fault of a path that no route has.
func PathUnknown() *fault.Fault {
	return fault.NotFound("path_unknown", "there is nothing at this path").
		WithHint("GET /v1/openapi.json lists the paths")
}

// maxWait bounds Prefer: wait.
const maxWait = 60 * time.Second

// Write answers a write. It reads the Operation-Id and Prefer headers of the request, submits the command and answers
// 202 with Location and {"operation_id","id"}; with "Prefer: wait=N" it waits up to N seconds (at most 60) and
// answers 200 with the finished operation, else 202. bodyHash is what the same operation id must have been used with.
func Write(c echo.Context, svc Service, cmd events.Typed, entityID, bodyHash string) error {
	return Submit(c, svc, bus.Submission{EntityID: entityID, BodyHash: bodyHash, Command: cmd})
}

// EntityID returns the id of the entity that a write creates, which is that of its operation: a client that chooses the
// one knows the other before the write has arrived, and whatever is under way can be found by it.
func EntityID(c echo.Context) string {
	header := c.Request().Header
	if header.Get("Operation-Id") == "" {
		header.Set("Operation-Id", events.NewID())
	}
	return strings.ToLower(header.Get("Operation-Id")) // one that is malformed is refused when it is submitted
}

// Submit answers a write as Write does; the operation's id is the client's.
func Submit(c echo.Context, svc Service, s bus.Submission) error {
	p, err := Preferred(c.Request().Header)
	if err != nil {
		return err
	}
	wait := p.Wait
	ctx := c.Request().Context()
	s.OperationID = c.Request().Header.Get("Operation-Id")
	op, err := svc.Commands().Submit(ctx, s)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+op.ID)
	if wait > 0 {
		c.Response().Header().Set("Preference-Applied", fmt.Sprintf("wait=%d", int(wait.Seconds())))
		if !op.Done() {
			if op, err = svc.Store().WaitOperation(deadline(c, wait), op.ID); err != nil {
				return err
			}
		}
		if op.Done() {
			return c.JSON(http.StatusOK, Ended{Operation: op})
		}
	}
	return c.JSON(http.StatusAccepted, api.Accepted{OperationID: op.ID, ID: op.EntityID})
}

// Preference is what a client prefers of an answer (RFC 7240).
type Preference struct {
	Wait    time.Duration // how long to wait for the outcome
	Settled bool          // not only for the command, but for all that follows from it
}

// Preferred reads the Prefer headers: wait=N, and settled or wait-for=settled, as preferences or parameters of one.
func Preferred(h http.Header) (p Preference, err error) {
	for _, line := range h.Values("Prefer") {
		for token := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(token), "=")
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.Trim(value, `" `)
			switch {
			case name == "settled", name == "wait-for" && strings.EqualFold(value, "settled"):
				p.Settled = true
			case name == "wait":
				seconds, err := strconv.ParseUint(value, 10, 31)
				if err != nil && !errors.Is(err, strconv.ErrRange) {
					return p, fault.Malformed("prefer_malformed", "Prefer: wait=%.32s is not a number of seconds",
						value).
						WithHint("send Prefer: wait=5")
				}
				p.Wait = min(time.Duration(seconds)*time.Second, maxWait)
			}
		}
	}
	return p, nil
}
