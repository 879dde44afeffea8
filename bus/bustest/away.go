package bustest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/events"
	"stega/store"
)

type readonly struct{}

func (readonly) service() string { return "readonly" + run }

// ReadOnly runs a consumer while its database refuses writes: all its messages wait, without counted attempts.
func ReadOnly(t *testing.T, b broker.Broker, newStore NewStore, readOnly func(on bool)) {
	w := newEnvironment(t, b)
	began, open := make(chan struct{}, 100), make(chan struct{})
	var healed atomic.Bool
	s := worker[readonly](w, newStore, func(s *service) {
		simple(func(m happened) error {
			if m.PortfolioID == "failing" && !healed.Load() {
				return errAway
			}
			return nil
		})(s)
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[readonly]) error {
			began <- struct{}{}
			<-open
			return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
		})
	})
	s.options.BreakAfter = 1000
	s.run()
	one, two := s.submit(chore[readonly]{"one", 1}), s.submit(chore[readonly]{"two", 1})
	w.publish(message("failing", 1))
	w.eventually("a message is parked", func() bool { return len(s.letters("")) == 1 })
	<-began
	readOnly(true)
	close(open)
	const subjects = 3 // too few for the detection of an outage by number
	for v := range int64(3) {
		for i := range subjects {
			w.publish(message(fmt.Sprintf("s%d", i), v+1))
		}
	}
	w.eventually("the consumer waits", func() bool { return strings.Contains(s.consumer.Paused(), "takes no writes") })
	before := s.letters("")
	over := time.NewTimer(2 * time.Second)
	defer over.Stop()
	for waiting := true; waiting; {
		select {
		case <-over.C:
			waiting = false
		default:
			require.Empty(t, s.letters(store.Dead), "no message is given up")
			n, err := b.Depth(t.Context(), s.name, broker.Dead)
			require.NoError(t, err)
			require.Zero(t, n, "nothing is rejected")
		}
	}
	assert.Equal(t, before[0].Attempts, s.letters("")[0].Attempts, "no attempt is counted")
	healed.Store(true)
	readOnly(false)
	assert.Equal(t, store.Succeeded, s.outcome(one).Status)
	assert.Equal(t, store.Succeeded, s.outcome(two).Status)
	want := map[string][]int{"chore/one": {1}, "chore/two": {1}, "h/failing": {1}}
	for i := range subjects {
		subject := fmt.Sprintf("s%d", i)
		want["h/"+subject] = []int{1, 2, 3}
		w.eventually("it took effect", func() bool { return len(s.effects("h", subject)) == 3 })
		assert.Equal(t, []int64{1, 2, 3}, s.effects("h", subject))
	}
	s.empty(broker.Events)
	s.empty(broker.Commands)
	s.eventually("nothing is left", func() bool { return len(s.letters("")) == 0 })
	s.eventually("it no longer waits", func() bool { return s.consumer.Paused() == "" })
	assert.Equal(t, want, s.emitted(3+3*subjects))
}

// rejectFirst takes the first n events of a service from its queue and rejects them, as the broker does after too
// many deliveries.
func (s *service) rejectFirst(n int, reason string) {
	s.t.Helper()
	c, err := s.broker.Subscribe(s.t.Context(), s.name, broker.Events, n)
	require.NoError(s.t, err)
	for range n {
		select {
		case d := <-c.Deliveries():
			require.NoError(s.t, d.Reject(reason))
		case <-time.After(patience):
			s.t.Fatal("nothing is delivered")
		}
	}
	require.NoError(s.t, c.Close())
}

// numbered returns a message with its sequence in its subject.
func numbered(subject string, version int64) events.Message {
	m := message(subject, version)
	m.Sequence = version
	return m
}

