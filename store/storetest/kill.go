package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/store"
)

const (
	killAt  = "STORETEST_KILL_AT"
	killURL = "STORETEST_KILL_URL"
	killOp  = "STORETEST_KILL_OPERATION"
)

// Child runs one command in a process that kills itself before a given statement, and reports whether this process is
// such a child. A TestMain calls it first.
func Child() (late bool) {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		return false
	}
	n := 0
	db, err := store.Open(context.Background(), "tester", os.Getenv(killURL), store.Observe(func(string) {
		if n++; n == at {
			self, _ := os.FindProcess(os.Getpid()) // the own process always exists
			_ = self.Kill()
			select {}
		}
	}))
	if err == nil {
		err = db.Do(context.Background(), command(os.Getenv(killOp)))
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	return true
}

// command returns a unit of work with every part that a unit may have.
func command(id string) func(ctx context.Context, tx *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		existing, err := store.OperationsOf(tx).Start(ctx, operation(id))
		if err != nil || existing != nil {
			return err
		}
		tx.SetCause(events.Envelope{ID: id, Correlation: id})
		claimed, err := store.InboxOf(tx).Claim(ctx,
			[]store.Claim{{MessageID: id, Handler: "a"}, {MessageID: id, Handler: "b"}})
		if err != nil || !claimed[0] {
			return errors.Join(err, errors.New("claimed before"))
		}
		if err := errors.Join(trail(ctx, tx, 1, id), emit(tx, "s", 1), tx.Flush(ctx), trail(ctx, tx, 2, id),
			emit(tx, "s", 2)); err != nil {
			return err
		}
		return store.OperationsOf(tx).Finish(ctx, id, nil)
	}
}

func kills(t *testing.T, h Harness) {
	if testing.Short() {
		t.Skip("it starts a process for each statement")
	}
	url := h.URL(t)
	db := reopen(t, url)
	require.NoError(t, db.Migrate(t.Context(), fstest.MapFS{}))
	killed, finished, done := 0, false, 0
	for at := 1; !finished; at++ {
		require.NoError(t, db.Close())
		id := events.NewID()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), killAt+"="+strconv.Itoa(at), killURL+"="+url, killOp+"="+id)
		out, err := child.CombinedOutput()
		finished = err == nil
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)
			killed++
		}
		db = reopen(t, url)
		o, err := db.Operation(t.Context(), id)
		if committed := err == nil; committed {
			assert.Equal(t, store.Succeeded, o.Status)
			done++
		}
		whole(t, db, done)
		unit(t, db, command(id)) // the client repeats the command
		if err != nil {
			done++
		}
		whole(t, db, done)
	}
	assert.GreaterOrEqual(t, killed, 4, "statements")
}

// whole checks that commands took effect once each, and completely.
func whole(t *testing.T, db *store.DB, commands int) {
	t.Helper()
	// the third is operation.resolved
	for table, rows := range map[string]int{"trail": 2, "inbox": 2, "outbox": 3} {
		require.Equal(t, rows*commands, count(t, db, table), table)
	}
	require.Equal(t, commands, count(t, db, "operations"))
	var last []int64
	require.NoError(t, db.Read().NewSelect().Table("sequences").Column("value").Scan(t.Context(), &last))
	if commands > 0 {
		require.Equal(t, []int64{int64(2 * commands)}, last)
	}
}
