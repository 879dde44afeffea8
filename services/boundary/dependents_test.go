package boundary

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/migrations"
	"stega/store"
)

// books is a ledger on a database of its own, without a broker.
type books struct {
	t  *testing.T
	db *store.DB
	s  *Service
}

func newBooks(t *testing.T, subscriptions map[string][]string) *books {
	t.Helper()
	db, err := store.Open(t.Context(), "boundary", "sqlite://"+filepath.Join(t.TempDir(), "boundary.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	files, err := migrations.Of("boundary")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	return &books{t: t, db: db, s: New(db, Options{Subscriptions: subscriptions})}
}

// restart replaces the service by one that has nothing in memory.
func (b *books) restart() { b.s = New(b.db, b.s.opts) }

// enter posts entries in one unit of work.
func (b *books) enter(facts ...fact) {
	b.t.Helper()
	require.NoError(b.t, b.db.Do(b.t.Context(), func(_ context.Context, tx *store.Tx) error {
		for _, f := range facts {
			b.s.enter(tx, f.operation, f.entry)
		}
		return nil
	}))
}

// sweep lets all open operations have waited for long, and sweeps.
func (b *books) sweep() {
	b.t.Helper()
	b.exec("UPDATE ledger SET changed_at = ?", time.Now().Add(-2*lookAgainAfter).UnixMicro())
	require.NoError(b.t, b.s.sweep(b.t.Context()))
}

func (b *books) exec(query string, args ...any) {
	b.t.Helper()
	require.NoError(b.t, b.db.Do(b.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}))
}

func (b *books) outcomes(ids ...string) []string {
	b.t.Helper()
	var all []string
	for _, id := range ids {
		var row ledgerRow
		require.NoError(b.t, b.db.Read().NewSelect().Model(&row).Where("id = ?", id).Scan(b.t.Context()))
		all = append(all, row.Outcome)
	}
	return all
}

// succeeded is an operation whose command ran and emitted messages.
func succeeded(id string, emitted ...events.Emitted) fact {
	end := time.Now().UTC()
	return fact{operation: id, entry: entry{Service: "origin", State: &events.OperationState{
		ID: id, Command: "origin.do", Service: "origin", Status: "succeeded", AcceptedAt: end, FinishedAt: &end,
		Emitted: emitted,
	}}}
}

// handled is the receipt of a message in returns.
func handled(operation, message string, emitted ...events.Emitted) fact {
	return fact{operation: operation, entry: entry{Service: "returns", Receipts: []events.Receipt{{
		Message: message, Topic: "t", Operation: operation, Handler: "returns:t", State: events.ReceiptHandled,
		Emitted: emitted,
	}}}}
}

// message is one that its cause's operation accounts for, or another operation.
func message(id, operation string) events.Emitted {
	return events.Emitted{ID: id, Topic: "t", Operation: operation}
}

// A waits for a message of B, and B for one of C. The last receipt of C settles all three, although they were stalled.
func TestTheLastReceiptSettlesAWholeChain(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		b := newBooks(t, map[string][]string{"t": {"returns"}})
		b.enter(succeeded("C", message("c1", "")))
		b.enter(succeeded("B", message("b1", "")))
		b.enter(succeeded("A", message("a1", "")))
		b.enter(handled("A", "a1", message("b2", "B")))
		b.enter(handled("B", "b1", message("b2", "")))
		b.enter(handled("B", "b2", message("c2", "C")))
		b.sweep()
		assert.Equal(t, []string{Stalled, Stalled, Stalled}, b.outcomes("A", "B", "C"))
		b.enter(handled("C", "c1", message("c2", "")))
		if restarted {
			b.restart()
		}
		b.enter(handled("C", "c2"))
		assert.Equal(t, []string{Settled, Settled, Settled}, b.outcomes("A", "B", "C"), "restarted: %v", restarted)
	}
}

// Two operations that wait for a message of each other settle together.
func TestOperationsThatWaitForEachOtherSettle(t *testing.T) {
	t.Parallel()
	b := newBooks(t, map[string][]string{"t": {"returns"}})
	b.enter(succeeded("A", message("a1", "")), succeeded("B", message("b1", "")))
	b.enter(handled("A", "a1", message("a2", ""), message("b2", "B")),
		handled("B", "b1", message("b2", ""), message("a2", "A")))
	b.enter(handled("A", "a2", message("b3", "B")), handled("B", "b2", message("b3", "")))
	b.sweep()
	assert.Equal(t, []string{Stalled, Stalled}, b.outcomes("A", "B"))
	b.enter(handled("B", "b3"))
	assert.Equal(t, []string{Settled, Settled}, b.outcomes("A", "B"))
}

