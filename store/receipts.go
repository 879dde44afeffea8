package store

import (
	"slices"

	"stega/events"
)

// What follows from an operation is accounted for by membership: each unit of work publishes, with its effect, a
// receipt of the messages that were handled in it and of those that they caused. A position would not do: it is how
// far something was read, not what was committed.

// maxReceipts and maxCaused bound the items of one receipt and the messages that one item names, so that it stays far
// below maxMessage.
const (
	maxReceipts = 256
	maxCaused   = 1024
)

// Receipts accounts, in one unit of work, for the messages that are handled in it.
type Receipts struct {
	tx      *Tx
	items   []events.Receipt
	emitted map[string][]events.Emitted // by the message that caused them
}

// ReceiptsOf returns the receipts of a unit of work.
func ReceiptsOf(tx *Tx) *Receipts { return &tx.receipts }

// Add records what became of a message in this unit. The receipt is published with the unit, together with what the
// message caused.
func (r *Receipts) Add(receipt events.Receipt) {
	if events.IsInternal(receipt.Topic) || receipt.Message == "" {
		return
	}
	receipt.At = r.tx.now
	r.items = append(r.items, receipt)
}

// caused records an emission for the messages that it comes from.
func (r *Receipts) caused(m *emission) {
	if events.IsInternal(m.Type) {
		return
	}
	if r.emitted == nil {
		r.emitted = map[string][]events.Emitted{}
	}
	e := events.Emitted{ID: m.ID, Topic: m.Type, Subject: m.Subject, Service: m.service}
	r.emitted[r.tx.cause.ID] = append(r.emitted[r.tx.cause.ID], e)
	for _, cause := range r.tx.beside {
		if e.Operation = ""; cause.Correlation != m.Correlation {
			e.Operation = m.Correlation
		}
		r.emitted[cause.ID] = append(r.emitted[cause.ID], e)
	}
}

// emit publishes the states of operations and the receipts of the unit.
func (r *Receipts) emit() error {
	tx := r.tx
	states, items := tx.operations.states, r.items
	tx.operations.states, r.items = nil, nil
	for _, s := range states {
		tx.SetCause(events.Envelope{ID: s.ID, Correlation: s.ID})
		var caused []events.Emitted
		if s.FinishedAt != nil || s.deferred {
			caused = r.emitted[s.ID]
			delete(r.emitted, s.ID)
		}
		s.Emitted, caused = cut(append(s.Emitted, caused...))
		s.Omitted = len(caused)
		if err := tx.Emit(s.event()); err != nil {
			return err
		}
		items = append(items, further(events.Receipt{Message: s.ID, Topic: s.Command, Operation: s.ID, At: tx.now},
			caused)...)
	}
	return r.send(items)
}

// send emits receipts, as many in one message as it may have.
func (r *Receipts) send(items []events.Receipt) error {
	r.tx.SetCause(events.Envelope{})
	var rest []events.Receipt
	for i := range items {
		item := &items[i]
		var more []events.Emitted
		item.Emitted, more = cut(append(item.Emitted, r.emitted[item.Message]...))
		delete(r.emitted, item.Message) // of a message with several handlers, the first receipt lists them
		item.Omitted = len(more)
		rest = append(rest, further(*item, more)...)
	}
	items = append(items, rest...)
	for len(items) > 0 {
		n, caused := 0, 0
		for n < len(items) && n < maxReceipts && (n == 0 || caused+len(items[n].Emitted) <= maxCaused) {
			caused += len(items[n].Emitted)
			n++
		}
		if err := r.tx.Emit(events.Handled{Service: r.tx.db.service, Items: slices.Clone(items[:n])}); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

func cut(all []events.Emitted) (first, rest []events.Emitted) {
	if len(all) <= maxCaused {
		return all, nil
	}
	return all[:maxCaused], all[maxCaused:]
}

// further returns receipts of their own for what a message caused beyond its first receipt.
func further(of events.Receipt, caused []events.Emitted) (receipts []events.Receipt) {
	for chunk := range slices.Chunk(caused, maxCaused) {
		r := of
		r.State, r.Emitted, r.Omitted, r.Error = events.ReceiptCaused, chunk, 0, ""
		receipts = append(receipts, r)
	}
	return receipts
}

// state is an operation as a unit publishes it.
type state struct {
	events.OperationState
	deferred bool // it was only accepted
}

func (s state) event() events.Typed {
	if s.FinishedAt != nil {
		return events.OperationResolved{OperationState: s.OperationState}
	}
	return events.OperationAccepted{OperationState: s.OperationState}
}
