// Package storetest is the conformance suite of the store: Run runs it on one kind of database. It shows what a
// unit of work, the outbox, the inbox, parked messages and operations promise, and breaks what the promises rest on.
package storetest

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/wait"
	"stega/store"
)

// Harness is one kind of database.
type Harness struct {
	// URL makes an empty database.
	URL func(t testing.TB) string
	// Restart restarts the server; nil where there is none.
	Restart func(t testing.TB)
	// ReadOnly makes the server take no writes, or take them again; nil where there is no server.
	ReadOnly func(t testing.TB, on bool)
}

// patience is how long a test waits for a thing that must happen.
const patience = 30 * time.Second

// tables are the suite's own.
var tables = fstest.MapFS{"0001_effects.up.sql": {Data: []byte(`CREATE TABLE effects (subject TEXT PRIMARY KEY, n BIGINT NOT NULL, message TEXT NOT NULL UNIQUE);
CREATE TABLE trail (n BIGINT NOT NULL, text TEXT NOT NULL);
CREATE TABLE kept (name TEXT, year INTEGER, data BYTEA NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (name, year));`)}}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, s := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"a unit of work commits everything or nothing", allOrNothing},
		{"a panic takes a unit back and is the caller's", panics},
		{"a statement that failed fails the unit even if it is passed over", swallowed},
		{"statements put off keep their order and are seen by queries", later},
		{"rows that are put join others of their table, the last of a key wins", puts},
		{"what is due once in a unit runs once, before the commit", once},
		{"a unit that has ended emits nothing", emitsLate},
		{"a taken name is a conflict", conflicts},
		{"what comes after a later message of its subject is overtaken", overtaken},
		{"commands that are lost are sent again, once", lostCommands},
		{"concurrent units of one subject number their events without a gap", sequences},
		{"units that meet a deadlock are run again", deadlocks},
		{"a cancelled unit changes nothing and harms no other", cancelled},
		{"a message counts once for each handler", claims},
		{"concurrent claims of one message have one winner", claimRace},
		{"parked messages line up, are due in order, and are taken by one", parks},
		{"dead letters are listed, revived with new data, and dropped", letters},
		{"an operation is recorded once and finished once", operations},
		{"whoever waits for an operation is woken", waits},
		{"old rows are tidied away and others stay", tidies},
		{"migrations apply once, all of them or none", migrates},
		{"the relay sends in each subject's order and empties the outbox", relays},
		{"a lower id that commits later is still sent, in its subject's order", idGap},
		{"a backlog longer than the relay holds is sent in order, beside what is written meanwhile", longBacklog},
		{"a message that the broker refuses holds up its subject alone", refused},
		{"a message of a broker that may forget stays until it was handled", volatile},
		{"of two relays one works, and the other takes over", takesOver},
		{"two relays that overlap repeat messages and keep each subject's order", overlaps},
		{"a server that takes no writes is away, and what was sent is not sent again", takesNoWrites},
		{"a message that cannot be sent becomes a dead letter and holds its subject alone", unsendable},
		{"a unit inside a unit is refused", nested},
		{"odd bytes in ids and subjects change no other message", oddBytes},
		{"another relay takes over from one whose host is gone", hostGone},
		{"a relay whose connections died silently goes on over new ones", deadConnections},
		{"a query of a server that fell silent ends, whatever deadline it has", fallsSilent},
		{"connections that run out are named", connectionsRunOut},
		{"an operation whose end was asked for does not succeed any more", cancels},
		{"a kill between any two statements leaves all or nothing", kills},
		{"a restart of the server in the middle loses nothing and repeats nothing", restarts},
	} {
		t.Run(s.name, func(t *testing.T) { s.run(t, h) })
	}
}

// open makes an empty, migrated database.
func open(t testing.TB, h Harness, opts ...store.Option) *store.DB {
	t.Helper()
	return reopen(t, h.URL(t), opts...)
}

func reopen(t testing.TB, url string, opts ...store.Option) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "tester", url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(t.Context(), tables))
	return db
}

func unit(t testing.TB, db *store.DB, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	require.NoError(t, db.Do(t.Context(), fn))
}

// emit emits an event of a subject; n tells them apart.
func emit(tx *store.Tx, subject string, n int) error {
	return tx.Emit(events.PortfolioReturnsUpdated{PortfolioID: subject, Version: int64(n)})
}

func trail(ctx context.Context, tx *store.Tx, n int, text string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO trail (n, text) VALUES (?, ?)", n, text)
	return err
}

func count(t testing.TB, db *store.DB, table string) int {
	t.Helper()
	var n int64
	var err error
	wait.Until(t, "the database answers", func() bool { // a connection that a restart ended is found out when it is used
		n, err = db.Read().NewSelect().Table(table).Count(t.Context())
		return err == nil || !store.Away(err)
	})
	require.NoError(t, err)
	return int(n)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
