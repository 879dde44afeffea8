package bench_test

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/bench"
	"stega/internal/servers"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) {
	defer stegatest.RemoveBinary()
	servers.Main(m)
}

func small(t testing.TB) bench.Config {
	return bench.Config{
		Folder: t.TempDir(), Messages: 500, Commands: 50, Clients: 4, Symbols: 3, Days: 300,
		Progress: t.Logf, Log: slog.New(slog.DiscardHandler),
	}
}

func complete(t *testing.T, r bench.Report) {
	t.Helper()
	for name, v := range map[string]float64{
		"published":       r.Publish.Rate,
		"one alone":       r.Publish.Alone.P50,
		"handled":         r.Events.Rate,
		"answered":        r.Commands.Rate,
		"visible":         r.Commands.ViewRate,
		"loaded answer":   r.Commands.Loaded.Answer.P99,
		"loaded view":     r.Commands.Loaded.View.P50,
		"paced":           r.Commands.Paced.View.P99,
		"import answered": r.Import.Answered,
		"import settled":  r.Import.Settled,
	} {
		assert.Positive(t, v, name)
	}
	assert.Equal(t, 900, r.Import.Prices)
	assert.GreaterOrEqual(t, r.Import.Settled, r.Import.Answered)
}

func TestOnTheEmbeddedBrokerAndSQLite(t *testing.T) {
	r, err := bench.Run(t.Context(), small(t))
	require.NoError(t, err)
	complete(t, r)
}

func TestOnServersNothingIsLeftBehind(t *testing.T) {
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	cfg := small(t)
	cfg.BrokerURL, cfg.DatabaseURL = rabbit.URL(), pg.URL()
	r, err := bench.Run(t.Context(), cfg)
	require.NoError(t, err)
	complete(t, r)

	var queues []struct{ Name string }
	rabbit.API(t, http.MethodGet, "/api/queues/"+rabbit.Vhost, nil, &queues)
	assert.Empty(t, queues)
	c, err := pgx.Connect(t.Context(), pg.URL())
	require.NoError(t, err)
	defer func() { _ = c.Close(t.Context()) }()
	left := 0
	require.NoError(t, c.QueryRow(t.Context(),
		"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'stega%'").Scan(&left))
	assert.Zero(t, left)
}
