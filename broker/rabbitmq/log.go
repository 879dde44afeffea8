package rabbitmq

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
)

// logPrefetch is how many entries of the log are on their way to a reader.
const logPrefetch = 500

// Log reads the stream of all events; a position is an offset of the stream. A reader that loses its connection goes on after the last entry that
// it handed out.
func (b *Broker) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	if b.ctx.Err() != nil {
		return nil, broker.ErrClosed
	}
	r := &logReader{b: b, next: from, live: from == broker.LogEnd, out: make(chan broker.LogEntry)}
	ch, deliveries, err := r.begin(ctx)
	if err != nil {
		if errors.Is(err, broker.ErrClosed) {
			return nil, err
		}
		return nil, missing(logStream, err)
	}
	b.tasks.Go(func() { r.run(ctx, ch, deliveries) })
	return r.out, nil
}

type logReader struct {
	b    *Broker
	next uint64
	live bool // nothing was read yet: begin with what comes
	out  chan broker.LogEntry
}

func (r *logReader) begin(ctx context.Context) (*amqp.Channel, <-chan amqp.Delivery, error) {
	s, err := r.b.consume.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, nil, err
	}
	var offset any = int64(r.next) //nolint:gosec // offsets are below 2^63
	if r.live {
		offset = "next"
	} else if r.next == 0 {
		offset = "first"
	}
	err = ch.Qos(logPrefetch, 0, false)
	var deliveries <-chan amqp.Delivery
	if err == nil {
		deliveries, err = ch.Consume(logStream, "", false, false, false, false, amqp.Table{"x-stream-offset": offset})
	}
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	return ch, deliveries, nil
}

func (r *logReader) run(ctx context.Context, ch *amqp.Channel, deliveries <-chan amqp.Delivery) {
	defer close(r.out)
	for {
		over := r.read(ctx, deliveries)
		_ = ch.Close()
		for range deliveries { // until the library has closed it
			continue
		}
		for !over {
			var err error
			if ch, deliveries, err = r.begin(ctx); err == nil {
				break
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			case <-r.b.ctx.Done():
				return
			}
		}
		if over {
			return
		}
	}
}

// read hands out entries of one session; true means that the reader is to end.
func (r *logReader) read(ctx context.Context, deliveries <-chan amqp.Delivery) bool {
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return ctx.Err() != nil || r.b.ctx.Err() != nil
			}
			offset, _ := d.Headers["x-stream-offset"].(int64)
			position := uint64(offset) //nolint:gosec // offsets are not negative
			if r.live || position >= r.next {
				m, _ := message(&d) // what cannot be read is shown as it is
				select {
				case r.out <- broker.LogEntry{Position: position, Message: m}:
				case <-ctx.Done():
					return true
				case <-r.b.ctx.Done():
					return true
				}
				r.live, r.next = false, position+1
			}
			_ = d.Ack(false)
		case <-ctx.Done():
			return true
		case <-r.b.ctx.Done():
			return true
		}
	}
}
