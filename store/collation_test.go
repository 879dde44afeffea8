package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/servers"
	"stega/migrations"
	"stega/store"
)

// A database that was made before, and a table that somebody added, sort by bytes after the next migration.
func TestTextSortsByBytesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	files, err := migrations.Of("marketdata")
	require.NoError(t, err)
	db, err := store.Open(ctx, "marketdata", servers.Postgres(t).URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(ctx, files))
	run := func(statement string) {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		}))
	}
	run(`ALTER TABLE prices ALTER COLUMN symbol TYPE TEXT COLLATE "default"`)
	run(`CREATE TABLE "odd name" ("a word" TEXT PRIMARY KEY, other TEXT)`)
	run(`INSERT INTO prices VALUES ('AA', 2024, 0, 0, 1, ''), ('A_B', 2024, 0, 0, 1, ''), ('B', 2024, 0, 0, 1, '')`)
	ordered := func() (symbols []string) {
		require.NoError(t, db.Read().NewSelect().Table("prices").Column("symbol").Order("symbol").Scan(ctx, &symbols))
		return symbols
	}
	require.Equal(t, []string{"A_B", "AA", "B"}, ordered(), "the server's own order is that of a language")

	pending, err := db.Pending(ctx, files)
	require.NoError(t, err)
	assert.Equal(t, []string{"store/collation"}, pending, "a process that may not migrate refuses to start")
	require.NoError(t, db.Migrate(ctx, files))
	pending, err = db.Pending(ctx, files)
	require.NoError(t, err)
	assert.Empty(t, pending)
	assert.Equal(t, []string{"AA", "A_B", "B"}, ordered())
	var other int
	require.NoError(t, db.Read().NewRaw(`SELECT count(*) FROM pg_attribute a
		JOIN pg_collation c ON c.oid = a.attcollation
		WHERE a.attrelid = '"odd name"'::regclass AND a.attnum > 0 AND c.collname <> 'C'`).Scan(ctx, &other))
	assert.Zero(t, other)
}
