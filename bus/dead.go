package bus

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"stega/broker"
	"stega/fault"
	"stega/store"
)

// deadPrefetch is how many messages of the dead queue are taken at a time.
const deadPrefetch = 16

// deadFirst is how long a consumer that begins waits for the dead queue to be empty before it takes events.
const deadFirst = 5 * time.Second

// collected is the handler of inbox rows for messages of the dead queue.
const collected = "dead"

// dead brings what ends up on the service's dead queue into its database, where operators see all dead messages in
// one place.
func (l *loop) dead(ctx context.Context, deliveries <-chan broker.Delivery) {
	o := &outage{loop: l, worker: "dead letters"}
	for d := range deliveries {
		if l.isDraining() || l.storeDead(ctx, o, d) != nil {
			l.logSettling(d.Release())
			continue
		}
		l.logSettling(d.Ack())
	}
}

// deadLetter returns a message of the dead queue as it is stored. An id that cannot be stored is replaced by a hash
// of the message. A type or subject that cannot be stored is quoted.
func deadLetter(d broker.Delivery) store.ParkedMessage {
	m := store.ParkedMessage{
		Message: d.Message, State: store.Dead, Attempts: d.Attempts, LastError: text(errors.New(d.Reason)),
		Cause: shape(d.Reason), DiedAt: d.At,
	}
	if d.Err != nil && d.Reason == "" {
		m.LastError = text(d.Err)
		m.Cause = shape(m.LastError)
	}
	if id := m.Message.ID; id == "" || !printable(id) || len(id) > maxName {
		sum := sha256.Sum256(append([]byte(id+"\x00"+d.Reason+"\x00"+d.At.UTC().Format(time.RFC3339Nano)+"\x00"),
			d.Data...))
		m.Message.ID = uuid.NewHash(sha256.New(), uuid.Nil, sum[:], 8).String()
	}
	m.Message.Type = legible(m.Message.Type, maxName)
	m.Message.Subject = legible(m.Message.Subject, maxSubject)
	m.Message.Correlation = legible(m.Message.Correlation, maxName)
	m.Message.Causation = legible(m.Message.Causation, maxName)
	return m
}

// legible returns a text as it is if it can be stored, else a quoted form of its beginning.
func legible(s string, limit int) string {
	if printable(s) && len(s) <= limit {
		return s
	}
	return fmt.Sprintf("%.*q", limit/4, s)
}

// storeDead stores a dead letter: one for each handler of the topic that has not handled the message, so that it
// blocks later ones where the handler holds them; and one without a handler when there is none. It tries until that
// succeeds, or the consumer ends.
func (l *loop) storeDead(ctx context.Context, o *outage, d broker.Delivery) error {
	m := deadLetter(d)
	var stored []store.ParkedMessage
	err := o.insist(ctx, "store a dead letter", func(ctx context.Context, tx *store.Tx) error {
		stored = stored[:0]
		routes := l.d.events[m.Message.Type]
		if r := l.d.commands[m.Message.Type]; r != nil {
			routes = []*Route{r}
		}
		claims := []store.Claim{{MessageID: m.Message.ID, Handler: collected}}
		for _, r := range routes {
			claims = append(claims, store.Claim{MessageID: m.Message.ID, Handler: r.Handler})
		}
		isNew, err := store.InboxOf(tx).Claim(ctx, claims)
		if err != nil || !isNew[0] {
			return err
		}
		m.ParkedAt = tx.Now()
		if m.DiedAt.IsZero() {
			m.DiedAt = tx.Now()
		}
		for i, r := range routes {
			if isNew[i+1] {
				one := m
				one.Handler, one.Holds = r.Handler, r.Hold
				stored = append(stored, one)
			}
		}
		if len(routes) == 0 {
			stored = append(stored, m)
		}
		for _, one := range stored {
			if err := store.InboxOf(tx).Park(ctx, one); err != nil {
				return err
			}
			store.ReceiptsOf(tx).Add(l.d.parkedReceipt(one))
		}
		if l.d.commands[m.Message.Type] != nil {
			store.InboxOf(tx).CommandSettled(m.Message.ID)
		}
		if len(stored) == 0 { // it was handled
			return nil
		}
		return l.failOperation(ctx, tx, m)
	})
	if err != nil {
		return err
	}
	for _, one := range stored {
		l.report(one, errors.New(d.Reason))
	}
	return nil
}

// failOperation ends the operation of a job that never reached its handler.
func (l *loop) failOperation(ctx context.Context, tx *store.Tx, m store.ParkedMessage) error {
	if l.d.commands[m.Message.Type] == nil {
		return nil
	}
	op, err := operationOf(ctx, l.db, m.Message.Envelope)
	if err != nil || op == nil || op.Done() {
		return err
	}
	f := fault.New(fault.KindInternal, "undeliverable", "the command could not be handed to its handler").
		WithHint("look for this operation in the server's log").Because(errors.New(m.LastError))
	tx.SetCause(m.Message.Envelope)
	if err := store.OperationsOf(tx).Finish(ctx, op.ID, f); err != nil && !errors.Is(err, store.ErrOperationOver) {
		return fmt.Errorf("record the outcome: %w", err)
	}
	return nil
}
