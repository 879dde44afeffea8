package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect"

	"stega/events"
	"stega/store"
)

var errOops = errors.New("oops")

func allOrNothing(t *testing.T, h Harness) {
	db := open(t, h)
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		require.NoError(t, trail(ctx, tx, 1, "a"))
		require.NoError(t, emit(tx, "s", 1))
		require.NoError(t, tx.Flush(ctx))
		return errOops
	})
	require.ErrorIs(t, err, errOops)
	assert.Zero(t, count(t, db, "trail"))
	assert.Zero(t, count(t, db, "outbox"))
	assert.Zero(t, count(t, db, "sequences"))

	cause := events.Envelope{ID: events.NewID(), Correlation: events.NewID(), TraceParent: "00-1-2-01"}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		tx.SetCause(cause)
		assert.Equal(t, cause, tx.Cause())
		require.NoError(t, trail(ctx, tx, 1, "quote ' question ? null-free \\ end"))
		return errors.Join(emit(tx, "it's ? a \\ subject", 1), emit(tx, "it's ? a \\ subject", 2))
	})
	var text string
	require.NoError(t, db.Read().NewSelect().Table("trail").Column("text").Scan(t.Context(), &text))
	assert.Equal(t, "quote ' question ? null-free \\ end", text)
	sent := newRecorder()
	stop := sent.relay(t, db)
	defer stop()
	sent.wait(t, 2)
	for i, m := range sent.all() {
		assert.Equal(t, "it's ? a \\ subject", m.Subject)
		assert.Equal(t, int64(i+1), m.Sequence)
		assert.Equal(t, cause.ID, m.Causation)
		assert.Equal(t, cause.Correlation, m.Correlation)
		assert.Equal(t, cause.TraceParent, m.TraceParent)
		assert.Equal(t, "stega/tester", m.Source)
		assert.Equal(t, "returns.portfolio_updated", m.Type)
		assert.WithinDuration(t, time.Now(), m.Time, patience)
		assert.JSONEq(t, fmt.Sprintf(`{"portfolio_id":"it's ? a \\ subject","version":%d}`, i+1), string(m.Data))
	}
}

func panics(t *testing.T, h Harness) {
	db := open(t, h)
	assert.PanicsWithValue(t, "boom", func() {
		_ = db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			require.NoError(t, trail(ctx, tx, 1, "a"))
			panic("boom")
		})
	})
	unit(t, db, func(ctx context.Context, tx *store.Tx) error { return trail(ctx, tx, 2, "b") })
	assert.Equal(t, 1, count(t, db, "trail"))
}

func swallowed(t *testing.T, h Harness) {
	db := open(t, h)
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		require.NoError(t, trail(ctx, tx, 1, "a"))
		_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
		require.Error(t, err)
		return nil
	})
	require.Error(t, err)
	err = db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		require.NoError(t, trail(ctx, tx, 1, "a"))
		tx.Queue(tx.NewRaw("INSERT INTO nowhere VALUES (1)"))
		return nil
	})
	require.Error(t, err)
	assert.Zero(t, count(t, db, "trail"))
}

func later(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		tx.Queue(tx.NewRaw("INSERT INTO trail VALUES (1, ?)", "it's"))
		tx.Queue(tx.NewRaw("UPDATE trail SET n = n + 1"))
		var n int
		require.NoError(t, tx.NewSelect().Table("trail").Column("n").Where("text = ?", "it's").Scan(ctx, &n))
		assert.Equal(t, 2, n)
		tx.Queue(tx.NewRaw("UPDATE trail SET n = n * 10"))
		require.NoError(t, tx.QueryRowContext(ctx, "SELECT n FROM trail WHERE text = ?", "it's").Scan(&n))
		assert.Equal(t, 20, n)
		tx.Queue(tx.NewRaw("UPDATE trail SET n = n + 1"))
		result, err := tx.NewUpdate().Table("trail").Set("n = n * 10").Where("n = 21").Exec(ctx)
		require.NoError(t, err)
		changed, err := result.RowsAffected()
		require.NoError(t, err)
		assert.Equal(t, int64(1), changed, "the rows are those of the last statement, not of queued ones")
		tx.Queue(tx.NewRaw("UPDATE trail SET n = n + 1"))
		return nil
	})
	var n int
	require.NoError(t, db.Read().NewSelect().Table("trail").Column("n").Scan(t.Context(), &n))
	assert.Equal(t, 211, n)
}

