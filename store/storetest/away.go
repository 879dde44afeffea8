package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/internal/wait"
	"stega/store"
)

// lineCounter counts the lines of a log that contain a text.
type lineCounter struct {
	text string
	n    atomic.Int64
}

func (c *lineCounter) Write(b []byte) (int, error) {
	c.n.Add(int64(strings.Count(string(b), c.text)))
	return len(b), nil
}

// refusesWrites makes the server read-only during confirmations: then the rows of sent messages cannot be deleted.
func refusesWrites(t *testing.T, h Harness) {
	if h.ReadOnly == nil {
		t.Skip("there is no server")
	}
	db := open(t, h)
	require.NoError(t, db.Ping(t.Context()))
	b := newRecorder()
	b.hold = true
	restartLines := &lineCounter{text: "relay restarting"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- (&store.Relay{DB: db, Broker: b, Log: slog.New(slog.NewTextHandler(restartLines, nil))}).
			Run(ctx, func() {})
	}()
	defer func() { cancel(); require.NoError(t, <-done) }()
	const subjects = 30
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		for s := range subjects {
			if err := errors.Join(emit(tx, fmt.Sprint("s", s), 1), emit(tx, fmt.Sprint("s", s), 2)); err != nil {
				return err
			}
		}
		return nil
	})
	b.wait(t, subjects)
	h.ReadOnly(t, true)
	b.release()
	write := func() error {
		return db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error { return trail(ctx, tx, 1, "x") })
	}
	for _, err := range []error{db.Ping(t.Context()), write(), db.Ping(t.Context())} {
		f, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, fault.KindUnavailable, f.Kind)
		assert.Equal(t, "database_read_only", f.Code)
		assert.True(t, store.Away(err))
		assert.True(t, store.Refuses(err))
	}
	wait.Until(t, "the relay has tried several times", func() bool { return restartLines.n.Load() >= 5 })
	assert.LessOrEqual(t, len(b.all()), 2*subjects, "no message is sent repeatedly")
	h.ReadOnly(t, false)
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
	wait.Until(t, "the database answers", func() bool { return db.Ping(t.Context()) == nil })
	require.NoError(t, write())
	times := map[string]int{}
	for _, m := range b.all() {
		times[m.ID]++
	}
	assert.Len(t, times, 2*subjects)
	for id, n := range times {
		assert.Equal(t, 1, n, "message %s was sent once", id)
	}
}

// selective is a recorder that refuses messages of certain subjects, in one of two ways.
type selective struct {
	*recorder
	mu sync.Mutex
	// bad holds, by subject, the error of Publish, or with ErrUnknown the outcome of all messages in flight.
	bad map[string]error
}

func (p *selective) set(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad[subject] = err
}

func (p *selective) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	p.mu.Lock()
	err := p.bad[m.Subject]
	p.mu.Unlock()
	switch {
	case err == nil:
		return p.recorder.Publish(ctx, m, done)
	case errors.Is(err, broker.ErrUnknown):
		go done(err)
		return nil
	}
	return err
}

func unsendable(t *testing.T, h Harness) {
	db := open(t, h)
	b := &selective{recorder: newRecorder(), bad: map[string]error{
		"long": errors.New("it is too long"), "large": fmt.Errorf("%w: %w", broker.ErrUnknown, broker.ErrInvalid),
	}}
	stop := relay(t, db, b)
	dead := func(n int) (letters []store.ParkedMessage) {
		wait.Until(t, "there are dead letters", func() bool {
			var err error
			letters, err = db.DeadLetters(t.Context(), store.Dead, 100, 0)
			require.NoError(t, err)
			return len(letters) == n
		})
		return letters
	}
	for n := range 3 {
		unit(t, db, func(_ context.Context, tx *store.Tx) error {
			return errors.Join(emit(tx, "long", n+1), emit(tx, "large", n+1), emit(tx, "good", n+1))
		})
	}
	wait.Until(t, "others are sent", func() bool { return len(versions(t, b.distinct(), "good")) == 3 })
	letters := dead(2)
	for _, l := range letters {
		assert.Equal(t, store.Unsent, l.Handler)
		assert.NotEmpty(t, l.LastError)
		assert.Equal(t, events.PortfolioReturnsUpdated{}.Topic(), l.Message.Type)
	}
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		return errors.Join(emit(tx, "long", 4), emit(tx, "large", 4), emit(tx, "good", 4))
	})
	wait.Until(t, "others are sent", func() bool { return len(versions(t, b.distinct(), "good")) == 4 })
	assert.Empty(t, versions(t, b.distinct(), "long"), "later messages of the subject wait")
	assert.Empty(t, versions(t, b.distinct(), "large"))
	stop()
	stop = relay(t, db, b) // with the same state
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "good", 5) })
	wait.Until(t, "others are sent", func() bool { return len(versions(t, b.distinct(), "good")) == 5 })
	assert.Empty(t, versions(t, b.distinct(), "long"))

	b.set("long", nil)
	b.set("large", nil)
	for _, l := range letters {
		if l.Message.Subject == "long" {
			require.NoError(t, db.Revive(t.Context(), l.ID, nil))
		} else {
			require.NoError(t, db.Drop(t.Context(), l.ID))
		}
	}
	wait.Until(t, "the outbox is empty", func() bool { return count(t, db, "outbox") == 0 })
	assert.Equal(t, upTo(4), versions(t, b.distinct(), "long"))
	assert.Equal(t, []int64{2, 3, 4}, versions(t, b.distinct(), "large"), "the first was dropped")
	assert.Empty(t, dead(0))
	stop()

	var failed []string
	for _, m := range b.distinct() {
		if m.Type == (events.Handled{}).Topic() {
			kind, _ := events.Lookup(m.Type)
			e, err := kind.Decode(m.Data)
			require.NoError(t, err)
			for _, r := range e.(events.Handled).Items {
				if r.State == events.ReceiptDead {
					failed = append(failed, r.About)
				}
			}
		}
	}
	assert.ElementsMatch(t, []string{"long", "large"}, failed, "receipts report them as dead")
}

