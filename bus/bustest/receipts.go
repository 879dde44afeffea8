package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// messages collects the bus's own events of the service from the log, until enough returns true.
func (s *service) messages(enough func(all []events.Message) bool) []events.Message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	entries, err := s.broker.Log(ctx, 0)
	require.NoError(s.t, err)
	var all []events.Message
	for e := range entries {
		if e.Source == events.Source(s.name) && events.IsInternal(e.Type) {
			if all = append(all, e.Message); enough(all) {
				break
			}
		}
	}
	cancel()
	for range entries { // until it is closed
		continue
	}
	require.True(s.t, enough(all), "the log has: %v", all)
	return all
}

// receipts returns the items of all receipts, in the order of their commits.
func receipts(all []events.Message) (items []events.Receipt) {
	for _, m := range all {
		if m.Type != (events.Handled{}).Topic() {
			continue
		}
		var h events.Handled
		if err := json.Unmarshal(m.Data, &h); err != nil {
			panic(err)
		}
		items = append(items, h.Items...)
	}
	slices.SortStableFunc(items, func(a, b events.Receipt) int { return a.At.Compare(b.At) })
	return items
}

func caused(r events.Receipt) string {
	var all []string
	for _, e := range r.Emitted {
		all = append(all, e.Topic+" "+e.Subject)
	}
	return strings.Join(all, ", ")
}

// Each handling has one receipt with its caused messages; failures have receipts before it.
func receiptsOfEvents(w *environment, newStore NewStore) {
	var bad set
	bad.add("late")
	s := w.service(newStore, func(s *service) {
		simple(func(m happened) error {
			if m.PortfolioID == "never" {
				return bus.Permanent(errAway)
			}
			return bad.broken(m)
		})(s)
		bus.Handle(s.dispatcher, func(_ context.Context, tx *store.Tx, m happened) error {
			tx.Once("together", func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "both", "all", 0)
			})
			return nil
		}, bus.Name("both"))
	})
	w.declare(s)
	s.relay()
	s.run()
	good, late, never := message("good", 1), message("late", 1), message("never", 1)
	w.publish(good, late, never)
	w.eventually("one is parked", func() bool { return slices.Contains(s.parked(), "late/1 parked") })
	bad.remove("late")

	done := func(all []events.Message) bool {
		var handled int
		for _, r := range receipts(all) {
			if r.State == events.ReceiptHandled {
				handled++
			}
		}
		return handled == 5 // three messages in two handlers, except the dead one
	}
	all := receipts(s.messages(done))
	states := map[string][]string{}
	for _, r := range all {
		key := fmt.Sprintf("%s %s", r.About, r.Handler)
		if n := len(states[key]); n == 0 || states[key][n-1] != r.State {
			states[key] = append(states[key], r.State)
		}
		assert.Equal(w.t, []string{"h", "both"}, r.Handlers, "the other handlers of the topic are named")
		assert.Equal(w.t, r.Message, r.Operation, "these messages belong to no other operation")
		switch key {
		case "good h":
			assert.Contains(w.t, caused(r), "returns.asset_updated h/good")
		case "late h":
			if r.State == events.ReceiptParked {
				assert.Contains(w.t, r.Error, "away")
				assert.Empty(w.t, r.Emitted)
			} else {
				assert.Equal(w.t, "returns.asset_updated h/late", caused(r))
			}
		}
	}
	assert.Equal(w.t, map[string][]string{
		"good h": {"handled"}, "good both": {"handled"}, "late h": {"parked", "handled"}, "late both": {"handled"},
		"never h": {"dead"}, "never both": {"handled"},
	}, states)
	// An effect that several messages caused together is in the receipt of each, once.
	shared := map[string]bool{}
	by := map[string]int{}
	for _, r := range all {
		for _, e := range r.Emitted {
			if e.Subject == "both/all" {
				shared[e.ID] = true
				by[r.Message]++
			}
		}
	}
	assert.Equal(w.t, map[string]int{good.ID: 1, late.ID: 1, never.ID: 1}, by)
	assert.Equal(w.t, s.count("both"), len(shared))
}

