package servers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

func TestEachRabbitIsAVirtualHostThatOutlivesARestart(t *testing.T) {
	a, b := servers.RabbitMQ(t), servers.RabbitMQ(t)
	assert.NotEqual(t, a.Vhost, b.Vhost)
	conn, err := amqp.Dial(a.URL())
	require.NoError(t, err)
	other, err := amqp.Dial(b.URL())
	require.NoError(t, err)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	a.CutConnections(t)
	select {
	case e := <-closed:
		assert.Equal(t, amqp.ConnectionForced, e.Code)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the connection is not cut")
	}
	ch, err := other.Channel()
	require.NoError(t, err, "the other virtual host is left alone")
	_, err = ch.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	require.NoError(t, err)
	require.NoError(t, other.Close())

	b.Restart(t)
	other, err = amqp.Dial(b.URL())
	require.NoError(t, err)
	ch, err = other.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDeclarePassive("q", true, false, false, false, nil)
	require.NoError(t, err)
	require.NoError(t, other.Close())

	var users []struct{ Name string }
	b.API(t, http.MethodGet, "/api/users", nil, &users)
	assert.GreaterOrEqual(t, len(users), 3)
}

func TestEachPostgresIsADatabaseThatOutlivesARestart(t *testing.T) {
	a, b := servers.Postgres(t), servers.Postgres(t)
	assert.NotEqual(t, a.URL(), b.URL())
	run := func(url, statement string) error {
		c, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close(t.Context())) }()
		_, err = c.Exec(t.Context(), statement)
		return err
	}
	require.NoError(t, run(a.URL(), "CREATE TABLE x (y int)"))
	require.Error(t, run(b.URL(), "SELECT y FROM x"))
	c, err := pgx.Connect(t.Context(), a.URL())
	require.NoError(t, err)
	var fsync, commit string
	require.NoError(t, c.QueryRow(t.Context(),
		"SELECT current_setting('fsync'), current_setting('synchronous_commit')").Scan(&fsync, &commit))
	assert.Equal(t, "on on", strings.Join([]string{fsync, commit}, " "))
	a.CutConnections(t)
	_, err = c.Exec(t.Context(), "SELECT 1")
	require.Error(t, err)
	a.Stop(t)
	_, err = pgx.Connect(t.Context(), a.URL())
	require.Error(t, err)
	a.Start(t)
	require.NoError(t, run(a.URL(), "SELECT y FROM x"))
}
