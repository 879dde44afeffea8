// Package storetest is the conformance suite of the store; Run runs it on one kind of database. It checks the
// guarantees of units of work, the outbox, the inbox, parked messages and operations, and breaks their dependencies.
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
	// URL creates an empty database and returns its URL.
	URL func(t testing.TB) string
	// Restart restarts the server; nil without a server.
	Restart func(t testing.TB)
	// ReadOnly makes the server refuse writes, or accept them again; nil without a server.
	ReadOnly func(t testing.TB, on bool)
}

// patience limits the wait for an expected condition.
const patience = 30 * time.Second

// tables are the tables of the suite.
var tables = fstest.MapFS{"0001_effects.up.sql": {Data: []byte(`
CREATE TABLE effects (subject TEXT PRIMARY KEY, n BIGINT NOT NULL, message TEXT NOT NULL UNIQUE);
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
		{"a panic rolls back a unit and reaches the caller", panics},
		{"a failed statement fails the unit even if its error is ignored", swallowed},
		{"queued statements keep their order and are visible to queries", later},
		{"put rows are written together, and the last of a key wins", puts},
		{"a once function runs once in a unit, before the commit", once},
		{"a unit that has ended emits nothing", emitsLate},
		{"a taken name is a conflict", conflicts},
		{"a message after a later one of its subject is overtaken", overtaken},
		{"lost commands are sent again, once", lostCommands},
		{"concurrent units of one subject number their events without gaps", sequences},
		{"units run again after a deadlock", deadlocks},
		{"a cancelled unit changes nothing and harms no other", cancelled},
		{"a message counts once for each handler", claims},
		{"concurrent claims of one message have one winner", claimRace},
		{"parked messages queue, are due in order, and are taken by one", parks},
		{"dead letters are listed, revived with new data, and dropped", letters},
		{"an operation is recorded once and finished once", operations},
		{"waiting for an operation ends with it", waits},
		{"old rows are deleted and others stay", tidies},
		{"migrations apply once, all of them or none", migrates},
		{"the relay sends in each subject's order and empties the outbox", relays},
		{"a lower id that commits later is still sent, in its subject's order", idGap},
		{"a backlog longer than the relay's memory is sent in order, beside new messages", longBacklog},
		{"a message that the broker refuses delays only its subject", refused},
		{"a message of a volatile broker stays until it is handled", volatile},
		{"of two relays one works, and the other takes over", takesOver},
		{"two overlapping relays repeat messages and keep each subject's order", overlapping},
		{"a server that refuses writes is away, and sent messages are not repeated", refusesWrites},
		{"a message that cannot be sent becomes a dead letter and holds only its subject", unsendable},
		{"a unit inside a unit is refused", nested},
		{"odd bytes in ids and subjects change no other message", oddBytes},
		{"another relay takes over from a lost host", lostHost},
		{"a relay continues after its connections died silently", deadConnections},
		{"a query of a silent server ends, whatever its deadline", silentServer},
		{"a connection limit is reported", connectionsRunOut},
		{"an operation does not succeed after its cancellation", cancels},
		{"a kill between any two statements leaves all or nothing", kills},
		{"a restart of the server in the middle loses nothing and repeats nothing", restarts},
	} {
		t.Run(s.name, func(t *testing.T) { s.run(t, h) })
	}
}

// open returns an empty, migrated database.
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

// emit emits an event of a subject; n distinguishes events.
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
	wait.Until(t, "the database answers", func() bool { // a restart is detected at the next use of a connection
		n, err = db.Read().NewSelect().Table(table).Count(t.Context())
		return err == nil || !store.Away(err)
	})
	require.NoError(t, err)
	return int(n)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
