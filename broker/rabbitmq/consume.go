package rabbitmq

import (
	"context"
	"errors"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/events"
)

// consumer is a subscription that outlives sessions.
type consumer struct {
	b        *Broker
	service  string
	kind     broker.Queue
	queue    string
	prefetch int
	out      chan broker.Delivery
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	stopped  chan struct{} // closed by Stop
	ended    chan struct{} // closed when the loop has ended
	once     sync.Once

	mu sync.Mutex
	ch *amqp.Channel // of the present session
}

// Subscribe begins to take messages; see broker.Broker.
func (b *Broker) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c := &consumer{
		b: b, service: service, kind: q, queue: queueName(service, q), prefetch: max(1, prefetch), stopped: make(chan struct{}),
		ended: make(chan struct{}), out: make(chan broker.Delivery),
	}
	c.ctx, c.cancel = context.WithCancel(b.ctx)
	err := b.consume.channel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(c.queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		c.cancel()
		if errors.Is(err, broker.ErrClosed) {
			return nil, err
		}
		return nil, missing(c.queue, err)
	}
	ch, deliveries, err := c.begin(ctx)
	if err != nil {
		c.cancel()
		return nil, missing(c.queue, err)
	}
	b.tasks.Go(func() { c.run(ch, deliveries) })
	return c, nil
}

// begin consumes on a channel of the present session.
func (c *consumer) begin(ctx context.Context) (*amqp.Channel, <-chan amqp.Delivery, error) {
	s, err := c.b.consume.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, nil, err
	}
	if err := ch.Qos(c.prefetch, 0, false); err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	deliveries, err := ch.Consume(c.queue, c.queue, false, false, false, false, nil)
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	c.mu.Lock()
	c.ch = ch
	c.mu.Unlock()
	return ch, deliveries, nil
}

// run hands out deliveries, session after session.
func (c *consumer) run(ch *amqp.Channel, deliveries <-chan amqp.Delivery) {
	defer close(c.ended)
	defer close(c.out)
	for {
		if c.drain(ch, deliveries) {
			return
		}
		_ = ch.Close()
		for pause := 10 * time.Millisecond; ; pause = min(2*pause, c.b.cfg.RetryMax) {
			var err error
			if ch, deliveries, err = c.begin(c.ctx); err == nil {
				break
			}
			select {
			case <-time.After(pause):
			case <-c.stopped:
				return
			case <-c.ctx.Done():
				return
			}
		}
	}
}

// drain hands out the deliveries of one session; true means that the consumer is to end.
func (c *consumer) drain(ch *amqp.Channel, deliveries <-chan amqp.Delivery) bool {
	settled := &settlements{b: c.b, queue: c.queue, ch: ch}
	defer settled.over()
	for {
		select {
		case <-c.stopped:
			c.giveBack(ch, deliveries)
			settled.keep()
			return true
		case <-c.ctx.Done():
			return true
		case d, ok := <-deliveries:
			if !ok {
				return c.ctx.Err() != nil
			}
			select {
			case c.out <- settled.delivery(c, d):
			case <-c.stopped:
				_ = d.Nack(false, true)
				settled.forget()
				c.giveBack(ch, deliveries)
				settled.keep()
				return true
			case <-c.ctx.Done():
				return true
			}
		}
	}
}

// giveBack takes no more and puts back what nobody was handed.
func (c *consumer) giveBack(ch *amqp.Channel, deliveries <-chan amqp.Delivery) {
	if err := ch.Cancel(c.queue, false); err != nil {
		return // the session is over, and so all is given back
	}
	for d := range deliveries {
		_ = d.Nack(false, true)
	}
}

// Deliveries are what was taken.
func (c *consumer) Deliveries() <-chan broker.Delivery { return c.out }

// Stop takes no more messages; see broker.Consumer.
func (c *consumer) Stop(ctx context.Context) error {
	c.once.Do(func() { close(c.stopped) })
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close gives back all that is unsettled and ends the subscription.
func (c *consumer) Close() error {
	c.once.Do(func() { close(c.stopped) })
	c.cancel()
	c.mu.Lock()
	ch := c.ch
	c.mu.Unlock()
	err := ch.Close()
	<-c.ended
	if err == nil || errors.Is(err, amqp.ErrClosed) {
		return nil
	}
	return err
}

// settlements are the deliveries of one channel that are not settled yet. Once it is over they count for nothing.
type settlements struct {
	b     *Broker
	queue string
	ch    *amqp.Channel

	mu   sync.Mutex
	open int
	done bool
}

func (s *settlements) delivery(c *consumer, d amqp.Delivery) broker.Delivery {
	m, err := message(&d)
	out := broker.Delivery{
		Message: m, Service: c.service, Queue: c.kind, Err: err, Redelivered: d.Redelivered, Attempts: attempts(&d),
		Settler: &settler{settlements: s, tag: d.DeliveryTag, service: c.service, dead: c.kind == broker.Dead, message: m, raw: d},
	}
	if c.kind == broker.Dead {
		out.Reason, out.At = death(&d)
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	s.b.held(s.queue, 1)
	return out
}

// forget takes one from the count.
func (s *settlements) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done && s.open > 0 {
		s.open--
		s.b.held(s.queue, -1)
	}
}

// keep says that what is open can still be settled, until the channel ends.
func (s *settlements) keep() {
	closed := s.ch.NotifyClose(make(chan *amqp.Error, 1))
	go func() {
		<-closed
		s.end()
	}()
}

// over is called when the loop leaves a channel; what can still be settled is ended by keep.
func (s *settlements) over() {
	if s.ch.IsClosed() {
		s.end()
	}
}

func (s *settlements) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.done = true
		s.b.held(s.queue, -s.open)
	}
}

func (b *Broker) held(queue string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsettled[queue] += n
}

// settler settles one delivery on the channel that it came from; when that is closed, it does nothing, for the message comes again.
type settler struct {
	*settlements
	tag     uint64
	service string
	dead    bool
	message events.Message
	raw     amqp.Delivery
}

// Ack says that the message was handled.
func (s *settler) Ack() error {
	s.forget()
	return stale(s.ch.Ack(s.tag, false))
}

// Release puts it back.
func (s *settler) Release() error {
	s.forget()
	return stale(s.ch.Nack(s.tag, false, true))
}

// rejectTimeout is how long the broker may take to store a dead letter.
const rejectTimeout = 10 * time.Second

// Reject moves it to the dead queue with its reason, and only then takes it from where it was.
func (s *settler) Reject(reason string) error {
	if s.dead || s.ch.IsClosed() {
		return s.Release()
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, rejectTimeout)
	defer cancel()
	m := amqp.Publishing{
		Headers: amqp.Table{}, ContentType: s.raw.ContentType, DeliveryMode: amqp.Persistent, MessageId: s.raw.MessageId, Type: s.raw.Type,
		CorrelationId: s.raw.CorrelationId, Body: s.raw.Body,
	}
	for name, value := range s.raw.Headers {
		if name != "x-delivery-count" && name != "x-acquired-count" {
			m.Headers[name] = value
		}
	}
	m.Headers[reasonHeader] = reason
	m.Headers[diedHeader] = time.Now().UTC().Format(time.RFC3339Nano)
	confirmed := make(chan error, 1)
	err := s.b.to(ctx, deadExchange, s.service, m, func(err error) { confirmed <- err })
	if err == nil {
		select {
		case err = <-confirmed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return errors.Join(err, s.Release())
	}
	return s.Ack()
}

// stale makes nothing of an error that says that the session is over.
func stale(err error) error {
	if errors.Is(err, amqp.ErrClosed) {
		return nil
	}
	return err
}
