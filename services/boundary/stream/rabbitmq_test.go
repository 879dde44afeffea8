package stream

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/internal/servers"
)

func openRabbit(t *testing.T) (*rabbitmq.Broker, *servers.Rabbit) {
	t.Helper()
	server := servers.RabbitMQ(t)
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: server.URL(), Name: t.Name(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.NoError(t, b.Declare(t.Context(), broker.Topology{}))
	return b, server
}

func TestRandomDisconnectsLoseNothingOverRabbitMQ(t *testing.T) {
	t.Parallel()
	b, _ := openRabbit(t)
	resumeModel(t, b, 300)
}

func TestAResumeOverRabbitMQIsCompleteOrRefused(t *testing.T) {
	t.Parallel()
	b, server := openRabbit(t)
	w := over(t, b, Options{Window: 2000, Ahead: 10 * time.Millisecond})
	first := w.client()
	first.subscribed("#", nil)
	var at []Position
	for i := range 20 {
		w.publish(message("portfolio.created", "core", i))
		s := first.push().Push
		at = append(at, Position{s.Position, s.Event.ID})
	}
	assert.Zero(t, at[0].Position)
	for from, next := range map[Position]int{{}: 0, at[0]: 1, at[7]: 8, at[18]: 19, at[19]: 20} {
		p := w.client()
		require.True(t, p.subscribed("#", &from).Result.Resumed)
		for i := next; i < len(at); i++ {
			require.Equal(t, at[i].ID, p.next().Push.Event.ID, "from %v", from)
		}
		assert.Nil(t, p.ask("ping", struct{}{}).Error)
	}
	for _, from := range []Position{{at[7].Position, at[8].ID}, {at[0].Position, at[1].ID}, {99, at[0].ID}} {
		s := w.client().subscribe("#", &from)
		require.NotNil(t, s.Error)
		assert.Equal(t, "position_unknown", s.Error.Code)
	}

	server.CutConnections(t)
	for i := range 5 {
		w.publish(message("portfolio.created", "core", 20+i))
		assert.Equal(t, 20+i, first.push().Push.Event.Sequence)
	}
}
