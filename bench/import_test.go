package bench_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/bench"
	"stega/internal/stegatest"
	"stega/internal/wait"
)

// TestAnImportStaysWithinItsBudgets counts what an import of ten years publishes and stores. Time is no budget: counts
// are the same on every machine.
func TestAnImportStaysWithinItsBudgets(t *testing.T) {
	const symbols, days = 40, 2520
	const bars = symbols * days
	cfg := bench.ImportConfig{
		Program: stegatest.Binary(t), Folder: t.TempDir(), Keep: true, Symbols: symbols, Days: days, Runs: 1,
		Progress: t.Logf,
	}
	r, err := bench.RunImport(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, bars, r.Bars)
	require.Len(t, r.Each, 1)
	assert.Positive(t, r.Program.CPU)
	assert.Positive(t, r.Program.Wall)
	t.Logf("%+v", r.Program)
	assert.Less(t, r.Program.WrittenBytes, int64(180*bars), "bytes written to disk for each bar")
	assert.Less(t, r.Program.DiskBytes, int64(150*bars), "bytes on disk for each bar")

	data := filepath.Join(cfg.Folder, "data-0")
	query := func(name, query string, into ...any) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(data, name)+"?mode=ro")
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(into...))
	}
	for topic, most := range map[string]int64{"marketdata.prices_imported": 10, "returns.asset_updated": 13} {
		var n, bytes int64
		query("broker/log.db", "SELECT count(*), sum(length(data)) FROM log WHERE type = '"+topic+"'", &n, &bytes)
		assert.EqualValues(t, symbols, n, "events of %s: one for each symbol", topic)
		assert.LessOrEqual(t, bytes, most*bars, "bytes of %s", topic)
	}
	var all int64
	query("broker/log.db", "SELECT count(*) FROM log", &all)
	assert.LessOrEqual(t, all, int64(4*symbols), "messages of the whole import")
	for name, table := range map[string]string{
		"marketdata": "prices", "returns": "series", "correlations": "series", "optimization": "series",
	} {
		var rows, bytes int64
		query(name+".db", "SELECT count(*), sum(length(data)) FROM "+table, &rows, &bytes)
		assert.LessOrEqual(t, rows, int64(10*symbols), "rows of %s: one for each year of a symbol", name)
		assert.LessOrEqual(t, bytes, int64(28*bars), "bytes of %s", name)
	}
}

func TestAnImportByAProgramThatIsNoServerFails(t *testing.T) {
	if _, err := os.Stat("/bin/true"); err != nil {
		wait.Skip(t, "there is no /bin/true")
	}
	_, err := bench.RunImport(t.Context(), bench.ImportConfig{
		Program: "/bin/true", Folder: t.TempDir(), Symbols: 1, Days: 2, Runs: 1, Progress: t.Logf,
	})
	require.ErrorContains(t, err, "ended before it was ready")
}
