package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// settler settles one delivery on the channel that brought it.
type settler struct {
	c    *consumer
	s    *subscription
	d    *amqp.Delivery
	done atomic.Bool

	// Of gathering.
	before, after *settler
	acked         bool
	late          int
}

// Ack implements broker.Settler. The server is told a little later, with other acks.
func (x *settler) Ack() error { return x.settle(x.ack) }

func (x *settler) ack() error { return x.s.acks.ack(x, x.s.unsettled) }

// back gives the message back to the queue.
func (x *settler) back() error {
	x.s.acks.remove(x)
	return x.s.ch.Nack(x.d.DeliveryTag, false, true)
}

// Release implements broker.Settler: a nack, which from version 4.3 on does not count as a failed delivery. While the
// consumer stops nothing is said: a nacked message would be delivered to it once more, and go back behind those that
// came after it. The end of the channel gives all back in their order.
func (x *settler) Release() error {
	return x.settle(func() error {
		select {
		case <-x.c.stopping:
			return nil // and no ack reaches over it
		default:
			return x.back()
		}
	})
}

// Reject implements broker.Settler. The protocol's own reject carries no reason; so a copy with the reason goes to
// the dead queue, and once that is confirmed the original is acked. When it is not, the message is given back and the
// error says why.
func (x *settler) Reject(reason string) error {
	if !x.done.CompareAndSwap(false, true) || x.s.isOver() {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.c.b.life, x.c.b.cfg.ConfirmTimeout)
	defer cancel()
	confirmed := make(chan error, 1)
	err := x.c.b.pub.send(ctx, x.c.b.names.dead(), x.c.service, dying(x.d, reason, time.Now()),
		func(err error) { confirmed <- err })
	if err == nil {
		select {
		case err = <-confirmed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return errors.Join(
			fmt.Errorf("move message %s to the dead queue of %s: %w", x.d.MessageId, x.c.service, err),
			x.finish(x.back),
		)
	}
	return x.finish(x.ack)
}

// settle settles once.
func (x *settler) settle(tell func() error) error {
	if !x.done.CompareAndSwap(false, true) {
		return nil
	}
	return x.finish(tell)
}

// finish tells the server, unless the session is over: then the message comes again by itself.
func (x *settler) finish(tell func() error) error {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.unsettled--
	s.depth.add(-1)
	err := tell()
	select {
	case s.settled <- struct{}{}:
	default:
	}
	if err != nil && s.ch.IsClosed() {
		return nil
	}
	return err
}

func (s *subscription) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over || s.ch.IsClosed()
}
