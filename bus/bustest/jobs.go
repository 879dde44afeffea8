package bustest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// run distinguishes the services of this process from those of others on the same server.
var run = uuid.NewString()[:8]

// scenario gives each scenario about jobs a separate service, and so a separate queue.
type scenario interface{ service() string }

type (
	once     struct{}
	outside  struct{}
	recovers struct{}
	fails    struct{}
	crashes  struct{}
)

func (once) service() string     { return "once" + run }
func (outside) service() string  { return "outside" + run }
func (recovers) service() string { return "recovers" + run }
func (fails) service() string    { return "fails" + run }
func (crashes) service() string  { return "crashes" + run }

// chore is a command of a scenario's service.
type chore[S scenario] struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
}

func (chore[S]) Topic() string {
	var s S
	return s.service() + ".chore"
}
func (c chore[S]) Subject() string { return c.Name }

// worker returns the service of a scenario, with a relay.
func worker[S scenario](w *environment, newStore NewStore, register func(s *service)) *service {
	w.t.Helper()
	var scenario S
	s := w.serviceNamed(scenario.service(), newStore, register)
	w.declare(s)
	s.relay()
	return s
}

func (s *service) submit(c events.Typed) store.Operation {
	s.t.Helper()
	op, err := bus.NewCommandBus(s.dispatcher, s.db).Submit(s.t.Context(), bus.Submission{Command: c, BodyHash: "h"})
	require.NoError(s.t, err)
	assert.Equal(s.t, store.Accepted, op.Status)
	return op
}

// outcome waits for the end of an operation.
func (s *service) outcome(op store.Operation) store.Operation {
	s.t.Helper()
	s.eventually("the operation is finished", func() bool {
		var err error
		op, err = s.db.Operation(s.t.Context(), op.ID)
		return err == nil && op.Done()
	})
	return op
}

func deferredOnce(w *environment, newStore NewStore) {
	s := worker[once](w, newStore, func(s *service) {
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, c chore[once]) error {
			if c.Name == "bad" {
				return fault.Conflict("chore_refused", "the chore makes no sense")
			}
			return note(ctx, tx, "chore", c.Name, c.Version)
		}, bus.Deferred())
	})
	good, bad := s.submit(chore[once]{"x", 1}), s.submit(chore[once]{"bad", 1})
	s.run()
	assert.Equal(w.t, store.Succeeded, s.outcome(good).Status)
	refused := s.outcome(bad)
	assert.Equal(w.t, store.Failed, refused.Status)
	assert.Equal(w.t, "chore_refused", refused.Error.Code)
	s.empty(broker.Commands)
	assert.Equal(w.t, []int64{1}, s.effects("chore", "x"))
	assert.Empty(w.t, s.letters(""), "a refused command is a failed operation, not a dead message")
	assert.Equal(w.t, map[string][]int{"chore/x": {1}}, s.emitted(1))
}

func jobOnce(w *environment, newStore NewStore) {
	began, open := make(chan string, 1), make(chan struct{})
	s := worker[outside](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[outside]) error {
			began <- run.Operation()
			<-open
			err := run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
			again := run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, 2)
			})
			assert.True(w.t, bus.IsPermanent(again), "a job commits once")
			return err
		})
	})
	op := s.submit(chore[outside]{"x", 1})
	s.run()
	assert.Equal(w.t, op.ID, <-began)
	now, err := s.db.Operation(w.t.Context(), op.ID)
	require.NoError(w.t, err)
	assert.Equal(w.t, store.Running, now.Status)
	// The job waits outside a unit of work; other units continue.
	err = s.db.Do(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return note(ctx, tx, "other", "y", 1)
	})
	require.NoError(w.t, err)
	close(open)
	assert.Equal(w.t, store.Succeeded, s.outcome(op).Status)
	s.empty(broker.Commands)
	assert.Equal(w.t, []int64{1}, s.effects("chore", "x"))
	assert.Equal(w.t, map[string][]int{"chore/x": {1}, "other/y": {1}}, s.emitted(2))
}

