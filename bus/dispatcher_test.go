package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
	"stega/store"
)

type rename struct {
	Name string `json:"name"`
}

func (rename) Topic() string     { return "shop.rename" }
func (r rename) Subject() string { return r.Name }

// grenade cannot be decoded.
type grenade struct{}

func (grenade) Topic() string               { return "shop.throw" }
func (grenade) Subject() string             { return "" }
func (*grenade) UnmarshalJSON([]byte) error { panic("pulled") }

type stray struct{}

func (stray) Topic() string   { return "elsewhere.do" }
func (stray) Subject() string { return "" }

type impostor struct{}

func (impostor) Topic() string   { return "portfolio.created" }
func (impostor) Subject() string { return "" }

func nop[M events.Typed](context.Context, *store.Tx, M) error { return nil }

// within is a unit of work that has no database.
func within(w work) unitOfWork {
	return func(ctx context.Context, _ events.Envelope, handle func(ctx context.Context, w work) error) error {
		return handle(ctx, w)
	}
}

func nopJob[M events.Typed](context.Context, *Run, M) error { return nil }

func TestSeal(t *testing.T) {
	for _, c := range []struct {
		name     string
		register func(d *Dispatcher)
		want     string // empty: no mistake
	}{
		{"accepts a command and two named handlers of an event", func(d *Dispatcher) {
			Handle(d, nop[rename])
			Handle(d, nop[events.PortfolioCreated])
			Handle(d, nop[events.PortfolioCreated], Name("shop:index"))
		}, ""},
		{"accepts handlers of different events that share a name", func(d *Dispatcher) {
			Handle(d, nop[events.PortfolioCreated], Name("shop:portfolio"))
			Handle(d, nop[events.PortfolioUpdated], Name("shop:portfolio"))
		}, ""},
		{"refuses two handlers of a command", func(d *Dispatcher) {
			Handle(d, nop[rename])
			HandleJob(d, nopJob[rename])
		}, "the command shop.rename has two handlers"},
		{"refuses two handlers of an event under one name", func(d *Dispatcher) {
			Handle(d, nop[events.PortfolioCreated])
			Handle(d, nop[events.PortfolioCreated])
		}, "two handlers of portfolio.created are named shop:portfolio.created"},
		{"refuses an unknown topic", func(d *Dispatcher) { Handle(d, nop[stray]) },
			`topic "elsewhere.do" of bus.stray is neither an event of the catalogue nor a command of shop`},
		{"refuses a type that claims the topic of another", func(d *Dispatcher) { Handle(d, nop[impostor]) },
			"bus.impostor claims the topic portfolio.created"},
		{"refuses a deferred event", func(d *Dispatcher) { Handle(d, nop[events.PortfolioCreated], Deferred()) },
			"only commands can be deferred"},
		{"refuses messages by pointer", func(d *Dispatcher) {
			Handle(d, nop[*rename])
		}, "messages are handled by value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDispatcher("shop")
			c.register(d)
			if err := d.Seal(); c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	d := NewDispatcher("shop")
	Handle(d, nop[events.PortfolioUpdated], HoldWhenDead())
	HandleJob(d, nopJob[rename])
	Handle(d, nop[events.PortfolioCreated], Name("b"))
	Handle(d, nop[events.PortfolioCreated], Name("a"))
	require.NoError(t, d.Seal())
	var got []string
	for _, r := range d.Routes() {
		got = append(got, fmt.Sprintf("%s %s command=%t deferred=%t hold=%t", r.Topic, r.Handler, r.Command, r.Deferred,
			r.Hold))
	}
	assert.Equal(t, []string{
		"portfolio.created a command=false deferred=false hold=false",
		"portfolio.created b command=false deferred=false hold=false",
		"portfolio.updated shop:portfolio.updated command=false deferred=false hold=true",
		"shop.rename shop:shop.rename command=true deferred=true hold=false",
	}, got)
	assert.Equal(t, []string{"portfolio.created", "portfolio.updated"}, d.Topics())
}

func TestDispatch(t *testing.T) {
	d := NewDispatcher("shop")
	var got rename
	Handle(d, func(_ context.Context, _ *store.Tx, m rename) error {
		got = m
		if m.Name == "bomb" {
			panic("boom")
		}
		return nil
	})
	route := d.commands["shop.rename"]
	dispatch := func(m any) error {
		return d.Dispatch(t.Context(), route, events.Envelope{}, m, within(work{}))
	}
	t.Run("decodes data and hands it to the handler", func(t *testing.T) {
		m, err := route.decode([]byte(`{"name":"x"}`))
		require.NoError(t, err)
		require.NoError(t, dispatch(m))
		assert.Equal(t, rename{Name: "x"}, got)
	})
	t.Run("names the topic of data that does not fit", func(t *testing.T) {
		_, err := route.decode([]byte(`{"name":7}`))
		require.ErrorContains(t, err, "the data is not a shop.rename")
	})
	t.Run("turns a panic into an error with its stack, to be tried again", func(t *testing.T) {
		err := dispatch(rename{Name: "bomb"})
		require.ErrorContains(t, err, "panic: boom")
		require.ErrorContains(t, err, "dispatcher_test.go")
		assert.False(t, IsPermanent(err))
	})
	t.Run("turns a panic of a decoder into an error", func(t *testing.T) {
		Handle(d, nop[grenade])
		_, err := d.commands["shop.throw"].decode([]byte(`{}`))
		require.ErrorContains(t, err, "panic: pulled")
	})
	t.Run("refuses a message of another type for good", func(t *testing.T) {
		assert.True(t, IsPermanent(dispatch(stray{})))
	})
}

func TestIsPermanent(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"a marked error", fmt.Errorf("handle: %w", Permanent(errors.New("no"))), true},
		{"a fault that says so", fmt.Errorf("handle: %w", fault.Conflict("name_taken", "taken")), true},
		{"a fault of something that is away", fault.Unavailable("away", "away"), false},
		{"an internal fault", fault.New(fault.KindInternal, "bug", "bug"), false},
		{"any other error", errors.New("no"), false},
		{"none", Permanent(nil), false},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, IsPermanent(c.err)) })
	}
}

func TestNothingIsRegisteredAfterSeal(t *testing.T) {
	d := NewDispatcher("returns")
	Handle(d, func(context.Context, *store.Tx, events.PricesImported) error { return nil })
	require.NoError(t, d.Seal())
	require.PanicsWithValue(t,
		"bus: a handler of events.PortfolioCreated is registered with returns after it was sealed",
		func() {
			Handle(d, func(context.Context, *store.Tx, events.PortfolioCreated) error { return nil })
		})
	require.Len(t, d.Routes(), 1)
}