// deadQueueHolds moves messages to the dead queue before they reach a handler.
func deadQueueHolds(w *environment, newStore NewStore) {
	s := w.service(newStore, func(s *service) {
		simple(never, bus.HoldWhenDead())(s)
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, m happened) error {
			return note(ctx, tx, "free", m.PortfolioID, m.Version)
		}, bus.Name("free"))
	})
	w.declare(s)
	s.relay()
	w.publish(numbered("x", 1), numbered("x", 2))
	s.rejectFirst(2, "it was delivered too often")
	r := s.run()
	w.publish(numbered("x", 3), numbered("y", 1))
	w.eventually("the others took effect", func() bool { return s.count("free") == 2 && s.count("h") == 1 })
	s.empty(broker.Events)
	assert.Empty(w.t, s.effects("h", "x"), "dead messages hold their subject")
	assert.Equal(w.t, []int64{3}, s.effects("free", "x"), "unless the handler does not hold")
	state := map[string][]string{}
	ids := map[string][]int64{}
	letters := s.letters("")
	slices.Reverse(letters)
	for _, l := range letters {
		state[l.Handler] = append(state[l.Handler], fmt.Sprintf("%d %s", l.Message.Sequence, l.State))
		ids[l.Handler] = append(ids[l.Handler], l.ID)
		if l.State == store.Dead {
			assert.Contains(w.t, l.LastError, "too often")
		}
	}
	assert.Equal(w.t, map[string][]string{"h": {"1 dead", "2 dead", "3 waiting"}, "free": {"1 dead", "2 dead"}}, state)

	// Retried in the wrong order, they are applied in their own order.
	require.NoError(w.t, s.db.Revive(w.t.Context(), ids["h"][1], nil))
	assert.Empty(w.t, s.effects("h", "x"))
	require.NoError(w.t, s.db.Revive(w.t.Context(), ids["h"][0], nil))
	w.eventually("all took effect", func() bool { return len(s.effects("h", "x")) == 3 })
	assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", "x"))
	r.stop()
}

// laterDeath lets a message die on the broker after its successor was parked.
func laterDeath(w *environment, newStore NewStore) {
	var bad set
	bad.add("x")
	s := w.service(newStore, simple(bad.broken, bus.HoldWhenDead()))
	w.declare(s)
	w.publish(numbered("x", 1))
	c, err := s.broker.Subscribe(w.t.Context(), s.name, broker.Events, 1)
	require.NoError(w.t, err)
	delivered := <-c.Deliveries()
	require.NoError(w.t, delivered.Reject("it was delivered too often"))
	require.NoError(w.t, c.Close())
	held := &deadLater{Broker: w.broker, open: make(chan struct{})}
	w.publish(numbered("x", 2))
	s.run(held)
	w.eventually("its successor is parked", func() bool { return len(s.letters(store.Parked)) == 1 })
	close(held.open)
	w.eventually("it is listed", func() bool { return len(s.letters(store.Dead)) == 1 })
	// Parked messages are retried one after the other: after an attempt of another one, no attempt of the successor
	// is running.
	bad.add("z")
	w.publish(numbered("z", 1))
	tries := func() int {
		for _, l := range s.letters(store.Parked) {
			if l.Message.Subject == "z" {
				return l.Attempts
			}
		}
		return 0
	}
	w.eventually("another is parked", func() bool { return tries() > 0 })
	first := tries()
	w.eventually("another was tried", func() bool { return tries() > first })
	bad.remove("x")
	w.publish(numbered("y", 1))
	w.eventually("other subjects continue", func() bool { return len(s.effects("h", "y")) == 1 })
	assert.Empty(w.t, s.effects("h", "x"), "the successor waits")
	require.NoError(w.t, s.db.Revive(w.t.Context(), s.letters(store.Dead)[0].ID, nil))
	w.eventually("both took effect", func() bool { return len(s.effects("h", "x")) == 2 })
	assert.Equal(w.t, []int64{1, 2}, s.effects("h", "x"))
}

// deadLater is a broker whose dead queue is reachable only after open is closed.
type deadLater struct {
	broker.Broker
	open chan struct{}
}

