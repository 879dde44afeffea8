package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
	"stega/internal/wait"
	"stega/store"
)

// recorder is a broker for scenarios that a real one cannot follow: refuse a certain message, confirm it late, or
// lose the connection. It accepts messages and delivers none.
type recorder struct {
	mu     sync.Mutex
	sent   []events.Message
	refuse func(m broker.Outgoing, try int) error
	tries  map[string]int
	late   []func()
	hold   bool // confirmations wait for release
	news   chan struct{}
}

func newRecorder() *recorder {
	return &recorder{tries: map[string]int{}, news: make(chan struct{}, 1)}
}

func (r *recorder) Publish(_ context.Context, m broker.Outgoing, done func(error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries[m.ID]++
	var err error
	if r.refuse != nil {
		err = r.refuse(m, r.tries[m.ID])
	}
	if err == nil {
		r.sent = append(r.sent, m.Message)
	}
	if r.hold {
		r.late = append(r.late, func() { done(err) })
	} else {
		go done(err)
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
	return nil
}

// release confirms the held messages.
func (r *recorder) release() {
	r.mu.Lock()
	late := r.late
	r.late, r.hold = nil, false
	r.mu.Unlock()
	for _, confirm := range late {
		confirm()
	}
}

func (r *recorder) all() []events.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

func (r *recorder) wait(t testing.TB, n int) {
	t.Helper()
	wait.Until(t, fmt.Sprintf("%d messages were sent", n), func() bool { return len(r.all()) >= n })
}

// relay relays to the recorder until stop.
func (r *recorder) relay(t testing.TB, db *store.DB) (stop func()) { return relay(t, db, r) }

func relay(t testing.TB, db *store.DB, b broker.Publisher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(t, (&store.Relay{DB: db, Broker: b, Log: quiet()}).Run(ctx, func() {}))
	}()
	var once sync.Once
	stop = func() {
		once.Do(cancel)
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// distinct returns each message once. A relay repeats messages whose confirmations it has not recorded before its
// end.
func (r *recorder) distinct() (all []events.Message) {
	seen := map[string]bool{}
	for _, m := range r.all() {
		if !seen[m.ID] {
			seen[m.ID], all = true, append(all, m)
		}
	}
	return all
}

func (r *recorder) versions(t testing.TB, subject string) []int64 {
	t.Helper()
	return versions(t, r.all(), subject)
}

// versions returns the versions of the messages of a subject.
func versions(t testing.TB, all []events.Message, subject string) []int64 {
	t.Helper()
	got := []int64{}
	for _, m := range all {
		if m.Subject == subject {
			kind, ok := events.Lookup(m.Type)
			require.True(t, ok)
			e, err := kind.Decode(m.Data)
			require.NoError(t, err)
			got = append(got, e.(events.PortfolioReturnsUpdated).Version)
		}
	}
	return got
}

func upTo(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i + 1)
	}
	return out
}

func relays(t *testing.T, h Harness) {
	db := open(t, h)
	const subjects, each = 20, 150
	for n := range each {
		unit(t, db, func(_ context.Context, tx *store.Tx) error {
			for s := range subjects {
				if err := emit(tx, fmt.Sprint("s", s), n+1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b := newRecorder()
	stop := b.relay(t, db)
	b.wait(t, subjects*each)
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s0", each+1) })
	b.wait(t, subjects*each+1)
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
	stop()
	assert.Equal(t, upTo(each+1), b.versions(t, "s0"))
	for s := range subjects - 1 {
		assert.Equal(t, upTo(each), b.versions(t, fmt.Sprint("s", s+1)))
	}
}

// idGap lets a unit take an outbox id, and commit after messages with higher ids were sent.
func idGap(t *testing.T, h Harness) {
	url := h.URL(t)
	db, other := reopen(t, url), reopen(t, url)
	b := newRecorder()
	b.relay(t, db)
	wrote, commit, late := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		late <- other.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if err := errors.Join(emit(tx, "late", 1), tx.Flush(ctx)); err != nil {
				return err
			}
			close(wrote)
			<-commit
			return emit(tx, "late", 2)
		})
	}()
	<-wrote
	if db.Read().Dialect().Name().String() == "pg" { // one SQLite file has one writer at a time, so there is no gap
		for n := range 50 {
			unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "early", n+1) })
		}
		b.wait(t, 50)
		wait.Until(t, "sent rows are deleted", func() bool { return count(t, db, "outbox") == 0 })
		// Other units continue for so long that the relay would rarely check lower ids if no transaction were open.
		for began := time.Now(); time.Since(began) < time.Second; {
			unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "on", 1) })
		}
	}
	close(commit)
	require.NoError(t, <-late)
	committed := time.Now()
	wait.Until(t, "the late ones are sent", func() bool { return len(b.versions(t, "late")) == 2 })
	assert.Less(t, time.Since(committed), 10*time.Second)
	assert.Equal(t, []int64{1, 2}, b.versions(t, "late"))
}

