package client_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/internal/stegatest"
)

const prices = "date,symbol,close,open,volume\n2026-01-02,AAPL,100.50,99,1000\n2026-01-02,MA,200,,\n2026-01-05,AAPL," +
	"102,,\n2026-01-05,MA,198,,\n2026-01-06,AAPL,101,,\n2026-01-06,MA,204,,\n"

// same requires that nothing that the server says is lost in the client's type.
func same[T any](t *testing.T, a client.Answer[T], err error) T {
	t.Helper()
	require.NoError(t, err)
	again, err := json.Marshal(a.Value)
	require.NoError(t, err)
	assert.JSONEq(t, string(a.Raw), string(again))
	return a.Value
}

func TestEveryRequestUnderstandsWhatStegaAnswers(t *testing.T) {
	t.Parallel()
	server := stegatest.Up(t)
	c, err := client.New(client.Options{URL: server.URL, Token: server.Token})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	ctx := t.Context()

	health, err := c.Health(ctx)
	assert.True(t, same(t, health, err).Ready())

	imported, err := c.Submit(
		ctx, client.ImportPrices(strings.NewReader(prices), "", ""), client.Wait{For: client.ForResolved},
	)
	require.NoError(t, err)
	assert.Equal(t, client.Succeeded, imported.Status)
	half := decimal.MustParse("0.50")
	created, err := c.Submit(
		ctx,
		client.CreatePortfolio("core", []events.Asset{{Symbol: "AAPL", Weight: half}, {Symbol: "MA", Weight: half}}),
		client.Wait{For: client.ForResolved},
	)
	require.NoError(t, err)
	id := created.EntityID
	require.NotEmpty(t, id)

	p, err := c.Portfolio(ctx, id)
	assert.Equal(t, int64(1), same(t, p, err).Version)
	list, err := c.Portfolios(ctx, client.Page{Limit: 1}, "CORE")
	assert.Len(t, same(t, list, err).Items, 1)
	symbols, err := c.Symbols(ctx, client.Page{}, "A", "")
	assert.Equal(t, 3, same(t, symbols, err).Items[0].Count)
	symbol, err := c.Symbol(ctx, "MA")
	same(t, symbol, err)
	bars, err := c.Prices(ctx, "AAPL", client.Window{From: "2026-01-02", To: "2026-01-05"})
	assert.Equal(t, "100.5", same(t, bars, err).Prices[0].Close.String())

	server.Found("/v1/returns/portfolios/"+id, &json.RawMessage{})
	figures, err := c.PortfolioReturns(ctx, id, client.ReturnsQuery{RiskFree: new(0.02), Rebalance: "none"})
	assert.Equal(t, 2, same(t, figures, err).Observations)
	series, err := c.PortfolioSeries(ctx, id, client.ReturnsQuery{Kind: "cumulative"})
	assert.Len(t, same(t, series, err).Dates, 3)
	figures, err = c.AssetReturns(ctx, "AAPL", client.ReturnsQuery{Window: client.Window{To: "2026-01-05"}})
	same(t, figures, err)
	series, err = c.AssetSeries(ctx, "AAPL", client.ReturnsQuery{Frequency: "weekly", Kind: "drawdown"})
	same(t, series, err)
	aapl, core := api.Target{Symbol: "AAPL"}, api.Target{PortfolioID: id}
	figures, err = c.Returns(ctx, core,
		client.ReturnsQuery{Benchmark: "AAPL", Required: new(0.05), Confidence: new(0.9)})
	assert.Equal(t, 2, same(t, figures, err).Benchmark.Observations)
	figures, err = c.Returns(ctx, aapl, client.ReturnsQuery{Benchmark: id, Window: client.Window{To: "2026-01-05"}})
	assert.NotEmpty(t, same(t, figures, err).Benchmark.Undefined)
	series, err = c.ReturnSeries(ctx, aapl, client.ReturnsQuery{Benchmark: "MA"})
	assert.Len(t, same(t, series, err).Benchmark.Values, 2)
	drawdowns, err := c.Drawdowns(ctx, core, client.ReturnsQuery{Limit: 1})
	same(t, drawdowns, err)
	for _, by := range []string{"monthly", "yearly"} {
		table, err := c.ReturnsTable(ctx, aapl, client.ReturnsQuery{By: by})
		assert.Len(t, same(t, table, err).Years, 1)
	}
	rolling, err := c.Rolling(ctx, aapl, client.ReturnsQuery{Metric: "beta", Length: 2, Benchmark: "MA"})
	assert.Len(t, same(t, rolling, err).Values, 1)
	adjusted, err := c.AdjustedPrices(ctx, "AAPL", client.Window{})
	assert.NotNil(t, same(t, adjusted, err).Prices[0].AdjClose)

	settled, err := c.Await(ctx, created.ID, client.Wait{For: client.ForSettled})
	require.NoError(t, err)
	require.True(t, settled.Settled)
	optimized, err := c.Submit(
		ctx, client.Optimize(client.OptimizationRequest{PortfolioID: id, Objective: "min_volatility", Follow: true}),
		client.Wait{For: client.ForResolved},
	)
	require.NoError(t, err)
	optimum, err := c.Optimization(ctx, optimized.EntityID)
	assert.NotNil(t, same(t, optimum, err).Distance)
	optimizations, err := c.Optimizations(ctx, client.Page{}, id)
	assert.Len(t, same(t, optimizations, err).Items, 1)
	allocation, err := c.Allocate(ctx, optimized.EntityID, client.AllocationRequest{Amount: "10000", Method: "exact"})
	assert.True(t, same(t, allocation, err).Exact)
	edge, err := c.Submit(
		ctx,
		client.Optimize(client.OptimizationRequest{Symbols: []string{"AAPL", "MA"}, Objective: "frontier", Points: 3}),
		client.Wait{For: client.ForResolved},
	)
	require.NoError(t, err)
	optimum, err = c.Optimization(ctx, edge.EntityID)
	assert.Len(t, same(t, optimum, err).Points, 3)
	again, err := c.Submit(ctx, client.RepeatOptimization(optimized.EntityID), client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	for _, cmd := range []client.Command{client.FollowOptimization(optimized.EntityID, false),
		client.DeleteOptimization(again.EntityID)} {
		_, err = c.Submit(ctx, cmd, client.Wait{For: client.ForResolved})
		require.NoError(t, err)
	}
	server.Found("/v1/correlations?symbols=AAPL,MA", &json.RawMessage{})
	matrix, err := c.Correlations(
		ctx,
		client.CorrelationsQuery{Symbols: []string{"AAPL", "MA"}, Kind: "covariance", Method: "semi", Missing: "zero"},
	)
	assert.Len(t, same(t, matrix, err).Matrix, 2)
	matrix, err = c.Correlations(
		ctx,
		client.CorrelationsQuery{PortfolioID: id, Kind: "covariance", Method: "ledoit_wolf", Target: "single_factor"},
	)
	assert.Equal(t, id, same(t, matrix, err).PortfolioID)
	pair, err := c.RollingCorrelation(ctx, client.CorrelationsQuery{Symbols: []string{"AAPL", "MA"}, Length: 2})
	assert.Len(t, same(t, pair, err).Values, 1)

	op, err := c.Operation(ctx, created.ID)
	require.NoError(t, err)
	assert.Equal(t, "portfolio.create", op.Value.Command)
	n := 0
	for _, err := range client.All(func(p client.Page) (client.Answer[api.List[client.Operation]], error) {
		p.Limit = 1
		return c.Operations(ctx, p)
	}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 7, n)

	published, err := c.Publish(
		ctx,
		"marketdata.prices_imported",
		[]byte(`{"symbol":"AAPL","dates":["2026-01-07"],"close":["103"]}`),
	)
	assert.Equal(t, "AAPL", same(t, published, err).Subject)
	var topics []string
	zero := uint64(0)
	for entry, err := range c.Log(ctx, &zero, false) {
		require.NoError(t, err)
		topics = append(topics, entry.Value.Type)
	}
	assert.Contains(t, topics, "portfolio.created")

	dead, err := c.DeadLetters(ctx, 10, "returns", "dead")
	assert.Empty(t, same(t, dead, err).Items)
	_, err = c.DeadLetter(ctx, "returns", 1)
	assert.Equal(t, fault.KindNotFound, fault.Of(err).Kind)
	assert.Equal(t, fault.KindNotFound, fault.Of(c.RetryDeadLetter(ctx, "returns", 1, json.RawMessage("{}"))).Kind)
	assert.Equal(t, fault.KindNotFound, fault.Of(c.DropDeadLetter(ctx, "returns", 1)).Kind)

	update := client.UpdatePortfolio(id, "core", []events.Asset{{Symbol: "AAPL", Weight: decimal.One}})
	update.IfMatch = client.Version(7)
	_, err = c.Submit(ctx, update, client.Wait{For: client.ForResolved})
	assert.Equal(t, fault.KindPrecondition, fault.Of(err).Kind)
	update.IfMatch, update.OperationID = client.Version(1), ""
	_, err = c.Submit(ctx, update, client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	_, err = c.Submit(ctx, client.Rebuild("returns"), client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	_, err = c.Submit(ctx, client.PullPrices(api.PullRequest{Kind: "latest"}), client.Wait{For: client.ForResolved})
	require.Error(t, err, "no provider was set")
	providers, err := c.Providers(ctx)
	assert.Len(t, same(t, providers, err).Items, 4)
	found, err := c.Symbols(ctx, client.Page{}, "M", "a")
	assert.Equal(t, "MA", same(t, found, err).Items[0].Symbol)

	plan := api.ScheduleRequest{
		Name:     "close",
		Cron:     "30 16 * * 1-5",
		TimeZone: "America/New_York",
		Kind:     "latest",
		Symbols:  []string{"AAPL"},
		Enabled:  new(bool),
	}
	made, err := c.Submit(ctx, client.CreateSchedule(plan), client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	one, err := c.Schedule(ctx, made.EntityID)
	assert.Equal(t, plan, same(t, one, err).Request())
	plan.Name = "later"
	rename := client.UpdateSchedule(made.EntityID, plan)
	rename.IfMatch = client.Version(one.Value.Version)
	_, err = c.Submit(ctx, rename, client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	_, err = c.Submit(ctx, client.RunSchedule(made.EntityID), client.Wait{For: client.ForResolved})
	require.Error(t, err, "no provider was set")
	schedules, err := c.Schedules(ctx, client.Page{}, "later")
	assert.NotEmpty(t, same(t, schedules, err).Items[0].LastOperation)
	_, err = c.Submit(ctx, client.DeleteSchedule(made.EntityID), client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	_, err = c.Submit(ctx, client.DeletePortfolio(id), client.Wait{For: client.ForResolved})
	require.NoError(t, err)
	_, err = c.Portfolio(ctx, id)
	assert.Equal(t, fault.KindNotFound, fault.Of(err).Kind)
}
