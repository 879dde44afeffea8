package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
	"stega/internal/eventschema"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples returns one event of each type, with every field set.
func samples() []events.Typed {
	price := func(s string) decimal.NullDecimal {
		return decimal.NullDecimal{Decimal: decimal.MustParse(s), Valid: true}
	}
	at := time.Date(2026, 1, 2, 15, 4, 5, 678901000, time.UTC)
	portfolio := events.Portfolio{
		ID:        "019b0000-0000-7000-8000-000000000001",
		Name:      "core",
		Version:   3,
		CreatedAt: at,
		UpdatedAt: at.Add(time.Hour),
		Assets: []events.Asset{{Symbol: "AAPL", Weight: decimal.MustParse("1.4")},
			{Symbol: "BRK-B", Weight: decimal.MustParse("-0.40")}},
	}
	day := civil.Of(2026, time.January, 2)
	const operation = "019b0000-0000-7000-8000-00000000000a"
	end := at.Add(time.Minute)
	state := func(status string, failure json.RawMessage) events.OperationState {
		return events.OperationState{
			ID:         operation,
			Command:    "portfolio.create",
			Service:    "portfolio",
			About:      portfolio.ID,
			EntityID:   portfolio.ID,
			Status:     status,
			Error:      failure,
			AcceptedAt: at,
			FinishedAt: &end,
			Emitted:    []events.Emitted{{ID: portfolio.ID, Topic: "portfolio.import", Service: "portfolio"}},
		}
	}
	return []events.Typed{
		events.PortfolioCreated{Portfolio: portfolio},
		events.PortfolioUpdated{Portfolio: portfolio},
		events.PortfolioDeleted{Portfolio: portfolio},
		events.PricesImported{
			Symbol: "AAPL", Days: events.Days{day, day.AddDays(3)}, Close: events.Column{price("101.25"), price("99")},
			AdjClose: events.Column{price("50.625"), price("49.5")}, Open: events.Column{price("100"), {}},
			High: events.Column{price("102"), price("101.5")},
			Low:  events.Column{price("98.7"), price("98")}, Volume: events.Column{price("1200000"), price("0")},
			Dividend: events.Column{{}, price("0.24")},
			Split:    events.Column{price("2"), {}},
		},
		events.AssetUpdated{Symbol: "AAPL", ChangedFrom: day, ChangedTo: day.AddDays(3), First: day.AddDays(-100),
			Last: day.AddDays(3), Observations: 70, LastClose: new(decimal.MustParse("99")),
			Days: events.Days{day, day.AddDays(3)}, Returns: events.Floats{0.1 + 0.2, -0.0221729490022172949}},
		events.OptimizationCompleted{
			ID: operation, Name: "core, calm", Objective: "min_volatility", PortfolioID: portfolio.ID,
			PortfolioVersion: 3, AsOf: day,
			Symbols: []string{"AAPL", "BRK-B"}, Weights: events.Floats{.25, .75}, AnnualReturn: new(.1),
			AnnualVolatility: new(.2), Sharpe: new(.4), Turnover: new(1.15),
			Trades: []events.Trade{{Symbol: "AAPL", From: 1.4, To: .25, Change: -1.15},
				{Symbol: "BRK-B", From: -.4, To: .75, Change: 1.15}},
		},
		events.PortfolioReturnsUpdated{PortfolioID: portfolio.ID, Version: 3, Missing: []string{"MA"}},
		events.CorrelationsUpdated{Changed: []string{"AAPL", "MA"}, Symbols: 500, Last: day},
		events.Handled{Service: "returns", Items: []events.Receipt{{
			Message: operation, Topic: "portfolio.created", About: portfolio.ID, Operation: operation,
			Handler: "returns:portfolios", Handlers: []string{"returns:portfolios", "returns:other"},
			State: events.ReceiptParked, Attempts: 4, Error: "no",
			Emitted: []events.Emitted{{ID: operation, Topic: "returns.portfolio_updated", Subject: portfolio.ID}},
			SentAt:  at, At: at.Add(time.Second),
		}}},
		events.OperationAccepted{OperationState: state("accepted", nil)},
		events.OperationProgressed{ID: operation, Done: 3, Total: 10, Text: "AAPL", At: at},
		events.OperationResolved{OperationState: state("failed",
			json.RawMessage(`{"kind":"conflict","code":"name_taken","detail":"no"}`))},
		events.OperationSettled{ID: operation, Status: "succeeded", AcceptedAt: at, SettledAt: at.Add(time.Second)},
		events.OperationStalled{ID: operation, Outcome: "stalled", At: at, Waiting: []events.Waiting{{
			Message: operation, Topic: "portfolio.created", Subject: portfolio.ID, Service: "returns",
			Handler: "returns:portfolios", State: "parked", Attempts: 4,
			Error: "no", Since: at,
		}}},
		events.ReplayRequested{Service: "returns", Topics: []string{"portfolio.created", "portfolio.updated"}},
		events.ReplayPaged{Service: "returns", Rebuild: operation, Owner: "marketdata", Keys: []string{"AAPL", "MA"},
			Total: 500, More: true},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got = append(bytes.TrimSpace(got), '\n')
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write the golden files with: go test ./events -update")
	assert.Equal(t, string(want), string(got),
		"the wire form of a released topic must not change: an incompatible change is a new topic")
}

func TestWireFormsStayAsTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range samples() {
		seen[e.Topic()] = true
		data, err := json.MarshalIndent(e, "", "  ")
		require.NoError(t, err)
		golden(t, e.Topic()+".json", data)

		kind, ok := events.Lookup(e.Topic())
		require.True(t, ok)
		assert.True(t, kind.Is(e))
		assert.True(t, strings.HasPrefix(kind.Topic, kind.Service+".") || kind.Internal() &&
			strings.HasPrefix(kind.Topic, "operation."),
			"a topic begins with the service that publishes it")
		for _, decode := range []func([]byte) (events.Typed, error){kind.Decode, kind.DecodeStrict} {
			back, err := decode(data)
			require.NoError(t, err)
			again, err := json.MarshalIndent(back, "", "  ")
			require.NoError(t, err)
			assert.Equal(t, string(data), string(again))
			assert.Equal(t, e.Subject(), back.Subject())
		}
	}
	for _, kind := range events.Catalogue() {
		assert.True(t, seen[kind.Topic], "%s has no golden file", kind.Topic)
	}
}

