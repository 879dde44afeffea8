package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// settler settles one delivery on its channel.
type settler struct {
	c    *consumer
	s    *subscription
	d    *amqp.Delivery
	done atomic.Bool

	// Used by pendingAcks.
	before, after *settler
	acked         bool
	late          int
}

// Ack implements broker.Settler. The server receives the ack a little later, with others.
func (x *settler) Ack() error { return x.settle(x.ack) }

func (x *settler) ack() error { return x.s.acks.ack(x, x.s.unsettled) }

// back requeues the message.
func (x *settler) back() error {
	x.s.acks.remove(x)
	return x.s.ch.Nack(x.d.DeliveryTag, false, true)
}

// Release implements broker.Settler by a nack, which from version 4.3 on does not count as a failed delivery. While
// the consumer stops, it sends nothing. A nacked message would be delivered to the consumer once more, and be
// requeued behind later ones. The end of the channel requeues all in order.
func (x *settler) Release() error {
	return x.settle(func() error {
		select {
		case <-x.c.stopping:
			return nil // and no ack covers it
		default:
			return x.back()
		}
	})
}

// Reject implements broker.Settler. The protocol's reject has no reason. So a copy with the reason goes to the dead
// queue, and its confirmation acks the original. Without a confirmation the message is requeued, and the error has
// the cause.
func (x *settler) Reject(reason string) error {
	if !x.done.CompareAndSwap(false, true) || x.s.isOver() {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.c.b.life, x.c.b.cfg.ConfirmTimeout)
	defer cancel()
	confirmed := make(chan error, 1)
	err := x.c.b.pub.send(ctx, x.c.b.names.dead(), x.c.service, deadLetter(x.d, reason, time.Now()),
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

// settle settles at most once.
func (x *settler) settle(send func() error) error {
	if !x.done.CompareAndSwap(false, true) {
		return nil
	}
	return x.finish(send)
}

// finish sends the settling, unless the subscription is over: then the server redelivers the message by itself.
func (x *settler) finish(send func() error) error {
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.unsettled--
	s.depth.add(-1)
	err := send()
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
