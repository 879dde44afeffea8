package store

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
)

// One scan of large rows reads no more than the window holds and a part of it.
func TestTheWindowIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), "tester", "sqlite://"+filepath.Join(t.TempDir(), "tester.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(t.Context(), fstest.MapFS{}))
	const rows = 100
	for n := range rows {
		require.NoError(t, db.Do(t.Context(), func(_ context.Context, tx *Tx) error {
			return tx.Emit(events.PortfolioDeleted{Portfolio: events.Portfolio{
				ID: strconv.Itoa(n), Name: strings.Repeat("x", 1<<20-512),
			}})
		}))
	}
	lead, err := db.engine.lead(t.Context())
	require.NoError(t, err)
	w := &activeRelay{
		Relay:      &Relay{DB: db, confirmed: map[string]bool{}, published: map[string]publication{}},
		leadership: lead, held: map[int64]bool{}, lines: map[lineKey]*line{}, flight: map[string]bool{},
	}
	require.NoError(t, w.scan(t.Context()))
	assert.GreaterOrEqual(t, w.bytes, relayBytes)
	assert.LessOrEqual(t, w.bytes, relayBytes+relayBytes/4)
	assert.False(t, w.caught)
	assert.False(t, w.wants(), "nothing more is read until a half is sent")
}
