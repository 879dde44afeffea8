package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"stega/events"
	"stega/store"
)

// Dispatcher has the handlers of one service, and runs them. The command bus, the event loop, the redriver and the
// jobs all call Dispatch; nothing else calls a handler.
type Dispatcher struct {
	service  string
	chain    func(ctx context.Context, c Call) error // the middleware around a call
	routes   []*Route
	events   map[string][]*Route // by topic
	commands map[string]*Route
	mistakes []error
	sealed   atomic.Bool
}

// NewDispatcher returns the dispatcher of a service. Middleware goes around every dispatch; the first is the outermost.
func NewDispatcher(service string, mw ...Middleware) *Dispatcher {
	d := &Dispatcher{service: service, events: map[string][]*Route{}, commands: map[string]*Route{}}
	d.chain = func(ctx context.Context, c Call) error { return c.run(ctx) }
	for _, m := range slices.Backward(mw) {
		d.chain = m(d.chain)
	}
	return d
}

// unitOfWork opens the unit of work of a dispatch, or joins one that is open, and calls handle in it. What handle emits
// names cause as the message that it comes from.
type unitOfWork func(ctx context.Context, cause events.Envelope, handle func(ctx context.Context, w work) error) error

// Dispatch runs the handler of a route with a decoded message, behind the middleware. A panic of the handler is an
// error with its stack.
//
// A command and a job open their unit of work in here, so the outcome that the middleware sees includes the commit.
// Events share units, which the event loop and the redriver open around their dispatches (see runUnit): one commit for
// a batch is what makes the loop fast. There the middleware sees what the handler returned; the loop counts and logs
// what became of the message.
func (d *Dispatcher) Dispatch(ctx context.Context, r *Route, e events.Envelope, message any, unit unitOfWork) error {
	return d.chain(ctx, Call{
		Service: d.service, Handler: r.Handler, Message: e, Command: r.Command, Deferred: r.Deferred,
		run: func(ctx context.Context) error {
			e.TraceParent = traceParent(ctx, e.TraceParent)
			return unit(ctx, e, func(ctx context.Context, w work) error {
				return recovered(func() error { return r.call(ctx, w, message) })
			})
		},
	})
}

// in joins a unit of work that is open.
func in(tx *store.Tx) unitOfWork {
	return func(ctx context.Context, cause events.Envelope, handle func(ctx context.Context, w work) error) error {
		tx.SetCause(cause)
		return handle(ctx, work{tx: tx})
	}
}

// runUnit runs a unit of work. A panic in it, such as one in a function that a handler has put off with tx.Once, is an
// error that rolls it back.
func runUnit(ctx context.Context, db *store.DB, fn func(ctx context.Context, tx *store.Tx) error) error {
	return recovered(func() error { return db.Do(ctx, fn) })
}

// decode returns the message in data. It comes before Dispatch: a batch reads for all its messages together, and a
// message that is tried again is not decoded again. A decoder that panics is an error.
func (r *Route) decode(data []byte) (message any, err error) {
	err = recovered(func() error {
		message, err = r.unmarshal(data)
		return err
	})
	return message, err
}

// recovered turns a panic of f into an error with its stack. It is the one place that recovers.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// Route is one registration.
type Route struct {
	Topic    string
	Handler  string // durable name
	Command  bool
	Deferred bool
	Hold     bool
	// Continues keeps the operation running after the handler has succeeded.
	Continues bool

	job       bool // waits for things outside and commits by itself
	unmarshal func(data []byte) (any, error)
	call      func(ctx context.Context, w work, m any) error
}

// work is what a handler works on: a unit of work, or a job that makes one when it is ready.
type work struct {
	tx  *store.Tx
	run *Run
}

// Handle registers a handler. The type of message is inferred from the handler and states its own topic. A topic of
// the catalogue is an event, and may have several handlers, each with a Name of its own; any other is a command of
// this service and has one. Mistakes are collected and reported by Seal.
func Handle[M events.Typed](d *Dispatcher, h Handler[M], opts ...Option) {
	register(d, &Route{}, func(ctx context.Context, w work, m M) error { return h(ctx, w.tx, m) }, opts)
}

// HandleJob registers the handler of a deferred command that waits for things outside.
func HandleJob[M events.Typed](d *Dispatcher, h JobHandler[M], opts ...Option) {
	register(d, &Route{job: true, Deferred: true}, func(ctx context.Context, w work,
		m M) error {
		return h(ctx, w.run, m)
	}, opts)
}

