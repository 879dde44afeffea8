package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"stega/events"
)

// Call is one dispatch as middleware sees it. Middleware passes on the call that it was given.
type Call struct {
	Service  string
	Handler  string
	Message  events.Envelope
	Command  bool
	Deferred bool // runs as a job

	run func(ctx context.Context) error
}

// Middleware wraps every dispatch of a command or event the same way.
type Middleware func(next func(ctx context.Context, c Call) error) func(ctx context.Context, c Call) error

// Default limits of a dispatch.
const (
	HandlerTimeout = 30 * time.Second // inline commands and events
	JobTimeout     = 15 * time.Minute // deferred commands
)

// Standard returns the middleware that every process uses, outermost first: Trace, Measure, Log, Timeout.
func Standard(log *slog.Logger, m *Metrics) []Middleware {
	return []Middleware{Trace(), Measure(m), Log(log), Timeout(HandlerTimeout, JobTimeout)}
}

// propagator reads and writes the W3C trace context of envelopes.
var propagator propagation.TraceContext

// Trace makes a span of each dispatch, a child of the span that the message was emitted in.
func Trace() Middleware {
	tracer := otel.Tracer("stega/bus")
	return func(next func(context.Context, Call) error) func(context.Context, Call) error {
		return func(ctx context.Context, c Call) error {
			if c.Message.TraceParent != "" && !trace.SpanContextFromContext(ctx).IsValid() {
				ctx = propagator.Extract(ctx, propagation.MapCarrier{"traceparent": c.Message.TraceParent})
			}
			ctx, span := tracer.Start(ctx, c.Handler, trace.WithSpanKind(kind(c)))
			defer span.End()
			if span.IsRecording() {
				span.SetAttributes(
					attribute.String("messaging.system", "stega"),
					attribute.String("messaging.operation.type", "process"),
					attribute.String("messaging.destination.name", c.Message.Type),
					attribute.String("messaging.message.id", c.Message.ID),
					attribute.String("messaging.message.conversation_id", c.Message.Correlation),
					attribute.String("stega.service", c.Service),
					attribute.String("stega.subject", c.Message.Subject),
				)
			}
			err := next(ctx, c)
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, cause(err))
			}
			return err
		}
	}
}

func kind(c Call) trace.SpanKind {
	if c.Command && !c.Deferred {
		return trace.SpanKindInternal
	}
	return trace.SpanKindConsumer
}

// traceParent is the trace context of what ctx is in, for messages that come from it; without one, otherwise.
func traceParent(ctx context.Context, otherwise string) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return otherwise
	}
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// Measure counts dispatches by outcome and observes how long they take.
func Measure(m *Metrics) Middleware {
	return func(next func(context.Context, Call) error) func(context.Context, Call) error {
		return func(ctx context.Context, c Call) error {
			start := time.Now()
			err := next(ctx, c)
			m.dispatched(c, time.Since(start), err)
			return err
		}
	}
}

// Log logs each dispatch. A command that fails for no fault of its client is a warning. The event loop logs what
// becomes of an event in the end, so single failures are details.
func Log(log *slog.Logger) Middleware {
	return func(next func(context.Context, Call) error) func(context.Context, Call) error {
		return func(ctx context.Context, c Call) error {
			start := time.Now()
			err := next(ctx, c)
			level, text := slog.LevelDebug, "handled"
			if err != nil {
				text = "not handled"
				if c.Command && !IsPermanent(err) {
					level = slog.LevelWarn
				}
			}
			if !log.Enabled(ctx, level) {
				return err
			}
			attrs := []slog.Attr{
				slog.String("handler", c.Handler), slog.String("message", c.Message.ID),
				slog.String("subject", c.Message.Subject),
				slog.String("operation", c.Message.Correlation), slog.Duration("took", time.Since(start)),
			}
			if err != nil {
				attrs = append(attrs, slog.Any("error", err))
			}
			log.LogAttrs(ctx, level, text, attrs...)
			return err
		}
	}
}

// errTimeout is the cause of a context that Timeout ended.
var errTimeout = errors.New("the handler took too long")

// Timeout bounds a dispatch: handlers that hold a unit of work, and jobs, which wait for things outside.
func Timeout(handler, job time.Duration) Middleware {
	return func(next func(context.Context, Call) error) func(context.Context, Call) error {
		return func(ctx context.Context, c Call) error {
			limit := handler
			if c.Deferred {
				limit = job
			}
			ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
			defer cancel()
			err := next(ctx, c)
			if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
				err = &timedOut{limit: limit, err: err}
			}
			return err
		}
	}
}

// timedOut is the error of a dispatch that Timeout ended, whatever the handler made of it. It hides what it wraps from
// errors.Is: that a statement was interrupted says nothing about the database.
type timedOut struct {
	limit time.Duration
	err   error
}

func (t *timedOut) Error() string {
	return errTimeout.Error() + " (over " + t.limit.String() + "): " + t.err.Error()
}

func (t *timedOut) Is(target error) bool { return target == errTimeout }