func puts(t *testing.T, h Harness) {
	db := open(t, h)
	keep := store.NewUpsert("kept", 2, "name", "year", "data", "n")
	add := keep.Setting("n = kept.n + excluded.n WHERE excluded.n > 1")
	data := func(n int) []byte { return bytes.Repeat([]byte{0, byte(n), '\'', 0xff}, 300) }
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		tx.Put(keep, "before", 1, data(0), 0)
		tx.Queue(tx.NewRaw("DELETE FROM kept")) // runs before put rows, in any order
		for i := range 5000 {
			tx.Put(keep, fmt.Sprintf("it's %d", i%2500), 2000+i%2, data(i), i)
		}
		var n int
		require.NoError(t, tx.NewSelect().Table("kept").ColumnExpr("count(*)").Scan(ctx, &n))
		assert.Equal(t, 2501, n, "a query includes them")
		for i := range 3 {
			tx.Put(add, "before", 1, data(9), i+1)
		}
		_, err := tx.ExecContext(ctx, "UPDATE kept SET n = n * 10 WHERE name = 'before'")
		return err
	})
	var row struct {
		Data []byte
		N    int
	}
	read := func(name string) {
		t.Helper()
		require.NoError(t, db.Read().NewSelect().Table("kept").Column("data", "n").Where("name = ?",
			name).Scan(t.Context(), &row))
	}
	read("before")
	assert.Equal(t, 50, row.N,
		"excluded rows change nothing, and a statement runs after earlier put rows")
	assert.Equal(t, data(0), row.Data)
	for _, i := range []int{0, 1, 1250, 2499} {
		read(fmt.Sprintf("it's %d", i))
		assert.Equal(t, i+2500, row.N)
		assert.Equal(t, data(i+2500), row.Data)
	}
	require.Error(t, db.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
		tx.Put(add, "before", 1, data(1), 5)
		tx.Put(keep, "bad", 1, nil, 1)
		return nil
	}))
	read("before")
	assert.Equal(t, 50, row.N, "an invalid row fails the unit")
}

func once(t *testing.T, h Harness) {
	db := open(t, h)
	var ran []string
	first := events.Envelope{ID: "first", Correlation: "op"}
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		ran = nil
		note := func(name string) func(context.Context, *store.Tx) error {
			return func(ctx context.Context, tx *store.Tx) error {
				ran = append(ran, name+" because of "+tx.Cause().ID)
				if name == "a" {
					tx.Once("c", func(context.Context, *store.Tx) error {
						ran = append(ran, "c")
						return emit(tx, "s", 1)
					})
				}
				return nil
			}
		}
		tx.SetCause(first)
		tx.Once("a", note("a"))
		tx.SetCause(events.Envelope{ID: "second"})
		tx.Once("b", note("b"))
		tx.Once("a", note("never"))
		assert.Empty(t, ran)
		return nil
	})
	assert.Equal(t, []string{"a because of first", "b because of second", "c"}, ran)
	assert.Equal(t, 1, count(t, db, "outbox"))
	err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		tx.Once("a", func(context.Context, *store.Tx) error { return errOops })
		return trail(ctx, tx, 1, "a")
	})
	require.ErrorIs(t, err, errOops)
	assert.Zero(t, count(t, db, "trail"))
}

func emitsLate(t *testing.T, h Harness) {
	db := open(t, h)
	var kept *store.Tx
	unit(t, db, func(_ context.Context, tx *store.Tx) error {
		kept = tx
		return emit(tx, "s", 1)
	})
	require.Error(t, emit(kept, "s", 2))
	assert.Equal(t, 1, count(t, db, "outbox"))
}

func conflicts(t *testing.T, h Harness) {
	db := open(t, h)
	insert := func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('s', 1, 'm')")
		return err
	}
	unit(t, db, insert)
	err := db.Do(t.Context(), insert)
	require.Error(t, err)
	assert.True(t, store.Conflict(err), "%v", err)
	assert.False(t, store.Conflict(errOops))
	err = db.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
		tx.Queue(tx.NewRaw("INSERT INTO effects VALUES ('s', 1, 'm')"))
		return nil
	})
	assert.True(t, store.Conflict(err), "%v", err)
}

