package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/internal/backoff"
)

// logCredit is the number of entries in flight. An ack on a stream is only credit, so a quarter of it is returned at
// a time.
const logCredit = 256

// emptyAfter is how long LogBounds waits for the first entry of a log whose message count is 0 before it reports it
// as empty.
const emptyAfter = 2 * time.Second

// proveWithin limits the wait for the last read entry after a reader was attached again.
const proveWithin = 10 * time.Second

// reader reads the log, over one channel after another.
type reader struct {
	b           *Broker
	since       time.Time // when the reader began
	end         bool      // started at the end and has read nothing yet
	attachFirst bool      // it was, once
	next        uint64
	last        broker.LogEntry // last delivered entry, without its data; none if its id is empty
	out         chan broker.LogEntry
}

// errOtherLog ends a reader: the log is gone, or was replaced.
var errOtherLog = errors.New("the log was replaced")

// Log implements broker.Broker. A position is an offset of the stream. When Log returns, the reader is attached.
// After the reader is attached again, it requires the last read entry once more, as proof of the same stream.
func (b *Broker) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	r := &reader{b: b, since: time.Now(), end: from == broker.LogEnd, next: from, out: make(chan broker.LogEntry)}
	first, err := attachFirst(ctx, b, b.names.log(), r.attach)
	if err != nil {
		return nil, err
	}
	if !b.start(func() { r.run(ctx, first) }) {
		return nil, broker.ErrClosed
	}
	return r.out, nil
}

type tail struct {
	ch *amqp.Channel
	in <-chan amqp.Delivery
}

