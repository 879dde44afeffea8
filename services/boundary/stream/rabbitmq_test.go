package stream

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/fault"
	"stega/internal/servers"
	"stega/internal/wait"
)

func openRabbit(t *testing.T) (*rabbitmq.Broker, *servers.Rabbit) {
	t.Helper()
	server := servers.RabbitMQ(t)
	b, err := rabbitmq.Open(t.Context(), rabbitmq.Config{URL: server.URL(), Name: t.Name(),
		Log: slog.New(slog.DiscardHandler)})
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
		assert.Nil(t, p.request("ping", struct{}{}).Error)
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

// A log that was deleted and made anew begins at 0 again, far below the position that the hub has read.
func TestALogOfRabbitMQThatIsMadeAnewIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	b, server := openRabbit(t)
	w := over(t, b, Options{})
	p := w.client()
	p.subscribed("#", nil)
	for i := range 100 {
		w.publish(message("portfolio.created", "core", i))
		p.push()
	}
	require.NoError(t, w.hub.Trouble())
	log := "/api/queues/" + server.Vhost + "/stega.log"
	server.API(t, http.MethodDelete, log, nil, nil)
	wait.Until(t, "the hub misses the log", func() bool {
		f, ok := errors.AsType[*fault.Fault](w.hub.Trouble())
		return ok && f.Code == "queue_missing"
	})
	watched, stop := w.hub.Watch("#")
	defer stop()
	_, open := <-watched
	assert.False(t, open, "who watches meanwhile looks for itself")

	require.NoError(t, b.Declare(t.Context(), broker.Topology{}))
	w.publish(message("portfolio.created", "core", 1000))
	assert.Equal(t, codeReset, p.closed())
	wait.Until(t, "the hub follows the new log", func() bool { return w.hub.Trouble() == nil })
	p = w.client()
	p.subscribed("#", nil)
	for i := range 200 { // past the position of the old one
		w.publish(message("portfolio.created", "core", i))
		assert.Equal(t, i, p.push().Push.Event.Sequence)
	}
}

// While its connection is away, a reader's log can be replaced by one that has grown past the reader's position.
func TestAReaderOfRabbitMQEndsOnAnotherLog(t *testing.T) {
	t.Parallel()
	b, server := openRabbit(t)
	publish(t, b, message("portfolio.created", "core", 1), message("portfolio.created", "core", 2))
	entries, err := b.Log(t.Context(), 0)
	require.NoError(t, err)
	<-entries
	<-entries
	reopened, err := b.Log(t.Context(), 1)
	require.NoError(t, err)
	<-reopened
	server.CutConnections(t)
	third := message("portfolio.created", "core", 3)
	publish(t, b, third)
	assert.Equal(t, third.ID, (<-entries).ID, "after a cut, it goes on")

	server.API(t, http.MethodDelete, "/api/queues/"+server.Vhost+"/stega.log", nil, nil)
	require.NoError(t, b.Declare(t.Context(), broker.Topology{}))
	for i := range 10 {
		publish(t, b, message("portfolio.created", "core", i))
	}
	for range entries {
	}
}