// register erases the type of a handler: nothing after it has M.
func register[M events.Typed](d *Dispatcher, r *Route, call func(context.Context, work, M) error, opts []Option) {
	if d.sealed.Load() { // others read its tables by now
		panic(fmt.Sprintf("bus: a handler of %s is registered with %s after it was sealed", reflect.TypeFor[M](),
			d.service))
	}
	if t := reflect.TypeFor[M](); t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		d.mistakes = append(d.mistakes, fmt.Errorf("a handler takes %s: messages are handled by value", t))
		return
	}
	var zero M
	r.Topic = zero.Topic()
	r.Handler = d.service + ":" + r.Topic
	for _, o := range opts {
		o(r)
	}
	r.unmarshal = func(data []byte) (any, error) {
		if events.TooDeep(data) {
			return nil, fmt.Errorf("the data of %s nests deeper than %d levels", r.Topic, events.MaxDepth)
		}
		var m M
		if err := events.Unmarshal(data, &m); err != nil {
			return nil, fmt.Errorf("the data is not a %s: %w", r.Topic, err)
		}
		return m, nil
	}
	r.call = func(ctx context.Context, w work, message any) error {
		m, ok := message.(M)
		if !ok {
			return Permanent(fmt.Errorf("%s was called with a %T instead of a %T", r.Handler, message, zero))
		}
		return call(ctx, w, m)
	}
	d.add(r, zero)
}

func (d *Dispatcher) add(r *Route, zero events.Typed) {
	mistake := func(format string, args ...any) { d.mistakes = append(d.mistakes, fmt.Errorf(format, args...)) }
	entry, event := events.Lookup(r.Topic)
	switch {
	case event && !entry.Is(zero):
		mistake("%T claims the topic %s, which the catalogue gives to another type", zero, r.Topic)
		return
	case event && r.Deferred:
		mistake("%s is an event: only commands can be deferred", r.Topic)
		return
	case event:
		if slices.ContainsFunc(d.events[r.Topic], func(o *Route) bool { return o.Handler == r.Handler }) {
			mistake("two handlers of %s are named %s: give each a bus.Name", r.Topic, r.Handler)
			return
		}
		d.events[r.Topic] = append(d.events[r.Topic], r)
	case !strings.HasPrefix(r.Topic, d.service+"."):
		mistake("topic %q of %T is neither an event of the catalogue nor a command of %s", r.Topic, zero, d.service)
		return
	case d.commands[r.Topic] != nil:
		mistake("the command %s has two handlers", r.Topic)
		return
	default:
		r.Command = true
		d.commands[r.Topic] = r
	}
	d.routes = append(d.routes, r)
}

// Seal ends registration. It reports every mistake: two handlers for one command, an unknown topic, a type outside
// the catalogue that claims an event's topic, a command whose topic does not begin with the service's name. To
// register a handler afterwards panics.
func (d *Dispatcher) Seal() error {
	d.sealed.Store(true)
	return errors.Join(d.mistakes...)
}

// Routes lists the registrations, ordered by topic and handler.
func (d *Dispatcher) Routes() []Route {
	routes := make([]Route, len(d.routes))
	for i, r := range d.routes {
		routes[i] = *r
	}
	slices.SortFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Handler, b.Handler))
	})
	return routes
}

// Topics lists the event topics that the service handles.
func (d *Dispatcher) Topics() []string {
	topics := make([]string, 0, len(d.events))
	for topic := range d.events {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}

// receipt returns the receipt of a message in a handler; of all handlers when the message reached none.
func (d *Dispatcher) receipt(e events.Envelope, handler, state string) events.Receipt {
	r := events.Receipt{
		Message: e.ID, Topic: e.Type, About: e.Subject, Operation: e.Correlation, Handler: handler, State: state,
		SentAt: e.Time,
	}
	if routes := d.events[e.Type]; len(routes) > 1 {
		for _, other := range routes {
			r.Handlers = append(r.Handlers, other.Handler)
		}
	}
	return r
}

// parkedReceipt returns the receipt of a message that was parked or is dead.
func (d *Dispatcher) parkedReceipt(m store.ParkedMessage) events.Receipt {
	state := events.ReceiptParked
	if m.State == store.Dead {
		state = events.ReceiptDead
	}
	r := d.receipt(m.Message.Envelope, m.Handler, state)
	r.Attempts, r.Error = m.Attempts, m.LastError
	return r
}

// find returns the route that a message was parked for; nil when no handler of that name is registered.
func (d *Dispatcher) find(handler, topic string) *Route {
	for _, r := range d.routes {
		if r.Handler == handler && r.Topic == topic {
			return r
		}
	}
	return nil
}