func sequences(t *testing.T, h Harness) {
	db := open(t, h)
	const workers, units = 8, 25
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range units {
				err := db.Do(t.Context(), func(_ context.Context, tx *store.Tx) error {
					return errors.Join(emit(tx, "shared", w*units+i), emit(tx, fmt.Sprintf("own %d", w), i),
						emit(tx, "shared", w*units+i))
				})
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	var rows []struct {
		Subject  string
		Sequence int64
	}
	require.NoError(t, db.Read().NewSelect().Table("outbox").Column("subject",
		"sequence").Order("id").Scan(t.Context(), &rows))
	require.Len(t, rows, 3*workers*units)
	next := map[string]int64{}
	for _, r := range rows {
		next[r.Subject]++
		require.Equal(t, next[r.Subject], r.Sequence, "the order of ids is the order of sequences in %s", r.Subject)
	}
}

func deadlocks(t *testing.T, h Harness) {
	db := open(t, h)
	unit(t, db, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('a', 0, 'a'), ('b', 0, 'b')")
		return err
	})
	const units = 8
	var group sync.WaitGroup
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		group.Go(func() {
			for range units {
				err := db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					for _, s := range order {
						if _, err := tx.ExecContext(ctx, "UPDATE effects SET n = n + 1 WHERE subject = ?",
							s); err != nil {
							return err
						}
					}
					return nil
				})
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	var n []int64
	require.NoError(t, db.Read().NewSelect().Table("effects").Column("n").Scan(t.Context(), &n))
	assert.Equal(t, []int64{2 * units, 2 * units}, n)
}

func cancelled(t *testing.T, h Harness) {
	db := open(t, h)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			err := db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
				if err := trail(ctx, tx, i, "x"); err != nil {
					return err
				}
				if i%2 == 1 {
					cancel()
				}
				return trail(ctx, tx, i, "y")
			})
			if i%2 == 1 {
				assert.ErrorIs(t, err, context.Canceled)
			} else {
				assert.NoError(t, err)
			}
			cancel()
		})
	}
	group.Wait()
	assert.Equal(t, 20, count(t, db, "trail"))
	odd, err := db.Read().NewSelect().Table("trail").Where("n % 2 = 1").Count(t.Context())
	require.NoError(t, err)
	assert.Zero(t, odd)
}

func migrates(t *testing.T, h Harness) {
	url := h.URL(t)
	db, err := store.Open(t.Context(), "tester", url)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	pending, err := db.Pending(t.Context(), tables)
	require.NoError(t, err)
	require.NotEmpty(t, pending)
	all := len(pending)
	assert.Equal(t, "store/0001_store", pending[0], "the migrations of the package come first")
	assert.Equal(t, "tester/0001_effects", pending[all-1])
	bad := fstest.MapFS{"0001_effects.up.sql": tables["0001_effects.up.sql"],
		"0002_bad.up.sql": {Data: []byte("CREATE TABLE fine (x TEXT); NONSENSE")}}
	require.ErrorContains(t, db.Migrate(t.Context(), bad), "tester/0002_bad")
	pending, err = db.Pending(t.Context(), tables)
	require.NoError(t, err)
	assert.Len(t, pending, all, "no migration is partly applied")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { assert.NoError(t, db.Migrate(t.Context(), tables)) })
	}
	group.Wait()
	pending, err = db.Pending(t.Context(), tables)
	require.NoError(t, err)
	assert.Empty(t, pending)
	more := fstest.MapFS{"0001_effects.up.sql": tables["0001_effects.up.sql"],
		"0002_more.up.sql": {Data: []byte("ALTER TABLE trail ADD COLUMN more TEXT")}}
	require.NoError(t, db.Migrate(t.Context(), more))
	require.NoError(t, db.Migrate(t.Context(), more))
	_, err = db.Read().NewSelect().Table("trail").Column("more").Exec(t.Context())
	require.NoError(t, err)
	assert.Contains(t, []dialect.Name{dialect.PG, dialect.SQLite}, db.Read().Dialect().Name())
}
