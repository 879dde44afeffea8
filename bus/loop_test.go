package bus_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/bus/bustest"
	"stega/store"
)

func embeddedBroker(t testing.TB) broker.Broker {
	b, err := embedded.Open(t.Context(), t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func sqliteStore(t testing.TB, service string) *store.DB {
	return opened(t, service, "sqlite://"+filepath.Join(t.TempDir(), service+".db"))
}

func opened(t testing.TB, service, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), service, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(t.Context(), nil))
	return db
}

func TestLoopOnEmbeddedAndSQLite(t *testing.T) { bustest.RunLoop(t, embeddedBroker, sqliteStore) }

func BenchmarkEventsOnEmbeddedAndSQLite(b *testing.B) {
	bustest.Throughput(b, embeddedBroker, sqliteStore)
}
