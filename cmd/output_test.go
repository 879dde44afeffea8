package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/client"
	"stega/fault"
)

func TestYAMLKeepsWhatJSONSays(t *testing.T) {
	t.Parallel()
	got, err := toYAML(
		json.RawMessage(
			`{"name":"core","weight":"0.6","version":2,"none":null,"on":"yes","list":[],"assets":[{"symbol":"AAPL",` +
				`"at":"2026-01-02"}],"rate":1e-9,"settled":true}`,
		),
	)
	require.NoError(t, err)
	assert.Equal(t, `name: core
weight: "0.6"
version: 2
none: null
"on": "yes"
list: []
assets:
  - symbol: AAPL
    at: "2026-01-02"
rate: 1e-9
settled: true
`, string(got))
}

func TestTablesLineUp(t *testing.T) {
	t.Parallel()
	table := table{head: []string{"NAME", ">DAYS", "LAST"}}
	table.add("größer", "1", "x")
	table.add("b", "100", "")
	var b strings.Builder
	require.NoError(t, table.write(&b))
	assert.Equal(t, "NAME    DAYS  LAST\ngrößer     1  x\nb        100\n", b.String())
}

func TestMistypedWordsHaveANeighbour(t *testing.T) {
	t.Parallel()
	words := []string{"list", "get", "create", "update", "delete"}
	for typed, want := range map[string]string{
		"lst":        "list",
		"lits":       "list",
		"crate":      "create",
		"delte":      "delete",
		"upd":        "update",
		"xyz":        "",
		"frobnicate": "",
		"":           "",
		"LIST":       "list",
	} {
		assert.Equal(t, want, closest(typed, words), typed)
	}
}

func TestAssetsAreReadExactly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"AAPL:0.6,MSFT:0.4": "AAPL:0.6,MSFT:0.4", " AAPL : 60% , MSFT:40 % ": "AAPL:0.6,MSFT:0.4",
		"BRK.B:-0.123456789012345": "BRK.B:-0.123456789012345", "A:1,": "A:1",
	} {
		assets, err := parseAssets(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, brief(assets))
	}
	for _, text := range []string{"AAPL", "AAPL:", "AAPL:x", "AAPL:1:2", "AAPL=1"} {
		_, err := parseAssets(text)
		assert.Equal(t, fault.KindUsage, fault.Of(err).Kind, text)
	}
}

func TestPortfoliosAreReadFromJSONAndYAML(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"name":"core","assets":[{"symbol":"AAPL","weight":"0.60"},{"symbol":"MA","weight":0.40}]}`,
		`{"id":"x","version":3,"name":"core","assets":{"AAPL":0.60,"MA":"0.40"},"created_at":"2026-01-02T03:04:05Z"}`,
		"name: core\nassets:\n  AAPL: 0.60\n  MA: 40%\n",
		"name: core\nassets:\n- symbol: AAPL\n  weight: 0.60\n- {symbol: MA, weight: 0.4}\n",
	} {
		name, assets, err := readPortfolio(strings.NewReader(text), "-")
		require.NoError(t, err, text)
		assert.Equal(t, "core", name)
		require.Len(t, assets, 2)
		assert.Equal(t, "MA:0.4", brief(assets[1:])[:6])
	}
	for _, text := range []string{"[1]", "name: [", `{"assets":[1]}`, `{"assets":"AAPL"}`, "\x00"} {
		_, _, err := readPortfolio(strings.NewReader(text), "-")
		assert.Equal(t, "file_invalid", fault.Of(err).Code, "%q", text)
	}
}

// What "stega op tree" draws is in testdata/tree.txt.
func TestTheTreeOfAnOperation(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) *time.Time { v := start.Add(time.Duration(ms) * time.Millisecond); return &v }
	var op client.Operation
	text, err := os.ReadFile(filepath.Join("testdata", "tree.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &op))
	var b strings.Builder
	for _, unicode := range []bool{true, false} {
		require.NoError(t, drawTree(&b, op, unicode))
		b.WriteString("\n")
	}
	failed := client.Operation{
		ID:         "o2",
		Command:    "prices.pull",
		Service:    "marketdata",
		Status:     client.Failed,
		AcceptedAt: start,
		FinishedAt: at(2500),
		Error:      fault.Invalid("x", "no provider was set"),
		Tree:       &client.Node{},
		Settled:    true,
		SettledAt:  at(2500),
	}
	require.NoError(t, drawTree(&b, failed, true))
	const golden = "testdata/tree.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), b.String())
}

// A width is what somebody typed into a variable: no picture may fill the memory for it.
func TestAPictureHasABoundedWidth(t *testing.T) {
	t.Parallel()
	of := func(variable string, terminal int) int { return plotWidth(terminal, variable) }
	assert.Equal(t, maxColumns, of("999999999999", 0))
	assert.Equal(t, maxColumns, of("", 70_000))
	assert.Equal(t, 72, of("72", 0))
	assert.Equal(t, 72, of("72", 0), "a terminal that does not say")
	assert.Equal(t, usualColumns, of("-5", 0))
	assert.Equal(t, 90, of("72", 90))
}
