package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// NewStore returns an empty, migrated database for a service, closed when the test ends.
type NewStore = func(t testing.TB, service string) *store.DB

// RunLoop runs the suite. Each scenario has a separate broker, closed when the test ends.
func RunLoop(t *testing.T, newBroker func(t testing.TB) broker.Broker, newStore NewStore) {
	for _, s := range []struct {
		name string
		run  func(w *environment, newStore NewStore)
	}{
		{"a parked message delays no other subject and no other service, and its own keeps its order", parking},
		{"handlers of one event are independent", independent},
		{"handlers that share a name share their order", sharedName},
		{"an outage of a dependency pauses instead of parking thousands", outage},
		{"a run of poisonous messages blocks nobody", poisonRun},
		{"a message that fails to the last attempt is dead with its cause", dies},
		{"a permanent failure is dead at once", permanent},
		{"a dead message holds its subject if its handler is registered so", holds},
		{"a panic is retried", panics},
		{"an undecodable message goes to the dead queue and is listed", undecodable},
		{"a message without a handler is dropped", unhandled},
		{"duplicates are absorbed", duplicates},
		{"an end between commit and ack repeats nothing in effect", lostAcks},
		{"a shutdown finishes what runs and gives back the rest", drains},
		{"a deferred command runs once", deferredOnce},
		{"a job waits outside of any unit of work and commits once", jobOnce},
		{"a job that fails for a while is parked and succeeds", jobRecovers},
		{"a job that fails for good is a failed operation", jobFails},
		{"an interrupted job runs again and takes effect once", jobCrash},
		{"receipts name the message, its handler, and the caused messages", receiptsOfEvents},
		{"operations are reported from their beginning to their end", operationsAreReported},
		{"a job whose operation is cancelled ends", cancels},
		{"a message in the dead queue holds its subject for handlers that are registered so", deadQueueHolds},
		{"a message that dies after its successor was parked is retried before it", laterDeath},
		{"a message that comes after a later one of its subject is replayed by its owner and not handled", overtakes},
		{"a message redelivered again and again is tried alone and not given up", suspects},
		{"envelopes with odd bytes go to the dead queue", oddEnvelopes},
		{"a job that was given up has no effect when it is redelivered", lateDuplicate},
		{"a job that is cancelled during a retry runs once", cancelsRetried},
		{"a job that reports progress in its commit is refused", progressInside},
	} {
		t.Run(s.name, func(t *testing.T) { s.run(newEnvironment(t, newBroker(t)), newStore) })
	}
}

// errAway is the error of handlers whose dependency is away.
var errAway = errors.New("the dependency is away")

// simple registers one handler of happened, named "h", that fails while broken returns an error.
func simple(broken func(m happened) error, opts ...bus.Option) func(s *service) {
	return func(s *service) {
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, m happened) error {
			if err := broken(m); err != nil {
				return err
			}
			return note(ctx, tx, "h", m.PortfolioID, m.Version)
		}, append([]bus.Option{bus.Name("h")}, opts...)...)
	}
}

func never(happened) error { return nil }

// set is a set of subjects that handlers check.
type set struct{ m sync.Map }

func (s *set) add(subject string)    { s.m.Store(subject, true) }
func (s *set) remove(subject string) { s.m.Delete(subject) }
func (s *set) broken(m happened) error {
	if _, bad := s.m.Load(m.PortfolioID); bad {
		return fmt.Errorf("apply %s: %w", m.PortfolioID, errAway)
	}
	return nil
}

