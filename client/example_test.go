package client_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/govalues/decimal"

	"stega/api"
	"stega/client"
	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
)

// connect returns a client of a server for an example, and a function that ends both.
func connect() (*client.Client, func()) {
	data, err := os.MkdirTemp("", "stega-example")
	if err != nil {
		panic(err)
	}
	cfg := stegatest.Config(data)
	ctx, cancel := context.WithCancel(context.Background())
	address, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- process.Run(ctx, cfg, func(addr string) { address <- addr }) }()
	token := func() string {
		b, err := os.ReadFile(filepath.Join(data, "token"))
		if err != nil {
			panic(err)
		}
		return strings.TrimSpace(string(b))
	}
	select {
	case addr := <-address:
		c, err := client.New(client.Options{URL: "http://" + addr, Token: token()})
		if err != nil {
			panic(err)
		}
		return c, func() {
			c.Close()
			cancel()
			if err := <-done; err != nil {
				panic(err)
			}
			_ = os.RemoveAll(data)
		}
	case err := <-done:
		panic(err)
	}
}

const closes = `date,symbol,close
2026-01-05,AAPL,100
2026-01-06,AAPL,110
2026-01-07,AAPL,99
`

// Import prices, wait until every service shows them, and read the returns.
func Example() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()
	_, err := c.Submit(ctx, client.ImportPrices(strings.NewReader(closes), "", ""), client.Wait{For: client.ForSettled})
	if err != nil {
		panic(err)
	}
	answer, err := c.Returns(ctx, api.Target{Symbol: "AAPL"}, client.ReturnsQuery{RiskFree: new(0.02)})
	if err != nil {
		panic(err)
	}
	r := answer.Value
	fmt.Printf(
		"%s: %d returns, %.0f %% in all, at most %.0f %% below a peak\n", r.Symbol, r.Observations,
		*r.CumulativeReturn*100,
		-*r.MaxDrawdown*100,
	)
	// Output: AAPL: 2 returns, -1 % in all, at most 10 % below a peak
}

// Submit returns the operation that a write became, and the error of a command that failed.
func ExampleClient_Submit() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()
	cmd := client.CreatePortfolio("core", []events.Asset{{Symbol: "AAPL", Weight: decimal.One}})
	op, err := c.Submit(ctx, cmd, client.Wait{For: client.ForResolved})
	fmt.Println(op.Status, err)
	op, err = c.Submit(ctx, cmd, client.Wait{For: client.ForResolved})
	fmt.Println(op.Status, err)
	// Output:
	// succeeded <nil>
	// failed there is a portfolio named "core" already
}

// A stream delivers every event of its channels, in order, and resumes after a broken connection.
func ExampleClient_Stream() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()
	s := c.Stream(ctx, client.StreamOptions{})
	defer s.Close()
	pushed := make(chan client.Event)
	_, err := s.Subscribe(
		ctx, client.Interest{Channel: "portfolio.*"}, client.Subscriber{Push: func(p client.Push) {
			pushed <- p.Event
		}},
	)
	if err != nil {
		panic(err)
	}
	cmd := client.CreatePortfolio("core", []events.Asset{{Symbol: "AAPL", Weight: decimal.One}})
	if _, err := c.Submit(ctx, cmd, client.Wait{For: client.ForAccepted}); err != nil {
		panic(err)
	}
	fmt.Println((<-pushed).Type)
	// Output: portfolio.created
}

// A read that names the entity tag of the answer from before is answered with 304 when nothing has changed.
func ExampleClient_Do() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()
	read := func(tag string) *http.Response {
		a, err := c.Do(
			ctx,
			client.Request{Method: http.MethodGet, Path: "/v1/portfolios", Header: http.Header{"If-None-Match": {tag}}},
		)
		if err != nil {
			panic(err)
		}
		_ = a.Body.Close()
		return a
	}
	first := read("")
	again := read(first.Header.Get("ETag"))
	fmt.Println(first.StatusCode, again.StatusCode)
	// Output: 200 304
}