// A caused b2 together with B. That B waits for C beside it does not concern A.
func TestAnOperationWaitsForNothingBesideWhatItCaused(t *testing.T) {
	t.Parallel()
	b := newBooks(t, map[string][]string{"t": {"returns"}})
	b.enter(succeeded("C", message("c1", "")), succeeded("B", message("b1", "")), succeeded("A", message("a1", "")))
	b.enter(handled("A", "a1", message("b2", "B")), handled("B", "b1", message("b2", ""), message("c2", "C")))
	b.enter(handled("B", "b2"))
	assert.Equal(t, []string{Settled, Pending, Pending}, b.outcomes("A", "B", "C"))
}

// An operation that stands as stalled although nothing is outstanding, as an earlier version left it, is settled by a
// sweep, and so are those behind it.
func TestASweepSettlesWhatStandsAsStalledWithoutReason(t *testing.T) {
	t.Parallel()
	b := newBooks(t, map[string][]string{"t": {"returns"}})
	b.enter(succeeded("B", message("b1", "")), succeeded("A", message("a1", "")))
	b.enter(handled("A", "a1", message("b2", "B")), handled("B", "b1", message("b2", "")), handled("B", "b2"))
	b.exec("UPDATE ledger SET outcome = 'stalled', settled_at = 0")
	b.restart()
	b.sweep()
	assert.Equal(t, []string{Settled, Settled}, b.outcomes("A", "B"))
}

// What never settles is forgotten at last, with all that is kept of it.
func TestWhatNeverSettlesIsForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		age  time.Duration
		rows int
	}{{operationsKept - time.Hour, 6}, {operationsKept + time.Hour, 0}} {
		b := newBooks(t, map[string][]string{"t": {"returns"}})
		a, other := succeeded("A", message("a1", "")), succeeded("B", message("b1", ""))
		for _, f := range []fact{a, other} {
			f.entry.State.AcceptedAt = time.Now().Add(-c.age)
		}
		b.enter(a, other, handled("A", "a1", message("b2", "B")))
		assert.Equal(t, []string{Pending, Pending}, b.outcomes("A", "B"))
		b.sweep()
		var rows int
		require.NoError(t, b.db.Read().NewRaw(`SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM receipts) +
			(SELECT count(*) FROM dependents)`).Scan(t.Context(), &rows))
		assert.Equal(t, c.rows, rows)
	}
}

// suite is a made-up suite in which operations cause messages together.
type suite struct {
	rng     *rand.Rand
	next    int
	made    map[string]*made // by message
	order   []string         // all messages, in the order in which they were made
	facts   []fact
	arrived map[int]bool // facts, by index
}

// made is a message as the suite knows it.
type made struct {
	operation string
	children  []string
	causes    []int // the facts without which its operation does not know it
	needed    []int // the facts without which it is not handled
}

// newSuite makes up operations, the messages that follow, and all that the services report of them.
func newSuite(seed uint64, operations int) *suite {
	s := &suite{rng: rand.New(rand.NewPCG(seed, 11)), made: map[string]*made{}, arrived: map[int]bool{}}
	for i := range operations {
		id := fmt.Sprintf("op%d", i)
		root := &made{operation: id}
		s.made[id] = root
		emitted := s.emit(id, id, 1+s.rng.IntN(2))
		root.needed = append(root.needed, s.report(succeeded(id, emitted...)))
		s.known(root, emitted)
	}
	// each message is handled, some with one of another operation
	for i := 0; i < len(s.order) && len(s.order) < 8*operations; i++ {
		s.handle(i)
	}
	for _, id := range s.order {
		if m := s.made[id]; len(m.needed) == 0 {
			m.needed = append(m.needed, s.report(handled(m.operation, id)))
		}
	}
	return s
}

func (s *suite) report(f fact) int {
	s.facts = append(s.facts, f)
	return len(s.facts) - 1
}

