package bus

import (
	"context"
	"slices"

	"stega/events"
	"stega/store"
)

// A message can come to its handler after a later one of its subject: it was dead on the broker while that one was
// handled, or was lost from the queue and is taken from the log. Where dead messages hold their subject, messages are
// changes that belong in order, and the older one would overwrite the newer. So it is not handled: the owner of the
// subject is requested to replay it, and the replay replaces what is there.

// overtaken reports whether a handler has handled a later message of the subject, and then requests the replay.
func (l *loop) overtaken(ctx context.Context, tx *store.Tx, r *Route, e events.Envelope) (bool, error) {
	if !r.Hold {
		return false, nil
	}
	overtaken, err := store.InboxOf(tx).Overtaken(ctx, r.Handler, e)
	if err != nil || !overtaken {
		return false, err
	}
	l.log.Info("a later message of the subject was handled before this one: the subject is replayed in its place",
		"handler", r.Handler, "topic", e.Type, "message", e.ID, "subject", e.Subject)
	tx.SetCause(e)
	store.Collect(tx, "replay "+r.Topic, e.Subject, func(_ context.Context, tx *store.Tx, subjects []string) error {
		slices.Sort(subjects)
		return tx.Emit(events.ReplayRequested{
			Service: l.service,
			Topics:  []string{r.Topic},
			Keys:    slices.Compact(subjects),
		})
	})
	return true, nil
}

// handled notes in the unit of work of a message that a handler has handled it.
func (l *loop) handled(tx *store.Tx, r *Route, e events.Envelope) {
	if r.Hold {
		store.InboxOf(tx).HandledSequence(r.Handler, e)
	}
	store.ReceiptsOf(tx).Add(l.d.receipt(e, r.Handler, events.ReceiptHandled))
}
