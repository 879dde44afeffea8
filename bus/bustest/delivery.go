package bustest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/store"
)

func panics(w *environment, newStore NewStore) {
	var runs, late atomic.Int64
	s := w.service(newStore, func(s *service) {
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, m happened) error {
			if runs.Add(1) <= 7 {
				panic("boom")
			}
			tx.Once("late", func(context.Context, *store.Tx) error { // outside the handler, before the commit
				if late.Add(1) <= 7 {
					panic("late boom")
				}
				return nil
			})
			return note(ctx, tx, "h", m.PortfolioID, m.Version)
		}, bus.Name("h"))
	})
	w.declare(s)
	s.relay()
	s.run()
	w.publish(message("x", 1), message("x", 2))
	w.eventually("both took effect", func() bool { return len(s.effects("h", "x")) == 2 })
	assert.Equal(w.t, []int64{1, 2}, s.effects("h", "x"))
	assert.Equal(w.t, map[string][]int{"h/x": {1, 2}}, s.emitted(2))
}

func undecodable(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(never))
	w.declare(s)
	s.run()
	bad := raw(happened{}.Topic(), "x", []byte(`{"version":"seven"}`))
	w.publish(message("x", 1), bad, message("x", 2))
	w.eventually("the others took effect", func() bool { return len(s.effects("h", "x")) == 2 })
	w.eventually("the dead letter is listed", func() bool { return len(s.letters(store.Dead)) == 1 })
	m := s.letters(store.Dead)[0]
	assert.Equal(w.t, "h", m.Handler)
	assert.Equal(w.t, bad.ID, m.Message.ID)
	assert.Equal(w.t, string(bad.Data), string(m.Message.Data))
	assert.Contains(w.t, m.LastError, "the data is not a returns.portfolio_updated")
	s.empty(broker.Events)
	s.empty(broker.Dead)

	// Corrected by an operator, it is handled.
	require.NoError(w.t, s.db.Revive(w.t.Context(), m.ID, []byte(`{"portfolio_id":"x","version":7}`)))
	w.eventually("the corrected message took effect", func() bool { return len(s.effects("h", "x")) == 3 })
	assert.Equal(w.t, []int64{1, 2, 7}, s.effects("h", "x"))
	w.eventually("nothing is dead", func() bool { return len(s.letters("")) == 0 })
}

func unhandled(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(never))
	w.declare(s)
	old := &service{environment: w, name: s.name, dispatcher: dispatcher(s.name)}
	simple(never)(old)
	bus.Handle(old.dispatcher, func(context.Context, *store.Tx, noted) error { return nil })
	w.declare(old) // the queue is still bound to a topic without a handler
	s.run()
	w.publish(raw(noted{}.Topic(), "x", []byte(`{}`)), message("x", 1))
	w.eventually("the other took effect", func() bool { return len(s.effects("h", "x")) == 1 })
	s.empty(broker.Events)
	assert.Empty(w.t, s.letters(""))
}

func duplicates(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(never))
	w.declare(s)
	s.relay()
	m := message("x", 1)
	w.publish(m, m, message("x", 2), m) // in one batch
	s.run()
	w.eventually("both took effect", func() bool { return len(s.effects("h", "x")) == 2 })
	w.publish(m, message("x", 3)) // and in a later one
	w.eventually("the third took effect", func() bool { return len(s.effects("h", "x")) == 3 })
	s.empty(broker.Events)
	assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", "x"))
	assert.Equal(w.t, map[string][]int{"h/x": {1, 2, 3}}, s.emitted(3))
}

// ackless is a broker that drops acks, as if the process had ended before it sent them.
type ackless struct {
	broker.Broker
	dropped atomic.Int64
}

func (d *ackless) Subscribe(ctx context.Context, service string, q broker.Queue,
	prefetch int) (broker.Consumer, error) {
	c, err := d.Broker.Subscribe(ctx, service, q, prefetch)
	if err != nil {
		return nil, err
	}
	out := make(chan broker.Delivery)
	stopped := make(chan struct{})
	go func() {
		defer close(out)
		for delivery := range c.Deliveries() {
			delivery.Settler = acklessSettler{delivery.Settler, &d.dropped}
			select {
			case out <- delivery:
			case <-stopped:
			}
		}
	}()
	return &acklessConsumer{Consumer: c, out: out, stopped: stopped}, nil
}

