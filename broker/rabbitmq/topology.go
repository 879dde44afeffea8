package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/internal/backoff"
)

// names returns the names of all parts, which share a prefix.
type names struct{ prefix string }

func (n names) events() string   { return n.prefix + ".events" }   // topic; the routing key is the topic of the event
func (n names) commands() string { return n.prefix + ".commands" } // direct; the routing key is the service
func (n names) dead() string     { return n.prefix + ".dead" }     // direct; the routing key is the service
func (n names) log() string      { return n.prefix + ".log" }      // bound to all events

func (n names) queue(service string, q broker.Queue) string {
	return n.prefix + "." + service + "." + string(q)
}

// deliveryLimit limits the deliveries of a message that is never settled because its consumer crashes on it.
const deliveryLimit = 20

type exchange struct {
	Name    string `json:"name"`
	Kind    string `json:"type"`
	Durable bool   `json:"durable"`
}

type queue struct {
	Name      string     `json:"name"`
	Durable   bool       `json:"durable"`
	Arguments amqp.Table `json:"arguments"`
}

type binding struct {
	Exchange string `json:"source"`
	Queue    string `json:"destination"`
	Key      string `json:"routing_key"`
}

// layout returns the exchanges, queues and bindings of a topology.
func layout(n names, t broker.Topology) (exchanges []exchange, queues []queue, bindings []binding) {
	exchanges = []exchange{
		{n.events(), amqp.ExchangeTopic, true},
		{n.commands(), amqp.ExchangeDirect, true},
		{n.dead(), amqp.ExchangeDirect, true},
	}
	queues = []queue{{n.log(), true, amqp.Table{
		amqp.QueueTypeArg: amqp.QueueTypeStream, amqp.StreamMaxLenBytesArg: int64(1 << 30), amqp.StreamMaxAgeArg: "7D",
		amqp.StreamMaxSegmentSizeBytesArg: int64(64 << 20), // only whole segments are dropped
	}}}
	bindings = []binding{{n.events(), n.log(), "#"}}
	for _, s := range t.Services {
		dead := n.queue(s.Service, broker.Dead)
		for _, q := range []broker.Queue{broker.Events, broker.Commands} {
			args := amqp.Table{
				amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": int64(deliveryLimit),
				"x-dead-letter-exchange": n.dead(), "x-dead-letter-routing-key": s.Service,
				"x-dead-letter-strategy": "at-least-once", amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish,
			}
			if q == broker.Events {
				args[amqp.SingleActiveConsumerArg] = true
			}
			queues = append(queues, queue{n.queue(s.Service, q), true, args})
		}
		// With the default limit the dead queue would drop a message that was read and released twenty times.
		queues = append(queues, queue{dead, true, amqp.Table{
			amqp.QueueTypeArg: amqp.QueueTypeQuorum, "x-delivery-limit": int64(-1), amqp.SingleActiveConsumerArg: true,
		}})
		for _, topic := range s.Topics {
			bindings = append(bindings, binding{n.events(), n.queue(s.Service, broker.Events), topic})
		}
		bindings = append(bindings,
			binding{n.commands(), n.queue(s.Service, broker.Commands), s.Service},
			binding{n.dead(), dead, s.Service})
	}
	return exchanges, queues, bindings
}

// topics holds the topics that this process declared, by service.
type topics struct {
	mu sync.Mutex
	of map[string][]string
}

// add records topics of a service, and returns all topics of the service since the start.
func (t *topics) add(service string, more []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string][]string{}
	}
	for _, topic := range more {
		if !slices.Contains(t.of[service], topic) {
			t.of[service] = append(t.of[service], topic)
		}
	}
	return slices.Clone(t.of[service])
}

// Declare implements broker.Broker. Its user needs the right to configure. The protocol cannot list bindings; Declare
// removes those of other topics that are in the catalogue or that this process declared before.
//
// A server that has just started refuses to declare quorum queues until its own are running. Declare retries
// temporary refusals for Config.DeclareTimeout. A permanent refusal is an error at once.
func (b *Broker) Declare(ctx context.Context, t broker.Topology) error {
	if b.open.Err() != nil {
		return broker.ErrClosed
	}
	ctx, cancel := b.untilClosed(ctx)
	defer cancel()
	limit := time.NewTimer(b.cfg.DeclareTimeout)
	defer limit.Stop()
	pause := backoff.Backoff{Base: backoffBase, Max: time.Second}
	for refused := false; ; {
		err := b.declareOnce(ctx, t)
		if err == nil || ctx.Err() != nil || !temporary(err) {
			return err
		}
		if !refused {
			refused = true
			b.log.Warn("the broker refuses the declarations for now, retrying", "for", b.cfg.DeclareTimeout, "error",
				err)
		}
		select {
		case <-limit.C:
			return fault.Unavailable("broker_not_ready", "the broker has refused the declarations for %s",
				b.cfg.DeclareTimeout).
				WithHint("see the broker's log, and retry when it is healthy").Because(err)
		default:
		}
		pause.Sleep(ctx)
	}
}