func parking(w *environment, newStore NewStore) {
	var bad set
	bad.add("bad")
	a := w.service(newStore, simple(bad.broken))
	b := w.service(newStore, simple(never))
	w.declare(a, b)
	a.relay()
	a.run()
	b.run()
	for v := range int64(3) {
		w.publish(message("bad", v+1), message("good", v+1), message("fine", v+1))
	}
	all := []int64{1, 2, 3}
	w.eventually("everything but the bad subject took effect", func() bool {
		return slices.Equal(a.effects("h", "good"), all) && slices.Equal(a.effects("h", "fine"), all) &&
			slices.Equal(b.effects("h", "good"), all) && slices.Equal(b.effects("h", "fine"), all) &&
			slices.Equal(b.effects("h", "bad"), all)
	})
	a.empty(broker.Events)
	assert.Equal(w.t, []string{"bad/1 parked", "bad/2 waiting", "bad/3 waiting"}, a.parked())
	assert.Empty(w.t, a.effects("h", "bad"))
	assert.Empty(w.t, b.parked())

	bad.remove("bad")
	w.eventually("the bad subject caught up", func() bool { return len(a.effects("h", "bad")) == 3 })
	assert.Equal(w.t, all, a.effects("h", "bad"))
	w.eventually("nothing is parked", func() bool { return len(a.parked()) == 0 })
	w.publish(message("bad", 4))
	w.eventually("the bad subject continues", func() bool { return len(a.effects("h", "bad")) == 4 })
	assert.Equal(w.t, map[string][]int{"h/good": {1, 2, 3}, "h/fine": {1, 2, 3}, "h/bad": {1, 2, 3, 4}}, a.emitted(10))
}

func independent(w *environment, newStore NewStore) {
	var bad set
	bad.add("x")
	s := w.service(newStore, func(s *service) {
		simple(never)(s)
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, m happened) error {
			if err := bad.broken(m); err != nil {
				return err
			}
			return note(ctx, tx, "second", m.PortfolioID, m.Version)
		}, bus.Name("second"))
	})
	w.declare(s)
	s.relay()
	s.run()
	w.publish(message("x", 1), message("x", 2))
	s.empty(broker.Events)
	assert.Equal(w.t, []int64{1, 2}, s.effects("h", "x"))
	assert.Empty(w.t, s.effects("second", "x"))
	bad.remove("x")
	w.eventually("the second handler caught up", func() bool { return len(s.effects("second", "x")) == 2 })
	assert.Equal(w.t, []int64{1, 2}, s.effects("second", "x"))
	assert.Equal(w.t, map[string][]int{"h/x": {1, 2}, "second/x": {1, 2}}, s.emitted(4))
}

func sharedName(w *environment, newStore NewStore) {
	var bad set
	bad.add("x")
	s := w.service(newStore, func(s *service) {
		simple(bad.broken)(s)
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
			return note(ctx, tx, "h", e.Service, 100)
		}, bus.Name("h"))
	})
	w.declare(s)
	s.run()
	w.publish(message("x", 1), raw("stega.replay_requested", "x", []byte(`{"service":"x"}`)))
	s.empty(broker.Events)
	assert.Empty(w.t, s.effects("h", "x"))
	bad.remove("x")
	w.eventually("both took effect", func() bool { return len(s.effects("h", "x")) == 2 })
	assert.Equal(w.t, []int64{1, 100}, s.effects("h", "x"))
}

func outage(w *environment, newStore NewStore) {
	var gone atomic.Bool
	gone.Store(true)
	s := w.service(newStore, simple(func(happened) error {
		if gone.Load() {
			return errAway
		}
		return nil
	}))
	s.options.Prefetch = 100
	w.declare(s)
	s.relay()
	s.run()
	const subjects = 400
	out := make([]broker.Outgoing, subjects)
	want := map[string][]int{}
	for i := range out {
		subject := fmt.Sprintf("s%03d", i)
		out[i] = broker.Outgoing{Message: message(subject, 1)}
		want["h/"+subject] = []int{1}
	}
	w.send(out...)
	w.eventually("the consumer pauses", func() bool { return s.consumer.Paused() != "" })
	assert.Contains(w.t, s.consumer.Paused(), "the dependency is away")
	assert.Less(w.t, len(s.parked()), 5)
	assert.Zero(w.t, s.count("h"))
	w.eventually("other messages stay in the queue", func() bool { // a delivery on its way is not counted
		depth, err := w.broker.Depth(w.t.Context(), s.name, broker.Events)
		require.NoError(w.t, err)
		return depth >= subjects-5
	})

	gone.Store(false)
	w.eventually("everything took effect", func() bool { return s.count("h") == subjects })
	w.eventually("the consumer continues", func() bool { return s.consumer.Paused() == "" })
	s.empty(broker.Events)
	assert.Empty(w.t, s.parked())
	assert.Equal(w.t, want, s.emitted(subjects))
}

