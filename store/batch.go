package store

import (
	"context"
	"slices"

	"stega/events"
)

// batch is what the messages of one unit of work share.
type batch struct {
	once      map[string]*deed
	last      []func(ctx context.Context) error // what Once has put off
	collected map[string]any                    // the items of Collect, by key
	shared    map[string]any                    // the values of Shared, by key
	expected  []any                             // the messages that the unit handles
}

// finish runs what was put off.
func (b *batch) finish(ctx context.Context) error {
	for len(b.last) > 0 {
		fn := b.last[0]
		b.last = b.last[1:]
		if err := fn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Once runs fn before the commit, once for each key however often it is called in this unit: for work that several
// messages of a batch make due together. What fn emits comes from all of them; the envelope names the first.
func (t *Tx) Once(key string, fn func(ctx context.Context, tx *Tx) error) {
	if d := t.batch.once[key]; d != nil {
		d.join(append(slices.Clone(t.beside), t.cause))
		return
	}
	if t.batch.once == nil {
		t.batch.once = map[string]*deed{}
	}
	d := &deed{cause: t.cause, beside: slices.Clone(t.beside)}
	t.batch.once[key] = d
	t.batch.last = append(t.batch.last, func(ctx context.Context) error {
		delete(t.batch.once, key)
		t.SetCause(d.cause)
		t.beside = d.beside
		defer func() { t.beside = nil }()
		return fn(ctx, t)
	})
}

// Collect is Once with items: fn gets those of all calls with this key in this unit, in order. A key has one type of
// item.
func Collect[T any](t *Tx, key string, item T, fn func(ctx context.Context, tx *Tx, items []T) error) {
	if t.batch.collected == nil {
		t.batch.collected = map[string]any{}
	}
	items, ok := t.batch.collected[key].(*[]T)
	if !ok {
		items = new([]T)
		t.batch.collected[key] = items
	}
	*items = append(*items, item)
	t.Once(key, func(ctx context.Context, tx *Tx) error {
		delete(t.batch.collected, key)
		return fn(ctx, tx, *items)
	})
}

// Expect records which messages this unit handles, so that the first handler that reads may read for all of them.
func (in *Inbox) Expect(messages []any) { in.tx.batch.expected = messages }

// Expected returns the messages of one type that this unit handles, as far as is known.
func Expected[M any](t *Tx) (all []M) {
	for _, m := range t.batch.expected {
		if m, ok := m.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

// Shared returns a value of this unit that several handlers use. The first call makes it; a key has one type.
func Shared[V any](t *Tx, key string, make func() (V, error)) (V, error) {
	if v, ok := t.batch.shared[key].(V); ok {
		return v, nil
	}
	v, err := make()
	if err == nil {
		if t.batch.shared == nil {
			t.batch.shared = map[string]any{}
		}
		t.batch.shared[key] = v
	}
	return v, err
}

// deed is a function that Once has put off, with the messages that made it due.
type deed struct {
	cause  events.Envelope
	beside []events.Envelope
}

func (d *deed) join(causes []events.Envelope) {
	for _, c := range causes {
		if c.ID != d.cause.ID && !slices.ContainsFunc(d.beside, func(o events.Envelope) bool { return o.ID == c.ID }) {
			d.beside = append(d.beside, c)
		}
	}
}
