package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// Middleware is composed in one place; the first is the outermost.
func Example_order() {
	say := func(name string) Middleware {
		return func(next func(context.Context, Call) error) func(context.Context, Call) error {
			return func(ctx context.Context, c Call) error {
				fmt.Println(name, "begins")
				defer fmt.Println(name, "ends")
				return next(ctx, c)
			}
		}
	}
	d := NewDispatcher("shop", say("trace"), say("metrics"), say("log"), say("timeout"))
	Handle(d, func(context.Context, *store.Tx, rename) error {
		fmt.Println("handler")
		return nil
	})
	unit := func(ctx context.Context, _ events.Envelope, handle func(ctx context.Context, w work) error) error {
		fmt.Println("unit of work")
		return handle(ctx, work{})
	}
	_ = d.Dispatch(context.Background(), d.commands["shop.rename"], events.Envelope{}, rename{}, unit)
	// Output:
	// trace begins
	// metrics begins
	// log begins
	// timeout begins
	// unit of work
	// handler
	// timeout ends
	// log ends
	// metrics ends
	// trace ends
}

func TestStandard(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	dispatch := NewDispatcher("shop",
		Standard(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), metrics)...).chain
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	call := Call{
		Service: "shop", Handler: "shop:x", Command: true,
		Message: events.Envelope{ID: "m1", Type: "shop.x", Subject: "s", Correlation: "op", TraceParent: parent},
	}

	t.Run("continues the trace of the message and bounds the time", func(t *testing.T) {
		call.run = func(ctx context.Context) error {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.WithinDuration(t, time.Now().Add(HandlerTimeout), deadline, time.Second)
			assert.Regexp(t, "^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$", traceParent(ctx, ""))
			assert.NotEqual(t, parent, traceParent(ctx, ""))
			return nil
		}
		require.NoError(t, dispatch(t.Context(), call))
		require.Len(t, recorder.Ended(), 1)
		span := recorder.Ended()[0]
		assert.Equal(t, "shop:x", span.Name())
		assert.Equal(t, "00f067aa0ba902b7", span.Parent().SpanID().String())
		assert.Contains(t, span.Attributes(), attribute.String("messaging.message.id", "m1"))
		assert.Contains(t, log.String(), "operation=op")
	})
	t.Run("counts by outcome, a panic among the failures", func(t *testing.T) {
		for _, outcome := range []error{fault.Conflict("taken", "taken"), errors.New("no")} {
			call.run = func(context.Context) error { return outcome }
			require.ErrorIs(t, dispatch(t.Context(), call), outcome)
		}
		call.run = func(context.Context) error { return recovered(func() error { panic("boom") }) }
		require.ErrorContains(t, dispatch(t.Context(), call), "panic: boom")
		assert.Contains(t, log.String(), "level=WARN")
		for outcome, want := range map[string]float64{"ok": 1, "refused": 1, "failed": 2} {
			assert.InDelta(t, want, value(t, metrics.dispatches.WithLabelValues("shop", "shop:x", outcome)), 0, outcome)
		}
	})
	t.Run("shares what is registered already", func(t *testing.T) {
		assert.Same(t, metrics.dispatches, NewMetrics(registry).dispatches)
	})
}

func TestTimeout(t *testing.T) {
	dispatch := NewDispatcher("shop", Timeout(time.Millisecond, time.Hour)).chain
	slow := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	t.Run("says so, and not that the context ended, which could be anybody's", func(t *testing.T) {
		err := dispatch(t.Context(), Call{run: slow})
		require.ErrorIs(t, err, errTimeout)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, hung(err))
	})
	t.Run("leaves jobs more time", func(t *testing.T) {
		require.NoError(t, dispatch(t.Context(), Call{Deferred: true, run: func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			assert.WithinDuration(t, time.Now().Add(time.Hour), deadline, time.Minute)
			return nil
		}}))
	})
	t.Run("is not to blame when the caller has gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := NewDispatcher("shop", Timeout(time.Hour, time.Hour)).chain(ctx, Call{run: slow})
		require.ErrorIs(t, err, context.Canceled)
	})
}
