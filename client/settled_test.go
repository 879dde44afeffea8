package client_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/client"
	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
)

// Writes that are waited for until they are settled can be read at once, however many are under way on the one
// connection.
func TestWhatIsSettledCanBeRead(t *testing.T) {
	t.Parallel()
	server := stegatest.Up(t)
	c, err := client.New(client.Options{URL: server.URL, Token: server.Token})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.Submit(
		t.Context(), client.ImportPrices(strings.NewReader(prices), "", ""),
		client.Wait{For: client.ForSettled, Timeout: 3 * stegatest.Patience},
	)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 110 { // more than one connection takes
		all.Go(func() {
			cmd := client.CreatePortfolio(fmt.Sprint("core ", i), []events.Asset{{Symbol: "AAPL", Weight: decimal.One}})
			op, err := c.Submit(t.Context(), cmd, client.Wait{For: client.ForSettled, Timeout: 3 * stegatest.Patience})
			if err != nil {
				now, failed := c.Operation(t.Context(), op.ID)
				t.Errorf("%v: pushed %+v; it is %s (%v)", err, op, now.Raw, failed)
				return
			}
			assert.True(t, op.Settled)
			figures, err := c.PortfolioReturns(t.Context(), op.EntityID, client.ReturnsQuery{})
			if assert.NoError(t, err) {
				assert.Equal(t, 2, figures.Value.Observations)
			}
		})
	}
	all.Wait()
}

// A read carries a position from which a subscription misses nothing.
func TestAReadAndASubscriptionJoinWithoutAGap(t *testing.T) {
	t.Parallel()
	server := stegatest.Up(t)
	c, err := client.New(client.Options{URL: server.URL, Token: server.Token})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	s := c.Stream(t.Context(), client.StreamOptions{})
	t.Cleanup(s.Close)
	wait := client.Wait{For: client.ForSettled, Timeout: 3 * stegatest.Patience}
	one := []events.Asset{{Symbol: "AAPL", Weight: decimal.One}}
	first, err := c.Submit(t.Context(), client.CreatePortfolio("first", one), wait)
	require.NoError(t, err)

	list, err := c.Portfolios(t.Context(), client.Page{}, "")
	require.NoError(t, err)
	require.Len(t, list.Value.Items, 1)
	require.NotNil(t, list.Position())
	second, err := c.Submit(t.Context(), client.CreatePortfolio("second", one), wait)
	require.NoError(t, err)

	pushed := make(chan client.Push, 16)
	_, err = s.Subscribe(
		t.Context(), client.Interest{Channel: "portfolio.*", From: list.Position()},
		client.Subscriber{Push: func(p client.Push) { pushed <- p }},
	)
	require.NoError(t, err)
	p := <-pushed
	for p.Event.Subject == first.EntityID { // the position is at most the one that the data are of
		p = <-pushed
	}
	assert.Equal(t, second.EntityID, p.Event.Subject)
	assert.Equal(t, second.ID, p.Event.Correlation)
}

// Submits that are under way when the server restarts, or begin while it is away, each have their outcome.
func TestSubmitsSurviveARestartOfTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := stegatest.Start(t, stegatest.Config(dir))
	c, err := client.New(client.Options{URL: server.URL, Token: server.Token, RetryFor: stegatest.Patience})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	one := []events.Asset{{Symbol: "AAPL", Weight: decimal.One}}
	var all sync.WaitGroup
	begun := make(chan int, 60)
	for i := range 60 {
		all.Go(func() {
			op, err := c.Submit(
				t.Context(), client.CreatePortfolio(fmt.Sprint("core ", i), one),
				client.Wait{For: client.ForSettled, Timeout: 3 * stegatest.Patience},
			)
			assert.NoError(t, err)
			assert.True(t, op.Settled)
			begun <- i
		})
		if i == 20 {
			<-begun
			server.Stop()
		}
	}
	stegatest.Start(
		t,
		stegatest.Config(dir, func(c *process.Config) { c.Addr = strings.TrimPrefix(server.URL, "http://") }),
	)
	all.Wait()
	list, err := c.Portfolios(t.Context(), client.Page{Limit: 1000}, "")
	require.NoError(t, err)
	assert.Len(t, list.Value.Items, 60)
}
