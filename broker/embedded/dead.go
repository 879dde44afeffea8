package embedded

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stega/broker"
	"stega/events"
)

// What a dead letter says of itself, besides its envelope.
const (
	headerService  = "stega-service"
	headerReason   = "stega-reason"
	headerAt       = "stega-at" // unix microseconds
	headerAttempts = "stega-attempts"
	headerError    = "stega-error" // why the envelope could not be read
)

// deadLimit bounds one step on the stored dead letters; it takes far less than a millisecond.
const deadLimit = 5 * time.Second

// storeDead writes a dead letter to the disk.
func (b *Broker) storeDead(service string, it *item, reason string) (*item, error) {
	ctx, cancel := context.WithTimeout(b.ctx, deadLimit)
	defer cancel()
	letter := &item{
		message: it.message, size: it.size, attempts: it.attempts, copies: it.copies, err: it.err,
		reason: reason, at: b.now().UTC().Truncate(time.Microsecond),
	}
	header := encode(it.message)
	header.Set(headerService, escape(service))
	header.Set(headerReason, escape(reason))
	header.Set(headerAt, strconv.FormatInt(letter.at.UnixMicro(), 10))
	header.Set(headerAttempts, strconv.Itoa(it.attempts))
	if it.err != nil {
		header.Set(headerError, escape(it.err.Error()))
	}
	ack, err := b.srv.js.PublishMsg(ctx, &nats.Msg{Subject: deadStream, Header: header, Data: it.message.Data})
	if err != nil {
		if ctx.Err() != nil {
			b.srv.mute.Store(true)
		}
		return nil, fmt.Errorf("store the dead letter %s of %s: %w", it.message.ID, service, err)
	}
	letter.positions = []uint64{ack.Sequence}
	return letter, nil
}

// bury puts a stored dead letter on its queue. A message that is there already stays as it is, and answers for the
// new copy too. The lock is held.
func (b *Broker) bury(service string, letter *item) {
	q := b.queue(service, broker.Dead)
	if q.dead == nil {
		q.dead = map[string]*item{}
	}
	if first := q.dead[letter.message.ID]; first != nil {
		first.copies += letter.copies
		first.positions = append(first.positions, letter.positions...)
		return
	}
	q.dead[letter.message.ID] = letter
	q.load.add(letter.size)
	q.put(letter)
	q.serve()
}

// dig removes a dead letter from the disk, with the copies that come meanwhile. The lock is held before and after.
func (b *Broker) dig(q *queue, it *item) error {
	ctx, cancel := context.WithTimeout(b.ctx, deadLimit)
	defer cancel()
	for len(it.positions) > 0 {
		position := it.positions[0]
		b.mu.Unlock()
		err := b.srv.dead.DeleteMsg(ctx, position)
		if err != nil {
			if _, gone := b.srv.dead.GetMsg(ctx, position); errors.Is(gone, jetstream.ErrMsgNotFound) {
				err = nil
			}
		}
		b.mu.Lock()
		if err != nil {
			return fmt.Errorf("delete the dead letter %s: %w", it.message.ID, err)
		}
		it.positions = it.positions[1:]
	}
	delete(q.dead, it.message.ID)
	return nil
}

// loadDead reads the dead letters that an earlier run left.
func (b *Broker) loadDead(ctx context.Context) error {
	for from := uint64(1); ; {
		stored, err := b.srv.dead.GetMsg(ctx, from, jetstream.WithGetMsgSubject(deadStream))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		from = stored.Sequence + 1
		message, err := decode(stored.Header, stored.Data)
		letter := &item{message: &message, size: overhead + len(stored.Data), positions: []uint64{stored.Sequence}, err: err}
		letter.reason = unescape(stored.Header.Get(headerReason))
		letter.attempts, _ = strconv.Atoi(stored.Header.Get(headerAttempts)) // it is of use to nobody but readers
		letter.at = stored.Time
		if micros, err := strconv.ParseInt(stored.Header.Get(headerAt), 10, 64); err == nil {
			letter.at = time.UnixMicro(micros).UTC()
		}
		if why := stored.Header.Get(headerError); why != "" {
			letter.err = errors.New(unescape(why))
			letter.message = &events.Message{Envelope: message.Envelope, Data: stored.Data}
		}
		b.mu.Lock()
		b.bury(unescape(stored.Header.Get(headerService)), letter)
		b.mu.Unlock()
	}
}
