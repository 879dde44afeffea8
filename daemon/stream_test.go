package daemon

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/internal/stegatest"
	"stega/internal/wait"
)

// clientOf is a client that goes through a daemon.
func clientOf(t testing.TB, d *running) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: "http://daemon", HTTP: d.c.HTTP})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func portfolioCommand(name string) client.Command {
	return client.Command{
		Method:      http.MethodPost,
		Path:        "/v1/portfolios",
		ContentType: "application/json",
		Body:        fmt.Appendf(nil, core, name),
	}
}

func TestASubmitThroughTheDaemonIsSettledWhenItSaysSo(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	addr := free(t)
	server(t, h, addr)
	d := serveIn(t, h, "http://"+addr)
	d.connected()
	c := clientOf(t, d)
	for i := range 20 {
		name := fmt.Sprintf("p%02d", i)
		op, err := c.Submit(t.Context(), portfolioCommand(name),
			client.Wait{For: client.ForSettled, Timeout: wait.Patience})
		require.NoError(t, err)
		assert.True(t, op.Settled)
		assert.Contains(
			t, d.do("GET", "/v1/portfolios?limit=1000", "").body, name,
			"what is settled is visible, whatever the cache has",
		)
	}
}

func TestAQueuedWriteIsWaitedForUntilItHasSettled(t *testing.T) {
	t.Parallel()
	stegatest.Binary(t)
	h := newHome(t)
	addr := free(t)
	d := serveIn(t, h, "http://"+addr)
	c := clientOf(t, d)
	op, err := c.Submit(
		t.Context(), portfolioCommand("later"), client.Wait{For: client.ForResolved, Timeout: wait.Patience},
	)
	require.Equal(t, client.CodeWriteQueued, fault.Of(err).Code, "%v", err)
	require.Len(t, d.queue(), 1)
	require.NotEmpty(t, op.EntityID, "the id of what it will create is known already")
	over := make(chan client.Operation, 1)
	go func() {
		op, err := c.Await(t.Context(), op.ID, client.Wait{For: client.ForSettled, Timeout: wait.Patience})
		assert.NoError(t, err)
		over <- op
	}()
	server(t, h, addr)
	assert.True(t, (<-over).Settled)
	assert.Equal(t, http.StatusOK, d.do("GET", "/v1/portfolios/"+op.EntityID, "").status)
}

func TestTheRefusalOfAQueuedWriteReachesItsWaiter(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	b.down()
	id := events.NewID()
	d.do("PUT", "/v1/portfolios/p", `{}`, "Operation-Id", id)
	over := make(chan error, 1)
	c := clientOf(t, d)
	go func() {
		_, err := c.Await(t.Context(), id, client.Wait{For: client.ForResolved, Timeout: wait.Patience})
		over <- err
	}()
	b.refuse = func(*http.Request, string) (int, any) {
		return http.StatusConflict, map[string]string{
			"kind":   "conflict",
			"code":   "name_taken",
			"detail": "the name is taken",
		}
	}
	b.up()
	assert.Equal(t, "name_taken", fault.Of(<-over).Code)
	assert.Equal(t, Failed, d.queue()[0].State)
}

func TestAStreamThroughTheDaemonResumes(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	c := clientOf(t, d)
	s := c.Stream(t.Context(), client.StreamOptions{})
	defer s.Close()
	got := make(chan uint64, 100)
	_, err := s.Subscribe(
		t.Context(), client.Interest{Channel: "#"}, client.Subscriber{Push: func(p client.Push) { got <- p.Number }},
	)
	require.NoError(t, err)
	b.change("portfolio.updated", "p", nil)
	assert.Equal(t, uint64(2), <-got)
	b.down()
	b.change("portfolio.updated", "p", nil)
	b.up()
	b.change("portfolio.updated", "p", nil)
	assert.Equal(t, uint64(3), <-got)
	assert.Equal(t, uint64(4), <-got)
}