func (r *reader) attach(conn *connection) (*tail, error) {
	var offset any = int64(min(r.next, math.MaxInt64))
	switch {
	case r.last.ID != "":
		offset = int64(min(r.last.Position, math.MaxInt64))
	case r.end && r.attachFirst:
		offset = r.since // entries during a lost connection are new, too
	case r.end:
		offset = "next"
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	t := &tail{ch: ch}
	err = ch.Qos(logCredit, 0, false)
	if err == nil {
		t.in, err = ch.Consume(r.b.names.log(), "", false, false, false, false, amqp.Table{"x-stream-offset": offset})
	}
	if err != nil {
		_ = ch.Close() // it is closed already, as a rule by the error
		return nil, fmt.Errorf("read %s: %w", r.b.names.log(), err)
	}
	r.attachFirst = true
	return t, nil
}

func (r *reader) run(ctx context.Context, t *tail) {
	defer close(r.out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.b.life, cancel)()
	pause := backoff.Backoff{Base: backoffBase, Max: r.b.cfg.MaxBackoff}
	for again := false; ; again = true {
		began := time.Now()
		if err := r.read(ctx, t, again && r.last.ID != ""); errors.Is(err, errOtherLog) {
			r.b.log.Warn("a reader of the log ends", "position", r.next, "error", err)
			return
		}
		if time.Since(began) > r.b.cfg.MaxBackoff {
			pause.Reset()
		}
		lastError := ""
		for t = nil; t == nil; {
			if !pause.Sleep(ctx) {
				return
			}
			conn, err := r.b.in.get(ctx)
			if err != nil {
				continue
			}
			t, err = r.attach(conn)
			if noReplica(err) && r.b.in.switchNode(conn) {
				continue
			}
			if f := queueFault(r.b.names.log(), err); f != nil && f.Code != "queue_inaccessible" {
				r.b.log.Warn("a reader of the log ends", "position", r.next, "error", f)
				return
			}
			if err != nil && err.Error() != lastError {
				lastError = err.Error()
				r.b.log.Warn("cannot read the log, retrying", "error", err)
			}
		}
	}
}

// read delivers entries until the channel or ctx ends. With prove, the first entry must be the last delivered one.
func (r *reader) read(ctx context.Context, t *tail, prove bool) error {
	defer func() { _ = t.ch.Close() }()
	late := time.NewTimer(proveWithin)
	defer late.Stop()
	if !prove {
		late.Stop()
	}
	unacked := 0
	for {
		select {
		case d, open := <-t.in:
			if !open {
				return nil
			}
			if unacked++; unacked == logCredit/4 {
				if unacked = 0; t.ch.Ack(d.DeliveryTag, true) != nil {
					return nil
				}
			}
			if prove {
				proven, err := r.proves(&d)
				if err != nil {
					return err
				}
				if prove = !proven; proven {
					late.Stop()
				}
				continue
			}
			if !r.handOut(ctx, &d) {
				return nil
			}
		case <-late.C:
			return fmt.Errorf("%w: it ends before position %d", errOtherLog, r.last.Position)
		case <-ctx.Done():
			return nil
		}
	}
}

// proves reports whether a delivery is the last delivered entry; an error reports another entry at its position.
func (r *reader) proves(d *amqp.Delivery) (bool, error) {
	offset, ok := integer(d.Headers["x-stream-offset"])
	switch {
	case !ok || offset < 0 || uint64(offset) < r.last.Position: // a stream is read from the start of a chunk
		return false, nil
	case uint64(offset) > r.last.Position:
		return false, fmt.Errorf("%w: position %d is gone", errOtherLog, r.last.Position)
	}
	if m, err := decode(d); err != nil || m.ID != r.last.ID {
		return false, fmt.Errorf("%w: another event stands at position %d", errOtherLog, r.last.Position)
	}
	return true, nil
}

func (r *reader) handOut(ctx context.Context, d *amqp.Delivery) bool {
	offset, ok := integer(d.Headers["x-stream-offset"])
	if !ok || offset < 0 || !r.end && uint64(offset) < r.next {
		return true // a stream is read from the start of a chunk
	}
	r.end, r.next = false, uint64(offset)+1
	m, err := r.b.read(d)
	if err != nil {
		r.b.log.Warn("skipping an undecodable entry of the log", "position", offset, "error", err)
		return true
	}
	select {
	case r.out <- broker.LogEntry{Position: uint64(offset), Message: m}:
		r.last = broker.LogEntry{Position: uint64(offset)}
		r.last.ID = m.ID
		return true
	case <-ctx.Done():
		return false
	}
}

// LogBounds implements broker.Broker. The recent entry is of the last chunk of the stream; the protocol does not
// report the end.
func (b *Broker) LogBounds(ctx context.Context) (broker.LogBounds, error) {
	return attachFirst(ctx, b, b.names.log(), func(conn *connection) (broker.LogBounds, error) {
		bounds := broker.LogBounds{}
		ch, err := conn.Channel()
		if err != nil {
			return bounds, fmt.Errorf("open a channel: %w", err)
		}
		state, err := ch.QueueDeclarePassive(b.names.log(), true, false, false, false, nil)
		_ = ch.Close() // closed by an error already
		if err != nil {
			return bounds, fmt.Errorf("inspect %s: %w", b.names.log(), err)
		}
		begin := ctx
		if state.Messages == 0 { // the count is seconds old
			var cancel context.CancelFunc
			begin, cancel = context.WithTimeout(ctx, emptyAfter)
			defer cancel()
		}
		first, err := b.peek(begin, conn, "first")
		if ctx.Err() == nil && begin.Err() != nil {
			return broker.LogBounds{Empty: true}, nil
		}
		if err != nil {
			return bounds, err
		}
		bounds.First = first.Position
		bounds.Recent, err = b.peek(ctx, conn, "last")
		return bounds, err
	})
}

// peek reads one entry of the log.
func (b *Broker) peek(ctx context.Context, conn *connection, offset string) (broker.LogEntry, error) {
	r := &reader{b: b, end: true, out: make(chan broker.LogEntry, 1)}
	ch, err := conn.Channel()
	if err != nil {
		return broker.LogEntry{}, fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	var in <-chan amqp.Delivery
	if err = ch.Qos(logCredit, 0, false); err == nil {
		in, err = ch.Consume(b.names.log(), "", false, false, false, false, amqp.Table{"x-stream-offset": offset})
	}
	if err != nil {
		return broker.LogEntry{}, fmt.Errorf("read %s: %w", b.names.log(), err)
	}
	for {
		select {
		case d, open := <-in:
			if !open {
				return broker.LogEntry{}, fmt.Errorf("read %s: %w", b.names.log(), broker.ErrUnknown)
			}
			if !r.handOut(ctx, &d) {
				return broker.LogEntry{}, context.Cause(ctx)
			}
			select {
			case e := <-r.out:
				return e, nil
			default: // undecodable
			}
		case <-ctx.Done():
			return broker.LogEntry{}, context.Cause(ctx)
		}
	}
}