// longBacklog lets writers continue while the relay works through more rows than it reads at a time, or holds in
// memory.
func longBacklog(t *testing.T, h Harness) {
	url := h.URL(t)
	db, other := reopen(t, url), reopen(t, url)
	const old, writers, each = 9000, 4, 150
	for n := 0; n < old; n += 1000 {
		unit(t, db, func(_ context.Context, tx *store.Tx) error {
			for i := range 1000 {
				if err := emit(tx, fmt.Sprint("old", (n+i)%700), (n+i)/700+1); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b := newRecorder()
	b.relay(t, db)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				err := other.Do(t.Context(),
					func(_ context.Context, tx *store.Tx) error { return emit(tx, fmt.Sprint("new", w), n+1) })
				if !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	group.Wait()
	b.wait(t, old+writers*each)
	for w := range writers {
		assert.Equal(t, upTo(each), b.versions(t, fmt.Sprint("new", w)))
	}
	for s := range 700 {
		versions := b.versions(t, fmt.Sprint("old", s))
		require.Equal(t, upTo(len(versions)), versions)
	}
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
}

func refused(t *testing.T, h Harness) {
	db := open(t, h)
	b := newRecorder()
	heal := make(chan struct{})
	b.refuse = func(m broker.Outgoing, _ int) error {
		select {
		case <-heal:
		default:
			if m.Subject == "bad" && m.Sequence == 2 {
				return broker.ErrNacked
			}
		}
		return nil
	}
	b.relay(t, db)
	for n := range 4 {
		unit(t, db, func(_ context.Context, tx *store.Tx) error {
			return errors.Join(emit(tx, "bad", n+1), emit(tx, "good", n+1))
		})
	}
	b.wait(t, 5)
	wait.Until(t, "the others are gone", func() bool { return count(t, db, "outbox") == 3 })
	assert.Equal(t, upTo(4), b.versions(t, "good"))
	assert.Equal(t, upTo(1), b.versions(t, "bad"))
	close(heal)
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
	assert.Equal(t, upTo(4), b.versions(t, "bad"))
}

// forgetful is a recorder whose confirmations do not outlive it.
type forgetful struct {
	*recorder
	mu      sync.Mutex
	handled func(id string)
}

func (f *forgetful) OnHandled(fn func(string)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handled = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.handled = nil
	}
}

func (f *forgetful) handle(m events.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handled(m.ID)
}

func volatile(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		return errors.Join(emit(tx, "s", 1), emit(tx, "s", 2), emit(tx, "u", 1))
	})
	b := &forgetful{recorder: newRecorder()}
	stop := relay(t, db, b)
	b.wait(t, 3)
	b.handle(events.Message{Envelope: events.Envelope{ID: "of another service"}})
	for _, m := range b.all() {
		if m.Subject == "u" {
			b.handle(m)
		}
	}
	wait.Until(t, "handled rows are deleted", func() bool { return count(t, db, "outbox") == 2 })
	stop()
	assert.Equal(t, 2, count(t, db, "outbox"), "confirmed, but not handled")

	again := &forgetful{recorder: newRecorder()}
	relay(t, db, again)
	again.wait(t, 2)
	assert.Equal(t, upTo(2), again.versions(t, "s"))
	again.hold = true
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "v", 1) })
	again.wait(t, 3)
	for _, m := range again.all() {
		again.handle(m) // v is handled before its confirmation
	}
	again.release()
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
}

func takesOver(t *testing.T, h Harness) {
	url := h.URL(t)
	one := reopen(t, url)
	if one.Read().Dialect().Name().String() != "pg" {
		t.Skip("a SQLite file belongs to one process, which has one relay")
	}
	two := reopen(t, url)
	a, b := newRecorder(), newRecorder()
	stop := a.relay(t, one)
	unit(t, two, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 1) })
	a.wait(t, 1)
	b.relay(t, two)
	unit(t, two, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 2) })
	a.wait(t, 2)
	assert.Empty(t, b.all())
	// A message that was sent, and not confirmed yet when its relay ends, is sent again by the next.
	wait.Until(t, "the outbox is empty", func() bool { return count(t, two, "outbox") == 0 })
	stop()
	unit(t, one, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 3) })
	b.wait(t, 1)
	assert.Equal(t, []int64{3}, b.versions(t, "s"))
	assert.Equal(t, upTo(2), a.versions(t, "s"))
}

// restarts runs units during a restart of the server. Failed units run again under the same claim, like a redelivery.
func restarts(t *testing.T, h Harness) {
	if h.Restart == nil {
		t.Skip("there is no server to restart")
	}
	db := open(t, h)
	b := newRecorder()
	b.relay(t, db)
	const workers, units = 4, 100
	var group sync.WaitGroup
	failures := make(chan error, 10*workers*units)
	half := make(chan struct{})
	var begun sync.Once
	for w := range workers {
		group.Go(func() {
			for n := range units {
				if n == units/4 {
					begun.Do(func() { close(half) })
				}
				work(t, db, w, n, failures)
			}
		})
	}
	<-half
	h.Restart(t)
	group.Wait()
	assert.Equal(t, workers*units, count(t, db, "trail"), "each effect once")
	for w := range workers {
		wait.Until(t, "everything is sent",
			func() bool { return slices.Max(append(b.versions(t, fmt.Sprint("w", w)), 0)) == units })
		assert.Equal(t, upTo(units), firsts(b.versions(t, fmt.Sprint("w", w))),
			"in order, but for repetitions, which the inbox drops")
	}
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
	t.Logf("%d units failed meanwhile and were run again", len(failures))
}

// firsts returns a list without repetitions.
func firsts(all []int64) []int64 {
	var out []int64
	for _, v := range all {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// work runs one unit until it succeeds.
func work(t *testing.T, db *store.DB, w, n int, failures chan<- error) {
	deadline := time.Now().Add(2 * patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
			claimed, err := store.InboxOf(tx).Claim(ctx,
				[]store.Claim{{MessageID: fmt.Sprintf("%d-%d", w, n), Handler: "h"}})
			if err != nil || !claimed[0] {
				return err
			}
			return errors.Join(trail(ctx, tx, n, "x"), emit(tx, fmt.Sprint("w", w), n+1))
		})
		cancel()
		if err == nil {
			return
		}
		failures <- err
		if !assert.True(t, time.Now().Before(deadline), "%v", err) {
			return
		}
	}
}
