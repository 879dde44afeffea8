package store

import (
	"slices"

	"stega/events"
)

// What follows from an operation is accounted for by membership: each unit of work publishes, with its effect, a
// receipt of the messages that were handled in it and of those that they caused. Nothing else would do: a position
// says only how far something was read, not what was committed.

// maxReceipts and maxCaused bound the items of one receipt and the messages that one item names, so that it stays far
// below maxMessage.
const (
	maxReceipts = 256
	maxCaused   = 1024
)

// Receipt notes what became of a message in this unit; it goes out with the unit, together with what the message
// caused. The bus says it.
func (t *Tx) Receipt(r events.Receipt) {
	if events.IsInternal(r.Topic) || r.Message == "" {
		return
	}
	r.At = t.now
	t.receipts = append(t.receipts, r)
}

// caused notes an emission for the messages that it comes from.
func (t *Tx) caused(m *emission) {
	if events.IsInternal(m.Type) {
		return
	}
	if t.children == nil {
		t.children = map[string][]events.Emitted{}
	}
	e := events.Emitted{ID: m.ID, Topic: m.Type, Subject: m.Subject, Service: m.service}
	t.children[t.cause.ID] = append(t.children[t.cause.ID], e)
	for _, cause := range t.beside {
		if e.Operation = ""; cause.Correlation != m.Correlation {
			e.Operation = m.Correlation
		}
		t.children[cause.ID] = append(t.children[cause.ID], e)
	}
}

// account emits what the unit says of operations and of the messages handled in it.
func (t *Tx) account() error {
	states, receipts := t.states, t.receipts
	t.states, t.receipts = nil, nil
	for _, s := range states {
		t.Because(events.Envelope{ID: s.ID, Correlation: s.ID})
		var caused []events.Emitted
		if s.FinishedAt != nil || s.deferred {
			caused = t.children[s.ID]
			delete(t.children, s.ID)
		}
		s.Emitted, caused = cut(append(s.Emitted, caused...))
		s.Untold = len(caused)
		if err := t.Emit(s.event()); err != nil {
			return err
		}
		receipts = append(receipts, told(events.Receipt{Message: s.ID, Topic: s.Command, Operation: s.ID, At: t.now}, caused)...)
	}
	return t.hand(receipts)
}

// hand emits receipts, as many in one message as it may have.
func (t *Tx) hand(receipts []events.Receipt) error {
	t.Because(events.Envelope{})
	var rest []events.Receipt
	for i := range receipts {
		r := &receipts[i]
		var more []events.Emitted
		r.Emitted, more = cut(append(r.Emitted, t.children[r.Message]...))
		delete(t.children, r.Message) // a message with several handlers says it once
		r.Untold = len(more)
		rest = append(rest, told(*r, more)...)
	}
	receipts = append(receipts, rest...)
	for len(receipts) > 0 {
		n, caused := 0, 0
		for n < len(receipts) && n < maxReceipts && (n == 0 || caused+len(receipts[n].Emitted) <= maxCaused) {
			caused += len(receipts[n].Emitted)
			n++
		}
		if err := t.Emit(events.Handled{Service: t.db.service, Items: slices.Clone(receipts[:n])}); err != nil {
			return err
		}
		receipts = receipts[n:]
	}
	return nil
}

func cut(all []events.Emitted) (first, rest []events.Emitted) {
	if len(all) <= maxCaused {
		return all, nil
	}
	return all[:maxCaused], all[maxCaused:]
}

// told says the rest of what a message caused, in receipts of their own.
func told(of events.Receipt, caused []events.Emitted) (receipts []events.Receipt) {
	for chunk := range slices.Chunk(caused, maxCaused) {
		r := of
		r.State, r.Emitted, r.Untold, r.Error = events.ReceiptCaused, chunk, 0, ""
		receipts = append(receipts, r)
	}
	return receipts
}

// state is what a unit says of an operation.
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