// temporary reports whether an error may resolve itself: the end of a connection or a failure inside the server, not
// an answer to the request.
func temporary(err error) bool {
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return false
	}
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return true
	}
	switch e.Code {
	case amqp.InternalError, amqp.ResourceError, amqp.ConnectionForced, amqp.ChannelError:
		return true
	}
	return false
}

func (b *Broker) declareOnce(ctx context.Context, t broker.Topology) error {
	conn, err := b.in.get(ctx)
	if err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	ch, err := conn.Channel() // separate, because an error closes it
	if err != nil {
		return fmt.Errorf("declare: open a channel: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ch.Close() })
	err = b.declare(ch, t)
	stop()
	if closing := ch.Close(); err == nil && closing != nil && !errors.Is(closing, amqp.ErrClosed) {
		err = closing
	}
	if ctx.Err() != nil && err != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return err
}

func (b *Broker) declare(ch *amqp.Channel, t broker.Topology) error {
	exchanges, queues, bindings := layout(b.names, t)
	for _, e := range exchanges {
		if err := ch.ExchangeDeclare(e.Name, e.Kind, e.Durable, false, false, false, nil); err != nil {
			return declareFault("exchange", e.Name, err)
		}
	}
	for _, q := range queues {
		if _, err := ch.QueueDeclare(q.Name, q.Durable, false, false, false, q.Arguments); err != nil {
			return declareFault("queue", q.Name, err)
		}
	}
	for _, d := range bindings {
		if err := ch.QueueBind(d.Queue, d.Key, d.Exchange, false, nil); err != nil {
			return declareFault("binding", d.Queue+" to "+d.Key, err)
		}
	}
	for _, s := range t.Services {
		had := b.declared.add(s.Service, s.Topics)
		for _, e := range events.Catalogue() {
			had = append(had, e.Topic)
		}
		for _, topic := range had {
			if slices.Contains(s.Topics, topic) {
				continue
			}
			if err := ch.QueueUnbind(b.names.queue(s.Service, broker.Events), topic, b.names.events(),
				nil); err != nil {
				return declareFault("binding", s.Service+" to "+topic, err)
			}
		}
	}
	return nil
}

// Remove deletes all parts of Declare, with their messages.
func (b *Broker) Remove(ctx context.Context, t broker.Topology) error {
	conn, err := b.in.get(ctx)
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("remove: open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	exchanges, queues, _ := layout(b.names, t)
	for _, q := range queues {
		if _, err := ch.QueueDelete(q.Name, false, false, false); err != nil {
			return fmt.Errorf("remove the queue %s: %w", q.Name, err)
		}
	}
	for _, e := range exchanges {
		if err := ch.ExchangeDelete(e.Name, false, false); err != nil {
			return fmt.Errorf("remove the exchange %s: %w", e.Name, err)
		}
	}
	return nil
}

func declareFault(what, name string, err error) error {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		switch e.Code {
		case amqp.PreconditionFailed:
			return fault.Conflict("broker_topology", "the %s %s exists with other properties", what, name).
				WithHint("delete it once it is empty, then run stega migrate again").Because(err)
		case amqp.AccessRefused:
			return fault.Unavailable("broker_forbidden", "the broker's user may not declare the %s %s", what, name).
				WithHint("run stega migrate with the broker's administrator in --broker-url or STEGA_BROKER_URL").
				Because(err)
		}
	}
	return fmt.Errorf("declare the %s %s: %w", what, name, err)
}

// depth counts the unsettled messages of a queue in this process.
type depth struct{ unsettled atomic.Int64 }

func (d *depth) add(n int) { d.unsettled.Add(int64(n)) }

type depths struct {
	mu     sync.Mutex
	queues map[string]*depth
	ch     *amqp.Channel // for queries, kept while it is open
}

func (d *depths) of(queue string) *depth {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queues == nil {
		d.queues = map[string]*depth{}
	}
	if d.queues[queue] == nil {
		d.queues[queue] = &depth{}
	}
	return d.queues[queue]
}

// Depth implements broker.Broker: the server's ready messages plus the unsettled ones of this process. Unsettled
// messages of other processes are missing, because the protocol does not report them.
func (b *Broker) Depth(ctx context.Context, service string, q broker.Queue) (int, error) {
	if b.open.Err() != nil {
		return 0, broker.ErrClosed
	}
	name := b.names.queue(service, q)
	own := b.depths.of(name)
	ctx, cancel := b.untilClosed(ctx)
	defer cancel()
	conn, err := b.in.get(ctx)
	if err != nil {
		return 0, fmt.Errorf("depth of %s: %w", name, err)
	}
	b.depths.mu.Lock()
	defer b.depths.mu.Unlock()
	if b.depths.ch == nil || b.depths.ch.IsClosed() {
		if b.depths.ch, err = conn.Channel(); err != nil {
			b.depths.ch = nil
			return 0, fmt.Errorf("depth of %s: open a channel: %w", name, err)
		}
	}
	state, err := b.depths.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		if f := queueFault(name, err); f != nil {
			return 0, f
		}
		return 0, fmt.Errorf("depth of %s: %w", name, err)
	}
	return state.Messages + int(own.unsettled.Load()), nil
}