type acklessConsumer struct {
	broker.Consumer
	out     chan broker.Delivery
	stopped chan struct{}
}

func (c *acklessConsumer) Deliveries() <-chan broker.Delivery { return c.out }

func (c *acklessConsumer) Stop(ctx context.Context) error {
	close(c.stopped)
	return c.Consumer.Stop(ctx)
}

type acklessSettler struct {
	broker.Settler
	dropped *atomic.Int64
}

func (m acklessSettler) Ack() error {
	m.dropped.Add(1)
	return nil
}

func lostAcks(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(never))
	w.declare(s)
	s.relay()
	const subjects, versions = 20, 3
	want := map[string][]int{}
	var out []broker.Outgoing
	for v := range versions {
		for i := range subjects {
			subject := fmt.Sprintf("s%d", i)
			out = append(out, broker.Outgoing{Message: message(subject, int64(v+1))})
			want["h/"+subject] = append(want["h/"+subject], v+1)
		}
	}
	first := &ackless{Broker: w.broker}
	r := s.run(first)
	for v := range versions { // confirmed in order of the subject
		w.send(out[v*subjects : (v+1)*subjects]...)
	}
	w.eventually("everything is committed", func() bool { return s.count("h") == subjects*versions })
	w.eventually("every ack was dropped", func() bool { return first.dropped.Load() == subjects*versions })
	r.stop()
	s.run()
	s.empty(broker.Events)
	assert.Equal(w.t, subjects*versions, s.count("h"))
	for i := range subjects {
		assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", fmt.Sprintf("s%d", i)))
	}
	assert.Equal(w.t, want, s.emitted(subjects*versions))
}

// stopWatcher is a broker that reports when a subscription is stopped.
type stopWatcher struct {
	broker.Broker
	stopping chan struct{}
}

func (b *stopWatcher) Subscribe(ctx context.Context, service string, q broker.Queue,
	prefetch int) (broker.Consumer, error) {
	c, err := b.Broker.Subscribe(ctx, service, q, prefetch)
	return &stopWatcherConsumer{c, b.stopping}, err
}

type stopWatcherConsumer struct {
	broker.Consumer
	stopping chan struct{}
}

func (c *stopWatcherConsumer) Stop(ctx context.Context) error {
	defer func() { c.stopping <- struct{}{} }()
	return c.Consumer.Stop(ctx)
}

func drains(w *environment, newStore NewStore) {
	started, open := make(chan struct{}, 1), make(chan struct{})
	s := w.service(newStore, simple(func(m happened) error {
		if m.PortfolioID == "slow" {
			select {
			case started <- struct{}{}:
			default:
			}
			<-open
		}
		return nil
	}))
	s.options.Batch, s.options.Lanes = 1, 1
	w.declare(s)
	s.relay()
	w.publish(message("slow", 1))
	watcher := &stopWatcher{Broker: w.broker, stopping: make(chan struct{}, 3)}
	r := s.run(watcher)
	<-started
	w.publish(message("later", 1), message("later", 2))
	stopped := make(chan struct{})
	go func() {
		r.stop()
		close(stopped)
	}()
	for range cap(watcher.stopping) {
		<-watcher.stopping
	}
	select {
	case <-r.done:
		w.t.Fatal("it did not wait for the running handler")
	default:
	}
	close(open)
	<-stopped
	require.NoError(w.t, r.err)
	assert.Equal(w.t, []int64{1}, s.effects("h", "slow"))
	assert.Empty(w.t, s.effects("h", "later"))

	s.run()
	w.eventually("the rest took effect", func() bool { return len(s.effects("h", "later")) == 2 })
	s.empty(broker.Events)
	assert.Equal(w.t, []int64{1}, s.effects("h", "slow"))
	assert.Equal(w.t, map[string][]int{"h/slow": {1}, "h/later": {1, 2}}, s.emitted(3))
}
