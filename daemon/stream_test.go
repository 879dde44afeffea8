package daemon

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/client"
	"stega/events"
	"stega/fault"
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
	return client.Command{Method: http.MethodPost, Path: "/v1/portfolios", ContentType: "application/json", Body: fmt.Appendf(nil, core, name)}
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
		op, err := c.Submit(t.Context(), portfolioCommand(name), client.Wait{For: client.ForSettled, Timeout: wait.Patience})
		require.NoError(t, err)
		assert.True(t, op.Settled)
		assert.Contains(t, d.do("GET", "/v1/portfolios?limit=1000", "").body, name, "what was told is to be seen, whatever the cache has")
	}
	assert.Equal(t, "fresh", warm(d, "/v1/portfolios?limit=1000"))
}

func TestTheOutcomeOfAQueuedWriteComesOverTheStream(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	addr := free(t)
	d := serveIn(t, h, "http://"+addr)
	c := clientOf(t, d)
	cmd := portfolioCommand("later")
	cmd.OperationID = events.NewID()
	_, err := c.Submit(t.Context(), cmd, client.Wait{For: client.ForResolved, Timeout: wait.Patience})
	require.Equal(t, client.CodeWriteQueued, fault.Of(err).Code, "%v", err)
	s := c.Stream(t.Context(), client.StreamOptions{})
	defer s.Close()
	pushed := make(chan client.Operation, 100)
	_, err = s.Subscribe(t.Context(), client.Interest{Channel: "operation:" + cmd.OperationID}, client.Subscriber{Push: func(p client.Push) {
		if p.Operation != nil {
			pushed <- *p.Operation
		}
	}})
	require.NoError(t, err)
	require.Len(t, d.queue(), 1)
	server(t, h, addr)
	for late := time.After(wait.Patience); ; {
		select {
		case op := <-pushed:
			if op.Settled {
				return
			}
		case <-late:
			t.Fatal("the outcome is not told")
		}
	}
}

// What the daemon tells by itself must not hide what the server tells next.
func TestTheNextPushAfterAnOutageIsHeard(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	b.down()
	id := events.NewID()
	d.do("PUT", "/v1/portfolios/p", `{}`, "Operation-Id", id)
	s := clientOf(t, d).Stream(t.Context(), client.StreamOptions{})
	defer s.Close()
	pushed := make(chan client.Operation, 10)
	_, err := s.Subscribe(t.Context(), client.Interest{Channel: "operation:" + id}, client.Subscriber{Push: func(p client.Push) { pushed <- *p.Operation }})
	require.NoError(t, err)
	b.done[id] = true // as by another way
	b.up()
	next := func() (op client.Operation) {
		select {
		case op = <-pushed:
		case <-time.After(wait.Patience):
			t.Fatal("it is not told")
		}
		return op
	}
	assert.Equal(t, client.Succeeded, next().Status)
	b.settle(id)
	assert.True(t, next().Settled)
}

func TestTheRefusalOfAQueuedWriteComesOverTheStream(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	b.down()
	id := events.NewID()
	d.do("PUT", "/v1/portfolios/p", `{}`, "Operation-Id", id)
	c := clientOf(t, d)
	s := c.Stream(t.Context(), client.StreamOptions{})
	defer s.Close()
	pushed := make(chan client.Operation, 10)
	standing := make(chan client.Standing, 10)
	_, err := s.Subscribe(t.Context(), client.Interest{Channel: "operation:" + id}, client.Subscriber{
		Standing: func(st client.Standing) { standing <- st },
		Push: func(p client.Push) {
			if p.Operation != nil {
				pushed <- *p.Operation
			}
		},
	})
	require.NoError(t, err)
	st := <-standing
	require.NotNil(t, st.Operation)
	assert.Equal(t, Queued, st.Operation.Status)
	b.refuse = func(*http.Request, string) (int, any) {
		return http.StatusConflict, map[string]string{"kind": "conflict", "code": "name_taken", "detail": "the name is taken"}
	}
	b.up()
	select {
	case op := <-pushed:
		assert.Equal(t, client.Failed, op.Status)
		require.NotNil(t, op.Error)
		assert.Equal(t, "name_taken", op.Error.Code)
	case <-time.After(wait.Patience):
		t.Fatal("the refusal is not told")
	}
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
	_, err := s.Subscribe(t.Context(), client.Interest{Channel: "#"}, client.Subscriber{Push: func(p client.Push) { got <- p.Number }})
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