func (d *deadLater) Depth(ctx context.Context, service string, q broker.Queue) (int, error) {
	select {
	case <-d.open:
		return d.Broker.Depth(ctx, service, q)
	default:
		return 0, nil
	}
}

func (d *deadLater) Subscribe(ctx context.Context, service string, q broker.Queue,
	prefetch int) (broker.Consumer, error) {
	c, err := d.Broker.Subscribe(ctx, service, q, prefetch)
	if err != nil || q != broker.Dead {
		return c, err
	}
	return forward(c, func(delivery *broker.Delivery) { <-d.open }), nil
}

// forward delivers the changed deliveries of a consumer.
func forward(c broker.Consumer, change func(*broker.Delivery)) broker.Consumer {
	f := &acklessConsumer{Consumer: c, out: make(chan broker.Delivery), stopped: make(chan struct{})}
	go func() {
		defer close(f.out)
		for d := range c.Deliveries() {
			change(&d)
			select {
			case f.out <- d:
			case <-f.stopped:
			}
		}
	}()
	return f
}

// worn is a broker whose deliveries of events and commands were all delivered several times before.
type worn struct {
	broker.Broker
	attempts int
}

func (b *worn) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c, err := b.Broker.Subscribe(ctx, service, q, prefetch)
	if err != nil || q == broker.Dead {
		return c, err
	}
	return forward(c, func(d *broker.Delivery) { d.Attempts = b.attempts }), nil
}

type wornOut struct{}

func (wornOut) service() string { return "worn" + run }

// suspects are redelivered again and again: they are tried one at a time, in order, and none is given up for it.
func suspects(w *environment, newStore NewStore) {
	var inFlight, most atomic.Int64
	s := worker[wornOut](w, newStore, func(s *service) {
		simple(func(happened) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			inFlight.Add(-1)
			return nil
		})(s)
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, c chore[wornOut]) error {
			return note(ctx, tx, "chore", c.Name, c.Version)
		}, bus.Deferred())
	})
	op := s.submit(chore[wornOut]{"x", 1})
	for v := range int64(3) {
		w.publish(message("a", v+1), message("b", v+1),
			raw(happened{}.Topic(), "unreadable", []byte(`{"version":"x"}`)))
	}
	s.run(&worn{w.broker, 15})
	w.eventually("all took effect", func() bool { return s.count("h") == 6 })
	assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", "a"))
	assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", "b"))
	assert.Equal(w.t, int64(1), most.Load())
	assert.Equal(w.t, store.Succeeded, s.outcome(op).Status)
	s.empty(broker.Events)
	s.empty(broker.Commands)
	w.eventually("only undecodable messages are dead",
		func() bool { return len(s.letters("")) == 3 && len(s.letters(store.Dead)) == 3 })
}

// oddEnvelopes have ids, types or subjects that are not text.
func oddEnvelopes(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(never))
	w.declare(s)
	s.run(&odd{w.broker})
	w.publish(message("good", 1), message("odd id", 1), message("odd id", 2), message("odd subject", 1),
		message("long subject", 1), message("good", 2))
	w.eventually("the others took effect", func() bool { return len(s.effects("h", "good")) == 2 })
	w.eventually("the odd ones are listed", func() bool { return len(s.letters(store.Dead)) == 4 })
	s.empty(broker.Events)
	s.empty(broker.Dead)
	assert.Equal(w.t, 2, s.count("h"))
	for _, l := range s.letters("") {
		assert.NotContains(w.t, l.Message.ID+l.Message.Subject+l.LastError, "\xff")
		assert.LessOrEqual(w.t, len(l.Message.Subject), 1024)
		assert.Contains(w.t, l.LastError, "of the envelope")
	}
}

// odd is a broker that corrupts envelopes.
type odd struct{ broker.Broker }