// emit makes up messages that an operation accounts for.
func (s *suite) emit(cause, operation string, n int) (all []events.Emitted) {
	for range n {
		s.next++
		id := fmt.Sprintf("m%04d", s.next)
		s.made[id] = &made{operation: operation}
		s.made[cause].children = append(s.made[cause].children, id)
		s.order = append(s.order, id)
		all = append(all, message(id, ""))
	}
	return all
}

// known notes that the last report names messages.
func (s *suite) known(cause *made, emitted []events.Emitted) {
	for _, e := range emitted {
		s.made[e.ID].causes = append(s.made[e.ID].causes, len(s.facts)-1)
	}
}

// handle handles a message, alone or together with up to two others; what the unit emits comes from all of them.
func (s *suite) handle(at int) {
	together := []string{s.order[at]}
	if len(s.made[s.order[at]].needed) > 0 {
		return
	}
	for range s.rng.IntN(3) {
		other := s.order[s.rng.IntN(len(s.order))]
		fresh := len(s.made[other].needed) == 0
		for _, id := range together {
			fresh = fresh && s.made[id].operation != s.made[other].operation
		}
		if fresh {
			together = append(together, other)
		}
	}
	first := s.made[together[0]]
	shared := s.emit(together[0], first.operation, s.rng.IntN(3))
	for i, id := range together {
		m := s.made[id]
		emitted := shared
		if i > 0 {
			emitted = nil
			for _, e := range shared {
				emitted = append(emitted, message(e.ID, first.operation))
				m.children = append(m.children, e.ID)
			}
		}
		own := s.emit(id, m.operation, s.rng.IntN(2))
		m.needed = append(m.needed, s.report(handled(m.operation, id, append(emitted, own...)...)))
		if i == 0 {
			s.known(m, shared)
		}
		s.known(m, own)
	}
}

// done is the definition: an operation is settled when its command has run, and every message that follows from it,
// by whichever way, is known to the operation that accounts for it and was handled.
func (s *suite) done(operation string) bool {
	seen := map[string]bool{}
	todo := []string{operation}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		m := s.made[id]
		for _, f := range append(m.causes, m.needed...) {
			if !s.arrived[f] {
				return false
			}
		}
		todo = append(todo, m.children...)
	}
	return true
}

// Operations that depend on each other in any way, with receipts in any order, with sweeps and restarts in between:
// each is settled by the last receipt that it needs, and never before.
func TestOperationsThatDependOnEachOtherSettleByTheDefinition(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		const operations = 6
		s := newSuite(seed, operations)
		b := newBooks(t, map[string][]string{"t": {"returns"}})
		order := s.rng.Perm(len(s.facts))
		for len(order) > 0 {
			n := 1 + s.rng.IntN(min(3, len(order)))
			var unit []fact
			for _, f := range order[:n] {
				s.arrived[f] = true
				unit = append(unit, s.facts[f])
			}
			order = order[n:]
			switch s.rng.IntN(6) {
			case 0:
				b.sweep()
			case 1:
				b.restart()
			}
			b.enter(unit...)
			for i := range operations {
				id := fmt.Sprintf("op%d", i)
				var outcome string
				err := b.db.Read().NewRaw("SELECT coalesce((SELECT outcome FROM ledger WHERE id = ?), '')", id).
					Scan(t.Context(),
						&outcome)
				require.NoError(t, err)
				require.Equal(t, s.done(id), outcome == Settled, "seed %d, %s, %d receipts to come: %s", seed, id,
					len(order),
					outcome)
			}
		}
	}
}

// After an upgrade, nobody waits for a service that handles a topic no more: the next receipt, or else the sweep,
// settles what an earlier version had not handled. A service that handles a topic since the upgrade is not waited for.
func TestServicesThatHandleATopicNoMoreAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, swept := range []bool{false, true} {
		b := newBooks(t, map[string][]string{"t": {"former", "returns"}})
		b.enter(succeeded("A", message("a1", ""), message("a2", "")))
		b.enter(handled("A", "a1"))
		if swept {
			b.enter(handled("A", "a2"))
		}
		assert.Equal(t, []string{Pending}, b.outcomes("A"))
		b.s.opts.Subscriptions = map[string][]string{"t": {"later", "returns"}}
		b.restart()
		if swept {
			b.sweep()
		} else {
			b.enter(handled("A", "a2"))
		}
		assert.Equal(t, []string{Settled}, b.outcomes("A"), "swept: %v", swept)
	}
}