func jobRecovers(w *environment, newStore NewStore) {
	var gone atomic.Bool
	gone.Store(true)
	s := worker[recovers](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[recovers]) error {
			if gone.Load() && c.Name == "x" {
				return errAway
			}
			return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
		})
	})
	s.options.MaxAttempts = 1000
	s.run()
	op := s.submit(chore[recovers]{"x", 1})
	w.eventually("the job is parked", func() bool { return len(s.letters(store.Parked)) == 1 })
	s.empty(broker.Commands)
	assert.Equal(w.t, store.Succeeded, s.outcome(s.submit(chore[recovers]{"y", 1})).Status, "other jobs overtake it")
	gone.Store(false)
	assert.Equal(w.t, store.Succeeded, s.outcome(op).Status)
	w.eventually("nothing is parked", func() bool { return len(s.letters("")) == 0 })
	assert.Equal(w.t, []int64{1}, s.effects("chore", "x"))
	assert.Equal(w.t, map[string][]int{"chore/x": {1}, "chore/y": {1}}, s.emitted(2))
}

func jobFails(w *environment, newStore NewStore) {
	var healed atomic.Bool
	s := worker[fails](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[fails]) error {
			switch {
			case c.Name == "refused":
				return fault.Invalid("chore_refused", "the chore makes no sense")
			case !healed.Load():
				return errors.New("the provider does not answer")
			}
			return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
		})
	})
	s.options.MaxAttempts = 3
	s.run()
	refused := s.outcome(s.submit(chore[fails]{"refused", 1}))
	assert.Equal(w.t, "chore_refused", refused.Error.Code)
	assert.Empty(w.t, s.letters(""))
	worn := s.outcome(s.submit(chore[fails]{"x", 1}))
	assert.Equal(w.t, store.Failed, worn.Status)
	assert.Equal(w.t, fault.KindInternal, worn.Error.Kind)
	w.eventually("it is dead", func() bool { return len(s.letters(store.Dead)) == 1 })
	assert.Equal(w.t, "the provider does not answer", s.letters(store.Dead)[0].LastError)
	assert.Equal(w.t, 3, s.letters(store.Dead)[0].Attempts)

	// An operator may retry it; the operation stays failed, as it was reported.
	healed.Store(true)
	require.NoError(w.t, s.db.Revive(w.t.Context(), s.letters(store.Dead)[0].ID, nil))
	w.eventually("the revived job took effect", func() bool { return len(s.effects("chore", "x")) == 1 })
	w.eventually("nothing is dead", func() bool { return len(s.letters("")) == 0 })
	assert.Equal(w.t, store.Failed, s.outcome(worn).Status)
}

func jobCrash(w *environment, newStore NewStore) {
	var runs atomic.Int64
	began := make(chan struct{})
	s := worker[crashes](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[crashes]) error {
			if c.Name == "x" && runs.Add(1) == 1 {
				close(began)
				<-ctx.Done() // until the shutdown
				return ctx.Err()
			}
			return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
		})
	})
	s.options.Grace = 1
	op := s.submit(chore[crashes]{"x", 1})
	r := s.run()
	<-began
	r.stop()
	assert.Empty(w.t, s.effects("chore", "x"))

	// It runs again and loses its ack; then it is redelivered once more.
	silent := &ackless{Broker: w.broker}
	r = s.run(silent)
	assert.Equal(w.t, store.Succeeded, s.outcome(op).Status)
	w.eventually("its ack was dropped", func() bool { return silent.dropped.Load() == 1 })
	r.stop()
	s.run()
	s.empty(broker.Commands)
	assert.Equal(w.t, int64(2), runs.Load())
	assert.Equal(w.t, []int64{1}, s.effects("chore", "x"))
	assert.Equal(w.t, map[string][]int{"chore/x": {1}}, s.emitted(1))
}