func (b *odd) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c, err := b.Broker.Subscribe(ctx, service, q, prefetch)
	if err != nil {
		return c, err
	}
	return forward(c, func(d *broker.Delivery) {
		switch d.Subject {
		case "odd id":
			d.ID = "a\x00" + d.ID + "\xff"
		case "odd subject":
			d.Subject = "a\xffb"
		case "long subject":
			d.Subject = strings.Repeat("x", 5000)
		}
	}), nil
}

type givenUp struct{}

func (givenUp) service() string { return "givenup" + run }

// lateDuplicate redelivers a job that was given up and whose operation has failed.
func lateDuplicate(w *environment, newStore NewStore) {
	s := worker[givenUp](w, newStore, func(s *service) {
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, c chore[givenUp]) error {
			return note(ctx, tx, "chore", c.Name, c.Version)
		}, bus.Deferred())
	})
	op := s.submit(chore[givenUp]{"x", 1})
	c, err := s.broker.Subscribe(w.t.Context(), s.name, broker.Commands, 1)
	require.NoError(w.t, err)
	d := <-c.Deliveries()
	copied := broker.Outgoing{Message: d.Message, Service: s.name}
	require.NoError(w.t, d.Reject("it was delivered too often"))
	require.NoError(w.t, c.Close())
	s.run()
	assert.Equal(w.t, store.Failed, s.outcome(op).Status)
	w.send(copied)
	s.empty(broker.Commands)
	assert.Zero(w.t, s.count("chore"), "a job that was given up has no effect by itself")
	require.Len(w.t, s.letters(store.Dead), 1)
	require.NoError(w.t, s.db.Revive(w.t.Context(), s.letters(store.Dead)[0].ID, nil))
	w.eventually("an operator can retry it", func() bool { return s.count("chore") == 1 })
}

type twice struct{}

func (twice) service() string { return "twice" + run }

// cancelsRetried cancels a job during a retry.
func cancelsRetried(w *environment, newStore NewStore) {
	var tries, running, most atomic.Int64
	began := make(chan struct{}, 100)
	leave := make(chan struct{})
	s := worker[twice](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, _ chore[twice]) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if tries.Add(1) <= 4 { // retried in place, until it is parked
				return errAway
			}
			began <- struct{}{}
			<-ctx.Done()
			<-leave
			return ctx.Err()
		})
	})
	s.options.Jobs = 2
	op := s.submit(chore[twice]{"x", 1})
	s.run()
	<-began
	require.NoError(w.t, s.db.Do(w.t.Context(),
		func(ctx context.Context, tx *store.Tx) error { return store.OperationsOf(tx).RequestCancel(ctx, op.ID) }))
	// The redriver polls every 20 ms. A second execution would begin, or end the operation, before the end of the
	// first.
	for range 20 {
		w.publish(message("tick", 1))
		now, err := s.db.Operation(w.t.Context(), op.ID)
		require.NoError(w.t, err)
		require.False(w.t, now.Done(), "the job still runs")
		_, _, err = s.db.DueAt(w.t.Context())
		require.NoError(w.t, err)
	}
	require.Empty(w.t, began)
	close(leave)
	assert.Equal(w.t, "operation_cancelled", s.outcome(op).Error.Code)
	assert.Equal(w.t, int64(1), most.Load())
	w.eventually("nothing is parked", func() bool { return len(s.letters("")) == 0 })
}

type inside struct{}

func (inside) service() string { return "inside" + run }

// progressInside reports progress in the unit of work of a commit, where it is not allowed.
func progressInside(w *environment, newStore NewStore) {
	refused := make(chan error, 10)
	s := worker[inside](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[inside]) error {
			return run.Commit(ctx, func(inner context.Context, tx *store.Tx) error {
				refused <- run.Progress(ctx, 1, 1, "half")
				return note(inner, tx, "chore", c.Name, c.Version)
			})
		})
	})
	op := s.submit(chore[inside]{"x", 1})
	s.run()
	require.Error(w.t, <-refused)
	assert.Equal(w.t, store.Succeeded, s.outcome(op).Status)
	assert.Equal(w.t, 1, s.count("chore"))
}