func nested(t *testing.T, h Harness) {
	db := open(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inner := func(context.Context, *store.Tx) error { return nil }
	require.Error(t, db.Do(ctx, func(ctx context.Context, _ *store.Tx) error { return db.Do(ctx, inner) }))
	// A nested unit with a context of its own ends with that context.
	brief, end := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer end()
	err := db.Do(ctx, func(context.Context, *store.Tx) error { return db.Do(brief, inner) })
	if db.Read().Dialect().Name().String() != "pg" { // PostgreSQL has other connections
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error { return trail(ctx, tx, 1, "x") })
}

func oddBytes(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := store.InboxOf(tx).Claim(ctx, []store.Claim{{MessageID: "seen", Handler: "h"}})
		return err
	})
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		claimed, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: "seen", Handler: "h"}, {MessageID: "new\x00", Handler: "h"},
				{MessageID: "a\xff", Handler: "h"}})
		require.NoError(t, err)
		assert.Equal(t, []bool{false, true, true}, claimed)
		claimed, err = store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: "other", Handler: "h"}, {MessageID: "new\x00", Handler: "h"},
				{MessageID: "a\xff", Handler: "h"}})
		require.NoError(t, err)
		assert.Equal(t, []bool{true, false, false}, claimed)
		return store.InboxOf(tx).Park(ctx,
			store.ParkedMessage{Handler: "h", State: store.Parked,
				Message: events.Message{Envelope: events.Envelope{ID: "m", Subject: "a\xff"}}})
	})
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		odd, plain := store.Lane{Handler: "h", Subject: "a\xff"}, store.Lane{Handler: "h", Subject: "a"}
		blocked, err := store.InboxOf(tx).Blocked(ctx, []store.Lane{odd, plain})
		assert.True(t, blocked[odd])
		assert.False(t, blocked[plain])
		return err
	})
}

// overlapping freezes a relay during a publish while another takes over.
func overlapping(t *testing.T, h Harness) {
	url := h.URL(t)
	one := reopen(t, url)
	if one.Read().Dialect().Name().String() != "pg" {
		t.Skip("a SQLite file belongs to one process, which has one relay")
	}
	two := reopen(t, url)
	const each = 50
	b := newRecorder() // for both relays
	frozen := &frozenRelay{recorder: b, at: 20, reached: make(chan struct{}), thaw: make(chan struct{})}
	relay(t, one, frozen)
	for n := range each {
		unit(t, two, func(_ context.Context, tx *store.Tx) error {
			return errors.Join(emit(tx, "s", n+1), emit(tx, "u", n+1))
		})
	}
	<-frozen.reached
	_, err := two.Read().ExecContext(t.Context(),
		`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	require.NoError(t, err)
	relay(t, two, b)
	wait.Until(t, "the other has sent all", func() bool { return len(firsts(b.versions(t, "s"))) == each })
	close(frozen.thaw)
	wait.Until(t, "the outbox is empty", func() bool { return count(t, two, "outbox") == 0 })
	for range 2 { // for the messages that the thawed relay still sends
		unit(t, two, func(_ context.Context, tx *store.Tx) error { return emit(tx, "after", 1) })
		wait.Until(t, "the outbox is empty", func() bool { return count(t, two, "outbox") == 0 })
	}
	for _, subject := range []string{"s", "u"} {
		assert.Equal(t, upTo(each), firsts(b.versions(t, subject)), "in order, but for repetitions")
	}
}

// frozenRelay stops in the middle of a publish until it is thawed.
type frozenRelay struct {
	*recorder
	at            int64
	n             atomic.Int64
	reached, thaw chan struct{}
}

func (f *frozenRelay) Publish(ctx context.Context, m broker.Outgoing, done func(error)) error {
	if f.n.Add(1) == f.at {
		close(f.reached)
		<-f.thaw
	}
	return f.recorder.Publish(ctx, m, done)
}
