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

// collected is the name under which the inbox knows what came from the dead queue.
const collected = "dead"

// dead brings what ends up on the service's dead queue into its database, where operators see all dead messages in one place.
func (l *loop) dead(ctx context.Context, deliveries <-chan broker.Delivery) {
	o := &outage{loop: l, who: "dead letters"}
	for d := range deliveries {
		if l.isDraining() || l.bury(ctx, o, d) != nil {
			l.told(d.Release())
			continue
		}
		l.told(d.Ack())
	}
}

// bury stores a dead letter. It tries until that succeeds, or the consumer ends.
func (l *loop) bury(ctx context.Context, o *outage, d broker.Delivery) error {
	m := store.ParkedMessage{
		Message: d.Message, State: store.DeadNow, Attempts: d.Attempts, LastError: text(errors.New(d.Reason)), Cause: shape(d.Reason), DiedAt: d.At,
	}
	if d.Err != nil && d.Reason == "" {
		m.LastError = text(d.Err)
		m.Cause = shape(m.LastError)
	}
	if m.Message.ID == "" { // what has no id is known by what it is
		sum := sha256.Sum256(append([]byte(d.Reason+"\x00"+d.At.UTC().Format(time.RFC3339Nano)+"\x00"), d.Data...))
		m.Message.ID = uuid.NewHash(sha256.New(), uuid.Nil, sum[:], 8).String()
	}
	for {
		err := o.persist(ctx, func(ctx context.Context, tx *store.Tx) error {
			fresh, err := tx.Claim(ctx, []store.Claim{{MessageID: m.Message.ID, Handler: collected}})
			if err != nil || !fresh[0] {
				return err
			}
			m.ParkedAt = tx.Now()
			if m.DiedAt.IsZero() {
				m.DiedAt = tx.Now()
			}
			if err := tx.Park(ctx, m); err != nil {
				return err
			}
			tx.Receipt(l.d.parkedReceipt(m))
			return l.failOperation(ctx, tx, m)
		})
		if err == nil {
			l.report(m, errors.New(d.Reason))
			return nil
		}
		if errors.Is(err, errStopped) {
			return err
		}
		l.log.Error("a dead letter cannot be stored and stays on its queue", "message", m.Message.ID, "error", err)
		if !l.sleep(ctx, l.opts.ProbeMax) {
			return errStopped
		}
	}
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
	tx.Because(m.Message.Envelope)
	if err := tx.FinishOperation(ctx, op.ID, f); err != nil {
		return fmt.Errorf("record the outcome: %w", err)
	}
	return nil
}
