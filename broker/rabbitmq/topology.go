package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/events"
	"stega/fault"
)

// The names of the parts.
const (
	eventsExchange   = "stega.events"   // topic; the routing key is the event's topic
	commandsExchange = "stega.commands" // direct; the routing key is the service
	deadExchange     = "stega.dead"     // direct; the routing key is the service
	logStream        = "stega.log"
)

// deliveryLimit is how often a message may kill its consumer before the broker moves it to the dead queue.
const deliveryLimit = 20

// Declare makes exchanges, queues, bindings and the log, and removes bindings of topics that a service no longer handles.
func (b *Broker) Declare(ctx context.Context, t broker.Topology) error {
	return b.publish.channel(ctx, func(ch *amqp.Channel) error {
		for _, x := range []struct{ name, kind string }{{eventsExchange, "topic"}, {commandsExchange, "direct"}, {deadExchange, "direct"}} {
			if err := ch.ExchangeDeclare(x.name, x.kind, true, false, false, false, nil); err != nil {
				return declared(x.name, err)
			}
		}
		if _, err := ch.QueueDeclare(logStream, true, false, false, false, amqp.Table{
			"x-queue-type": "stream", "x-max-length-bytes": int64(1 << 30), "x-max-age": "7D", "x-stream-max-segment-size-bytes": int64(50_000_000),
		}); err != nil {
			return declared(logStream, err)
		}
		if err := ch.QueueBind(logStream, "#", eventsExchange, false, nil); err != nil {
			return declared(logStream, err)
		}
		for _, s := range t.Services {
			if err := declareService(ch, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func declareService(ch *amqp.Channel, s broker.ServiceTopology) error {
	for _, q := range []broker.Queue{broker.Dead, broker.Commands, broker.Events} {
		name := queueName(s.Service, q)
		args := amqp.Table{"x-queue-type": "quorum"}
		if q != broker.Commands {
			args["x-single-active-consumer"] = true
		}
		if q != broker.Dead {
			args["x-delivery-limit"] = int64(deliveryLimit)
			args["x-dead-letter-exchange"] = deadExchange
			args["x-dead-letter-routing-key"] = s.Service
			args["x-dead-letter-strategy"] = "at-least-once"
			args["x-overflow"] = "reject-publish"
		} else {
			args["x-delivery-limit"] = int64(-1) // it is the last stop
		}
		if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
			return declared(name, err)
		}
	}
	if err := ch.QueueBind(queueName(s.Service, broker.Commands), s.Service, commandsExchange, false, nil); err != nil {
		return declared(s.Service, err)
	}
	if err := ch.QueueBind(queueName(s.Service, broker.Dead), s.Service, deadExchange, false, nil); err != nil {
		return declared(s.Service, err)
	}
	queue := queueName(s.Service, broker.Events)
	for _, topic := range s.Topics {
		if err := ch.QueueBind(queue, topic, eventsExchange, false, nil); err != nil {
			return declared(queue, err)
		}
	}
	for _, kind := range events.Catalogue() {
		if slices.Contains(s.Topics, kind.Topic) {
			continue
		}
		if err := ch.QueueUnbind(queue, kind.Topic, eventsExchange, nil); err != nil {
			return declared(queue, err)
		}
	}
	return nil
}

// declared explains why a part cannot be made.
func declared(name string, err error) error {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		switch e.Code {
		case amqp.PreconditionFailed:
			return fault.Conflict("topology_differs", "the broker has a %s that was made differently", name).
				WithHint("delete it there when nothing waits in it, and declare again").Because(err)
		case amqp.AccessRefused:
			return fault.New(fault.KindForbidden, "topology_refused", "the broker's user may not make %s", name).
				WithHint("run stega migrate with a user who may configure").Because(err)
		}
	}
	return fmt.Errorf("declare %s: %w", name, err)
}

// missing explains why a queue cannot be used.
func missing(name string, err error) error {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return fault.Unavailable("topology_missing", "the broker has no %s", name).WithHint("run: stega migrate").Because(err)
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.AccessRefused {
		return fault.New(fault.KindForbidden, "queue_refused", "the broker's user may not read %s", name).Because(err)
	}
	return fmt.Errorf("use %s: %w", name, err)
}

// Permissions are the regular expressions of what a service's own user may configure, write and read: nothing, the exchanges, and
// its own queues with the log.
func Permissions(service string) (configure, write, read string) {
	s := regexp.QuoteMeta(service)
	return "^$", `^stega\.(events|commands|dead)$`, `^(stega\.log|stega\.` + s + `\.(events|commands|dead))$`
}

// Depth is the number of messages that wait in a queue, with those that this process holds; what other processes hold is not known.
func (b *Broker) Depth(ctx context.Context, service string, q broker.Queue) (int, error) {
	name := queueName(service, q)
	n := 0
	err := b.consume.channel(ctx, func(ch *amqp.Channel) error {
		queue, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		n = queue.Messages
		return err
	})
	if err != nil {
		return 0, missing(name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return n + b.unsettled[name], nil
}
