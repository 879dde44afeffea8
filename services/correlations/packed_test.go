package correlations

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/migrations"
	"stega/store"
)

// On SQLite a year stays a blob when days are appended to it, and the years of earlier versions, which are text, become
// blobs of the same bytes.
func TestYearsAreBlobs(t *testing.T) {
	t.Parallel()
	db := database(t)
	s := New(db)
	day := civil.Of(2024, time.January, 2)
	returns := map[civil.Date]float64{day: 0, day + 1: .01, day + 2: -.02}
	s.handle(t, updated("A", returns, day, day+1))
	s.handle(t, updated("A", returns, day+2))
	read := func() (kind string, data []byte) {
		require.NoError(t, db.Read().NewRaw("SELECT typeof(data), CAST(data AS BLOB) FROM series").
			Scan(t.Context(), &kind, &data))
		return kind, data
	}
	kind, data := read()
	assert.Equal(t, "blob", kind)
	assert.Len(t, data, 3*9)

	require.NoError(t, db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, query := range []string{
			"UPDATE series SET data = CAST(data AS TEXT)",
			"DELETE FROM schema_migrations WHERE name = 'correlations/0002_blobs'",
		} {
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	}))
	kind, _ = read()
	require.Equal(t, "text", kind)
	files, err := migrations.Of("correlations")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	kind, mended := read()
	assert.Equal(t, "blob", kind)
	assert.True(t, bytes.Equal(data, mended))
}
