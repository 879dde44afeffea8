package embedded

import "slices"

// handled counts, for each message that was published since Open, the copies of it that are not settled. The lock of
// the broker guards it.
type handled struct {
	open map[string]int // by message id
	fns  []*func(string)
}

func (h *handled) add(id string, copies int) { h.open[id] += copies }

// settle subtracts settled copies, and reports whether they were the last.
func (h *handled) settle(id string, copies int) bool {
	if copies == 0 { // a dead letter of an earlier run, whose message has not come again
		return false
	}
	h.open[id] -= copies
	if h.open[id] > 0 {
		return false
	}
	delete(h.open, id)
	return true
}

// OnHandled calls fn with the id of each message that all its services have settled, after its publisher got the
// confirmation. A message that nobody subscribed to is handled once it is in the log. fn must not block; a
// call that is under way when stop is called still ends.
func (b *Broker) OnHandled(fn func(id string)) (stop func()) {
	entry := &fn
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handled.fns = append(slices.Clone(b.handled.fns), entry)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handled.fns = slices.DeleteFunc(slices.Clone(b.handled.fns), func(e *func(string)) bool { return e == entry })
	}
}

// confirmed settles the copy of each message that stood for its confirmation.
func (b *Broker) confirmed(group []*publication) {
	var ids []string
	b.mu.Lock()
	for _, p := range group {
		if p.err == nil && b.handled.settle(p.message.ID, 1) {
			ids = append(ids, p.message.ID)
		}
	}
	fns := b.handled.fns
	b.mu.Unlock()
	for _, id := range ids {
		call(fns, id)
	}
}

func call(fns []*func(string), id string) {
	for _, fn := range fns {
		(*fn)(id)
	}
}
