package bus_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/broker/rabbitmq"
	"stega/bus/bustest"
	"stega/internal/servers"
	"stega/store"
)

// pairs are all pairs of a broker and a database.
var pairs = []struct {
	name   string
	broker func(t testing.TB) broker.Broker
	store  bustest.NewStore
}{
	{"embedded and SQLite", embeddedBroker, sqliteStore},
	{"embedded and PostgreSQL", embeddedBroker, postgresStore},
	{"RabbitMQ and SQLite", rabbitBroker, sqliteStore},
	{"RabbitMQ and PostgreSQL", rabbitBroker, postgresStore},
}

func TestLoop(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) { bustest.RunLoop(t, p.broker, p.store) })
	}
}

// The server of PostgreSQL takes no writes for a while, whatever it answers to a query.
func TestADatabaseThatTakesNoWrites(t *testing.T) {
	for _, p := range pairs {
		if p.name == "embedded and PostgreSQL" || p.name == "RabbitMQ and PostgreSQL" {
			t.Run(p.name, func(t *testing.T) {
				bustest.ReadOnly(t, p.broker(t), p.store, func(on bool) { servers.PostgresReadOnly(t, on) })
			})
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	for _, p := range pairs {
		b.Run(p.name, func(b *testing.B) { bustest.Throughput(b, p.broker, p.store) })
	}
}

func embeddedBroker(t testing.TB) broker.Broker {
	b, err := embedded.Open(t.Context(), t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	return closed(t, b, err)
}

func rabbitBroker(t testing.TB) broker.Broker { return rabbitAt(t, servers.RabbitMQ(t).URL()) }

func rabbitAt(t testing.TB, url string) broker.Broker {
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: url, Name: t.Name()})
	return closed(t, b, err)
}

func closed(t testing.TB, b broker.Broker, err error) broker.Broker {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func sqliteStore(t testing.TB, service string) *store.DB {
	return opened(t, service, "sqlite://"+filepath.Join(t.TempDir(), service+".db"))
}

func postgresStore(t testing.TB, service string) *store.DB {
	return opened(t, service, servers.Postgres(t).URL())
}

func opened(t testing.TB, service, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), service, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(t.Context(), nil))
	return db
}

func BenchmarkCommands(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { bustest.Commands(b, sqliteStore) })
	b.Run("PostgreSQL", func(b *testing.B) { bustest.Commands(b, postgresStore) })
}
