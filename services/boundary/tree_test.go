package boundary

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
)

// world is a made-up suite: which services take which topics, with which handlers.
type world struct {
	rng           *rand.Rand
	subscriptions map[string][]string
	names         map[string][]string // handlers by "service topic"
	next          int
	clock         time.Time
	facts         []fact
}

// fact is one thing that a service says, and whether the operation could not be settled without it.
type fact struct {
	operation string
	entry     entry
	needed    bool
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), subscriptions: map[string][]string{}, names: map[string][]string{},
		clock: time.Unix(1_700_000_000, 0).UTC()}
	for t := range 5 {
		topic := fmt.Sprintf("topic%d.happened", t)
		for s := range w.rng.IntN(4) {
			service := fmt.Sprintf("service%d", s)
			w.subscriptions[topic] = append(w.subscriptions[topic], service)
			for h := range 1 + w.rng.IntN(2) {
				key := service + " " + topic
				w.names[key] = append(w.names[key], fmt.Sprintf("%s:%s#%d", service, topic, h))
			}
		}
	}
	return w
}

func (w *world) id() string {
	w.next++
	return fmt.Sprintf("m%04d", w.next)
}

func (w *world) now() time.Time {
	w.clock = w.clock.Add(time.Millisecond)
	return w.clock
}

func (w *world) record(operation, service string, needed bool, r events.Receipt) {
	w.facts = append(w.facts, fact{operation,
		entry{Service: service, Receipts: []events.Receipt{r}, Subscriptions: w.subscriptions}, needed})
}

// emits makes up what a handling causes, and everything that follows from it.
func (w *world) emits(operation string, depth int) []events.Emitted {
	var all []events.Emitted
	if depth == 0 {
		return all
	}
	for range w.rng.IntN(3) {
		e := events.Emitted{ID: w.id(), Topic: fmt.Sprintf("topic%d.happened", w.rng.IntN(5))}
		all = append(all, e)
		w.follow(operation, e, depth-1)
	}
	return all
}

// follow makes up how every service handles a message, with failures on the way.
func (w *world) follow(operation string, e events.Emitted, depth int) {
	for _, service := range w.subscriptions[e.Topic] {
		names := w.names[service+" "+e.Topic]
		for _, handler := range names {
			r := events.Receipt{Message: e.ID, Topic: e.Topic, Operation: operation, Handler: handler, SentAt: w.now()}
			if len(names) > 1 {
				r.Handlers = names
			}
			for try := range w.rng.IntN(3) {
				r.State, r.Attempts, r.At = events.ReceiptParked, try+1, w.now()
				if w.rng.IntN(3) == 0 {
					r.State = events.ReceiptDead
				}
				w.record(operation, service, false, r)
			}
			r.State, r.Attempts, r.At = events.ReceiptHandled, 0, w.now()
			caused := w.emits(operation, depth)
			if len(caused) > 1 && w.rng.IntN(2) == 0 { // told in two parts
				more := r
				more.State, more.Emitted = events.ReceiptCaused, caused[1:]
				r.Emitted, r.Omitted = caused[:1], len(caused)-1
				w.record(operation, service, true, more)
			} else {
				r.Emitted = caused
			}
			w.record(operation, service, true, r)
		}
	}
}

// command makes up an operation.
func (w *world) command(id string) {
	state := events.OperationState{ID: id, Command: "thing.do", Service: "thing", About: "it", Status: "accepted",
		AcceptedAt: w.now()}
	var job events.Emitted
	if w.rng.IntN(2) == 0 { // deferred
		job = events.Emitted{ID: w.id(), Topic: "thing.do", Service: "thing"}
		accepted := state
		accepted.Emitted = []events.Emitted{job}
		w.facts = append(w.facts, fact{id, entry{Service: "thing", State: &accepted}, false})
		w.record(id, "thing", true, events.Receipt{
			Message: job.ID, Topic: "thing.do", Operation: id, Handler: "thing:thing.do", State: events.ReceiptHandled,
			Emitted: w.emits(id, 3), At: w.now(),
		})
	} else {
		state.Emitted = w.emits(id, 3)
	}
	end := w.now()
	if job.ID != "" {
		state.Emitted = append(state.Emitted, job)
	}
	state.Status, state.FinishedAt = "succeeded", &end
	w.facts = append(w.facts, fact{id, entry{Service: "thing", State: &state, Subscriptions: w.subscriptions}, true})
}