// Services of the scenarios about operations.
type (
	reported struct{}
	ending   struct{}
)

func (reported) service() string { return "reported" + run }
func (ending) service() string   { return "ending" + run }

// Events report an operation's acceptance, its progress and its end; its job has a separate receipt.
func operationsAreReported(w *environment, newStore NewStore) {
	s := worker[reported](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, c chore[reported]) error {
			if err := run.Progress(ctx, 1, 2, "half"); err != nil {
				return err
			}
			if c.Name == "bad" {
				return fault.Conflict("chore_refused", "the chore makes no sense")
			}
			return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
				return note(ctx, tx, "chore", c.Name, c.Version)
			})
		})
	})
	for name, status := range map[string]store.OperationStatus{"x": store.Succeeded, "bad": store.Failed} {
		op := s.submit(chore[reported]{name, 1})
		r := s.run()
		assert.Equal(w.t, status, s.outcome(op).Status)
		all := s.messages(func(all []events.Message) bool {
			done := 0
			for _, m := range all {
				if m.Type == (events.OperationResolved{}).Topic() && m.Subject == op.ID {
					done++
				}
			}
			for _, r := range receipts(all) {
				if r.Operation == op.ID {
					done++
				}
			}
			return done >= 2
		})
		var topics []string
		for _, m := range all {
			if m.Subject == op.ID {
				topics = append(topics, m.Type)
				assert.Equal(w.t, op.ID, m.Correlation)
			}
		}
		assert.Equal(w.t, []string{"operation.accepted", "operation.progressed", "operation.progressed",
			"operation.resolved"}, topics)
		var accepted, resolved events.OperationState
		for _, m := range all {
			switch {
			case m.Subject == op.ID && m.Type == "operation.accepted":
				require.NoError(w.t, json.Unmarshal(m.Data, &accepted))
			case m.Subject == op.ID && m.Type == "operation.resolved":
				require.NoError(w.t, json.Unmarshal(m.Data, &resolved))
			}
		}
		require.Len(w.t, accepted.Emitted, 1, "the job")
		assert.Equal(w.t, s.name, accepted.Emitted[0].Service)
		require.Len(w.t, resolved.Emitted, 1)
		assert.Equal(w.t, accepted.Emitted[0].ID, resolved.Emitted[0].ID)
		assert.Equal(w.t, string(status), resolved.Status)
		for _, r := range receipts(all) {
			if r.Operation == op.ID {
				assert.Equal(w.t, accepted.Emitted[0].ID, r.Message)
				assert.Equal(w.t, events.ReceiptHandled, r.State)
				assert.Len(w.t, r.Emitted, s.count("chore")*map[bool]int{true: 1}[name == "x"])
			}
		}
		r.stop()
	}
}

// The context of a job ends when its operation is cancelled. A job that has not begun never runs.
func cancels(w *environment, newStore NewStore) {
	began := make(chan struct{}, 1)
	s := worker[ending](w, newStore, func(s *service) {
		bus.HandleJob(s.dispatcher, func(ctx context.Context, run *bus.Run, _ chore[ending]) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	cancel := func(op store.Operation) error {
		return s.db.Do(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return store.OperationsOf(tx).RequestCancel(ctx, op.ID)
		})
	}
	early := s.submit(chore[ending]{"early", 1})
	require.NoError(w.t, cancel(early))
	s.run()
	assert.Equal(w.t, "operation_cancelled", s.outcome(early).Error.Code)
	select {
	case <-began:
		w.t.Error("a job that was cancelled before it began has run")
	default:
	}
	running := s.submit(chore[ending]{"running", 1})
	<-began
	require.NoError(w.t, cancel(running))
	ended := s.outcome(running)
	assert.Equal(w.t, store.Failed, ended.Status)
	assert.Equal(w.t, "operation_cancelled", ended.Error.Code)
	require.ErrorContains(w.t, cancel(running), "over already")
	assert.Empty(w.t, s.letters(""))
}