func TestSchemasDescribeTheWireForms(t *testing.T) {
	for _, e := range samples() {
		kind, _ := events.Lookup(e.Topic())
		text, err := eventschema.Of(kind)
		require.NoError(t, err)
		golden(t, e.Topic()+".schema.json", text)

		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		require.NoError(t, c.AddResource("mem:///schema.json", doc))
		schema, err := c.Compile("mem:///schema.json")
		require.NoError(t, err)
		data, err := json.Marshal(e)
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value), "%s", e.Topic())
		require.Error(t, schema.Validate(map[string]any{"nonsense": 1}))
	}
}

func TestHandwrittenEventsAreChecked(t *testing.T) {
	const id = `"id":"019b0000-0000-7000-8000-000000000001"`
	for _, c := range []struct{ topic, data, says string }{
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[1.5]}`, ""},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":["1.5"]} `, ""},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":["1.5"]} x`,
			"more after the first"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":["1.5"]} {}`,
			"more after the first"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-02-30"],"close":["1.5"]}`,
			"not a day of the calendar"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":[20260101],"close":["1.5"]}`, "not a date in quotes"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02","2026-01-02"],"close":["1","1"]}`,
			"must rise"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":["NaN"]}`, "not a decimal"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[[1]]}`, "nested"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[0]}`, "above zero"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[null]}`, "lacks value 1"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[1,2]}`, "2 values for 1 dates"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":["2026-01-02"],"close":[1],"volume":[-1]}`,
			"volume has -1"},
		{"marketdata.prices_imported", `{"symbol":"","dates":["2026-01-02"],"close":[1]}`, "symbol is empty"},
		{"marketdata.prices_imported", `{"symbol":"A B","dates":["2026-01-02"],"close":[1]}`, "is not a symbol"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":[],"close":[]}`, "dates is empty"},
		{"marketdata.prices_imported", `{"simbol":"A"}`, `unknown field "simbol"`},
		{"portfolio.created", `{` + id +
			`,"name":"x","version":1,"assets":[{"symbol":"A","weight":"0.4"},{"symbol":"B","weight":0.6}]}`, ""},
		{"portfolio.created", `{` + id + `,"name":"x","version":1,"assets":[{"symbol":"A","weight":"0.4"}]}`,
			"sum to 0.4"},
		{"portfolio.updated", `{` + id +
			`,"name":"x","version":1,"assets":[{"symbol":"A","weight":2},{"symbol":"A","weight":-1}]}`, "occurs twice"},
		{"portfolio.updated", `{` + id + `,"name":" ","version":1,"assets":[{"symbol":"A","weight":1}]}`,
			"name has a space at its start"},
		{"portfolio.updated", `{` + id + `,"name":"x","version":0,"assets":[{"symbol":"A","weight":1}]}`, "version"},
		{"portfolio.updated", `{` + id + `,"name":"x","version":1,"assets":[]}`, "assets is empty"},
		{"portfolio.deleted", `{"id":"7","name":"x","version":1,"assets":[{"symbol":"A","weight":1}]}`, "not a UUID"},
		{"returns.portfolio_updated", `{"portfolio_id":"x","version":1}`, "not a UUID"},
		{"returns.asset_updated", `{"symbol":"A","changed_from":"2026-01-03","changed_to":"2026-01-02",` +
			`"first":"2026-01-02","last":"2026-01-02"}`, "must not be after"},
		{"optimization.completed", `{` + id +
			`,"objective":"hrp","as_of":"2026-01-02","symbols":["A"],"weights":[1],"annual_return":null}`, ""},
		{"optimization.completed",
			`{` + id + `,"objective":"hrp","as_of":"2026-01-02","symbols":["A"],"weights":[1,2]}`,
			"2 values for 1 symbols"},
		{"optimization.completed",
			`{` + id + `,"objective":"hrp","as_of":"2026-01-02","symbols":["A"],"weights":[null]}`,
			"lacks that of A"},
		{"optimization.completed", `{` + id + `,"objective":"hrp","as_of":"2026-01-02","trades":[{"symbol":"a"}]}`,
			"is written A"},
		{"optimization.completed", `{` + id + `,"as_of":"2026-01-02"}`, "objective is missing"},
		{"optimization.completed", `{"id":"7"}`, "not a UUID"},
		{"correlations.updated", `{"changed":["A","B"],"symbols":2,"last":"2026-01-02"}`, ""},
		{"correlations.updated", `{"changed":[],"symbols":2,"last":"2026-01-02"}`, "must name"},
		{"correlations.updated", `{"changed":["A","B"],"symbols":1,"last":"2026-01-02"}`, "no more than symbols"},
		{"correlations.updated", `{"changed":["B","A"],"symbols":2,"last":"2026-01-02"}`, "A follows B"},
		{"correlations.updated", `{"changed":["b"],"symbols":2,"last":"2026-01-02"}`, "is written B"},
		{"marketdata.prices_imported", `{"symbol":"A","dates":[],"close":[],"replay":{}}`, ""},
		{"marketdata.prices_imported",
			`{"symbol":"A","dates":["2026-01-02"],"close":[1],"replay":{"rebuild":"x","from":"2026-01-01",` +
				`"to":"2026-01-03"}}`,
			""},
		{"returns.asset_updated", `{"symbol":"A","changed_from":"1970-01-01","changed_to":"1970-01-01",` +
			`"first":"1970-01-01","last":"1970-01-01","replay":{}}`, ""},
		{"stega.replay_paged", `{"service":"returns","rebuild":"7","owner":"portfolio","keys":[]}`, "not a UUID"},
		{"stega.replay_paged", `{"service":"returns",` + strings.Replace(id, "id", "rebuild", 1) + `,"keys":[]}`,
			"must not be empty"},
		{"stega.replay_requested", `{"service":"returns","topics":["nonsense"]}`, "no topic"},
		{"stega.replay_requested", `{"service":"returns","topics":[]}`, "must name"},
		{"stega.replay_requested", `{"service":"","topics":["portfolio.created"]}`, "service is missing"},
	} {
		kind, ok := events.Lookup(c.topic)
		require.True(t, ok)
		_, err := kind.DecodeStrict([]byte(c.data))
		if c.says == "" {
			assert.NoError(t, err, c.data)
		} else {
			assert.ErrorContains(t, err, c.says, c.data)
		}
	}
}

func FuzzPricesImported(f *testing.F) {
	f.Add([]byte(`{"symbol":"A","dates":["2026-01-02"],"close":["1.5"],"open":[null]}`))
	f.Add([]byte(`{"symbol":"A","dates":["2026-01-02",],"close":[1.50]}`))
	kind, _ := events.Lookup("marketdata.prices_imported")
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := kind.Decode(data)
		if err != nil {
			return
		}
		first, err := json.Marshal(e)
		require.NoError(t, err)
		again, err := kind.Decode(first)
		require.NoError(t, err)
		second, err := json.Marshal(again)
		require.NoError(t, err)
		assert.Equal(t, string(first), string(second))
	})
}