// Whatever follows from an operation, in whatever order the receipts come: it is settled when the last one that is
// needed has come, and never before.
func TestAnOperationIsSettledByTheLastReceiptAndNeverBefore(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		w := newWorld(seed)
		w.command("op")
		w.rng.Shuffle(len(w.facts), func(i, j int) { w.facts[i], w.facts[j] = w.facts[j], w.facts[i] })
		needed := 0
		for _, f := range w.facts {
			if f.needed {
				needed++
			}
		}
		tree := newTree("op")
		for i, f := range w.facts {
			tree.add(f.entry)
			if f.needed {
				needed--
			}
			open := tree.open()
			outcome := outcomeOf(tree.resolved(), open)
			if needed > 0 {
				require.NotEqual(t, Settled, outcome, "seed %d: after %d of %d receipts, too early", seed, i+1,
					len(w.facts))
				continue
			}
			require.Equal(t, Settled, outcome, "seed %d: still open: %v", seed, open)
		}
	}
}

// One receipt that never comes keeps the operation open for good.
func TestAnOperationIsNotSettledWithoutAnyOneReceipt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		w := newWorld(seed)
		w.command("op")
		for missing, f := range w.facts {
			if !f.needed {
				continue
			}
			tree := newTree("op")
			for i, f := range w.facts {
				if i != missing {
					tree.add(f.entry)
				}
			}
			require.NotEqual(t, Settled, outcomeOf(tree.resolved(), tree.open()), "seed %d without %v", seed, f.entry)
		}
	}
}

func TestOutcomesSayWhoIsWaitedFor(t *testing.T) {
	t.Parallel()
	end := time.Unix(1_700_000_000, 0).UTC()
	root := entry{
		Service: "portfolio",
		State: &events.OperationState{
			ID:         "op",
			Command:    "portfolio.create",
			Service:    "portfolio",
			Status:     "succeeded",
			AcceptedAt: end,
			FinishedAt: &end,
			Emitted:    []events.Emitted{{ID: "m1", Topic: "portfolio.created", Subject: "p"}},
		},
		Subscriptions: map[string][]string{"portfolio.created": {"audit", "returns"}},
	}
	receipt := func(state string, handlers ...string) events.Receipt {
		return events.Receipt{Message: "m1", Topic: "portfolio.created", Operation: "op", Handler: "returns:portfolios",
			Handlers: handlers, State: state, Attempts: 3, Error: "no", At: end}
	}
	for _, c := range []struct {
		name    string
		entries []entry
		outcome string
		waiting []string
	}{
		{"nobody said anything", nil, Pending, []string{"audit  pending", "returns  pending"}},
		{"one of two services is done", []entry{{Service: "audit", Receipts: []events.Receipt{receipt("handled")}}},
			Pending,
			[]string{"returns  pending"}},
		{
			"one of two handlers of a service is done", []entry{
				{Service: "audit", Receipts: []events.Receipt{receipt("handled")}},
				{
					Service:  "returns",
					Receipts: []events.Receipt{receipt("handled", "returns:portfolios", "returns:other")},
				},
			}, Pending, []string{"returns returns:other pending"},
		},
		{
			"a handler is tried again", []entry{{Service: "audit", Receipts: []events.Receipt{receipt("handled")}},
				{Service: "returns", Receipts: []events.Receipt{receipt("parked")}}},
			Stalled, []string{"returns returns:portfolios parked"},
		},
		{
			"a handler gave up", []entry{{Service: "audit", Receipts: []events.Receipt{receipt("handled")}},
				{Service: "returns", Receipts: []events.Receipt{receipt("dead")}}},
			Failed, []string{"returns returns:portfolios dead"},
		},
		{
			"a handler gave up and another is to come", []entry{{Service: "returns",
				Receipts: []events.Receipt{receipt("dead")}}},
			Stalled, []string{"audit  pending", "returns returns:portfolios dead"},
		},
		{
			"a service handles the topic no more", []entry{
				{Service: "audit", Receipts: []events.Receipt{receipt("unhandled")}},
				{Service: "returns", Receipts: []events.Receipt{receipt("handled")}},
			}, Settled, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range [][]entry{append([]entry{root}, c.entries...),
				append(slices.Clone(c.entries), root)} {
				tree := newTree("op")
				for _, e := range order {
					tree.add(e)
				}
				open := tree.open()
				assert.Equal(t, c.outcome, outcomeOf(tree.resolved(), open))
				var waiting []string
				for _, w := range open {
					waiting = append(waiting, fmt.Sprintf("%s %s %s", w.Service, w.Handler, w.State))
				}
				assert.Equal(t, c.waiting, waiting)
			}
		})
	}
}