func poisonRun(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(func(m happened) error {
		if m.Version == 666 {
			return errAway
		}
		return nil
	}))
	s.options.MaxAttempts = 10
	w.declare(s)
	s.run()
	const each = 40
	var out []broker.Outgoing
	for i := range each {
		out = append(out, broker.Outgoing{Message: message(fmt.Sprintf("bad%d", i), 666)})
	}
	for i := range each {
		out = append(out, broker.Outgoing{Message: message(fmt.Sprintf("good%d", i), 1)})
	}
	w.send(out...)
	w.eventually("all good messages took effect", func() bool { return s.count("h") == each })
	s.empty(broker.Events)
	w.eventually("all poisonous messages are dead", func() bool { return len(s.letters(store.Dead)) == each })
	assert.Empty(w.t, s.consumer.Paused())
	assert.Equal(w.t, each, s.count("h"))
}

func dies(w *environment, newStore NewStore) {
	var runs atomic.Int64
	s := w.service(newStore, simple(func(m happened) error {
		if m.PortfolioID != "x" || m.Version != 1 {
			return nil
		}
		runs.Add(1)
		return fmt.Errorf("divide %d by zero", runs.Load())
	}))
	s.options.MaxAttempts, s.options.Batch = 3, 1
	w.declare(s)
	s.relay()
	s.run()
	w.publish(message("x", 1), message("x", 2))
	w.eventually("the message is dead", func() bool { return len(s.letters(store.Dead)) == 1 })
	m := s.letters(store.Dead)[0]
	assert.Equal(w.t, "h", m.Handler)
	assert.Equal(w.t, "divide # by zero", m.Cause)
	assert.Equal(w.t, fmt.Sprintf("divide %d by zero", runs.Load()), m.LastError)
	assert.Equal(w.t, 3, m.Attempts)
	assert.WithinDuration(w.t, time.Now(), m.DiedAt, patience)
	w.eventually("the next message of the subject is handled", func() bool { return len(s.effects("h", "x")) == 1 })
	assert.Equal(w.t, []int64{2}, s.effects("h", "x"))
	assert.Equal(w.t, int64(6), runs.Load(), "once, three quick retries, and two more attempts")
	assert.Equal(w.t, map[string][]int{"h/x": {2}}, s.emitted(1))
}

func permanent(w *environment, newStore NewStore) {
	s := w.service(newStore, simple(func(m happened) error {
		if m.Version == 1 {
			return bus.Permanent(errors.New("no such thing"))
		}
		return nil
	}))
	w.declare(s)
	s.run()
	w.publish(message("x", 1), message("x", 2))
	w.eventually("the next message of the subject is handled", func() bool { return len(s.effects("h", "x")) == 1 })
	s.empty(broker.Events)
	assert.Equal(w.t, []string{"x/1 dead"}, s.parked())
	assert.Equal(w.t, 1, s.letters("")[0].Attempts)
	assert.Equal(w.t, "no such thing", s.letters("")[0].LastError)
}

func holds(w *environment, newStore NewStore) {
	var healed atomic.Bool
	s := w.service(newStore, simple(func(m happened) error {
		if m.PortfolioID == "x" && m.Version == 1 && !healed.Load() {
			return bus.Permanent(errors.New("no such thing"))
		}
		return nil
	}, bus.HoldWhenDead()))
	w.declare(s)
	s.relay()
	s.run()
	w.publish(message("x", 1), message("x", 2), message("y", 1), message("x", 3))
	w.eventually("the other subject continues", func() bool { return len(s.effects("h", "y")) == 1 })
	s.empty(broker.Events)
	assert.Equal(w.t, []string{"x/1 dead", "x/2 waiting", "x/3 waiting"}, s.parked())
	assert.Empty(w.t, s.effects("h", "x"))
	healed.Store(true)
	require.NoError(w.t, s.db.Revive(w.t.Context(), s.letters(store.Dead)[0].ID, nil))
	w.eventually("the subject continues", func() bool { return len(s.effects("h", "x")) == 3 })
	assert.Equal(w.t, []int64{1, 2, 3}, s.effects("h", "x"))
	w.eventually("nothing is parked", func() bool { return len(s.parked()) == 0 })
	assert.Equal(w.t, map[string][]int{"h/x": {1, 2, 3}, "h/y": {1}}, s.emitted(4))
}
