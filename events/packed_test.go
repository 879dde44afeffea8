package events_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
)

// bulkSamples returns bulk events of every packed form: dense and sparse columns, scales that differ, and a replay.
func bulkSamples() map[string]events.Typed {
	column := func(values ...string) (c events.Column) {
		for _, v := range values {
			if v == "" {
				c = append(c, decimal.NullDecimal{})
				continue
			}
			c = append(c, decimal.NullDecimal{Decimal: decimal.MustParse(v), Valid: true})
		}
		return c
	}
	day := civil.Of(2026, time.January, 2)
	days := events.Days{day, day + 3, day + 4, day + 40}
	from := day - 100
	return map[string]events.Typed{
		"prices": events.PricesImported{
			Symbol: "AAPL", Days: days, Close: column("101.25", "99", "100.5", "0.0001"),
			AdjClose: column("50.625", "49.5", "", "0.00005"), Dividend: column("", "0.24", "", ""),
			Split: column("", "", "", ""),
		},
		"prices_scales": events.PricesImported{
			Symbol: "A&B", Days: days, Close: column("1.50", "2", "0.000000000000000001", "999999999999999999"),
			Replay: &events.Replay{Rebuild: "r", From: &from},
		},
		"returns": events.AssetUpdated{
			Symbol: "AAPL", ChangedFrom: day, ChangedTo: day + 40, First: day, Last: day + 40, Observations: 4,
			Days:    days,
			Returns: events.Floats{math.NaN(), 0.1 + 0.2, math.Copysign(0, -1), -math.SmallestNonzeroFloat64},
		},
	}
}

func decodeWire(t *testing.T, topic string, data []byte) events.Typed {
	t.Helper()
	kind, ok := events.Lookup(topic)
	require.True(t, ok)
	e, err := kind.Decode(data)
	require.NoError(t, err, "%s", data)
	return e
}

func arraysOf(t *testing.T, e events.Typed) string {
	t.Helper()
	data, err := json.Marshal(e)
	require.NoError(t, err)
	return string(data)
}

// What a broker or an outbox holds must stay readable, so the packed form does not change within its version.
func TestPackedFormsStayAsTheyAre(t *testing.T) {
	for name, e := range bulkSamples() {
		data, err := events.Marshal(e)
		require.NoError(t, err)
		require.True(t, events.IsPacked(data), name)
		golden(t, e.Topic()+"."+name+".packed.json", data)
		assert.Equal(t, arraysOf(t, e), arraysOf(t, decodeWire(t, e.Topic(), data)), name)
		assert.Equal(t, arraysOf(t, e), string(events.Arrays(e.Topic(), data)), name)
	}
}

// A tool that reorders or indents JSON does no harm: such data takes the standard decoder.
func TestPackedColumnsAreDecodedWhereverTheyStand(t *testing.T) {
	for name, e := range bulkSamples() {
		data, err := events.Marshal(e)
		require.NoError(t, err)
		var loose map[string]any
		require.NoError(t, json.Unmarshal(data, &loose))
		indented, err := json.MarshalIndent(loose, "", "  ") // in the order of names
		require.NoError(t, err)
		require.False(t, events.IsPacked(indented))
		assert.Equal(t, arraysOf(t, e), arraysOf(t, decodeWire(t, e.Topic(), indented)), name)
		assert.Equal(t, arraysOf(t, e), string(events.Arrays(e.Topic(), indented)), name)
	}
}

func TestArraysAreDecodedAndStayAsTheyAre(t *testing.T) {
	for name, e := range bulkSamples() {
		arrays := arraysOf(t, e)
		assert.Equal(t, arrays, arraysOf(t, decodeWire(t, e.Topic(), []byte(arrays))), name)
		assert.Equal(t, arrays, string(events.Arrays(e.Topic(), []byte(arrays))), name)
	}
	other := []byte(`{"packed":"AQ==","id":"x"}`)
	assert.Equal(t, other, events.Arrays("portfolio.created", other))
	assert.Equal(t, other, events.Arrays("no.topic", other))
	assert.Equal(t, other, events.Arrays("marketdata.prices_imported", other), "damaged data is shown as it is")
}

// What the packed form cannot carry exactly travels in arrays.
func TestColumnsThatDoNotFitTravelInArrays(t *testing.T) {
	for _, text := range []string{
		`{"symbol":"A","dates":[],"close":[],"replay":{}}`,
		`{"symbol":"A","dates":["2026-01-02"],"close":["1"],"open":["1"]}`,
		`{"symbol":"A","dates":["2026-01-02"],"close":["-1"]}`,
		`{"symbol":"A","dates":["2026-01-02"],"close":["1000000000000000000"]}`,
		`{"symbol":"A","dates":["2026-01-02"],"close":["1","2"]}`,
		`{"symbol":"A","dates":["2026-01-03","2026-01-02"],"close":["1","2"]}`,
	} {
		e := decodeWire(t, "marketdata.prices_imported", []byte(text))
		data, err := events.Marshal(e)
		require.NoError(t, err)
		assert.Equal(t, text, string(data))
	}
	day := civil.Of(2026, time.January, 2)
	_, err := events.Marshal(events.AssetUpdated{Days: events.Days{day}, Returns: events.Floats{math.Inf(1)}})
	require.ErrorContains(t, err, "not finite")
}

func TestDamagedColumnsAreRefused(t *testing.T) {
	for name, e := range bulkSamples() {
		data, err := events.Marshal(e)
		require.NoError(t, err)
		kind, _ := events.Lookup(e.Topic())
		text, rest, _ := strings.Cut(strings.TrimPrefix(string(data), `{"packed":"`), `"`)
		columns, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		for n := range columns { // every beginning of it
			_, err := kind.Decode([]byte(`{"packed":"` + base64.StdEncoding.EncodeToString(columns[:n]) + `"` + rest))
			require.ErrorContains(t, err, "damaged", name)
		}
		for _, columns := range [][]byte{append(bytes.Clone(columns), 0), append([]byte{2}, columns[1:]...)} {
			_, err = kind.Decode([]byte(`{"packed":"` + base64.StdEncoding.EncodeToString(columns) + `"` + rest))
			require.ErrorContains(t, err, "damaged", name)
		}
	}
}

// A packed event of the most days that a service publishes is within 256 KiB, whatever its values are.
func TestPackedEventsAreBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const days = 3600 // as marketdata
	for _, digits := range []int64{999_999, 999_999_999_999_999_999} {
		e := events.PricesImported{Symbol: strings.Repeat("A", 32), Replay: &events.Replay{Rebuild: events.NewID()}}
		for i := range days {
			e.Days = append(e.Days, civil.Of(1, 1, 1)+civil.Date(i*1000))
			for _, c := range []*events.Column{&e.Close, &e.AdjClose, &e.Dividend, &e.Split} {
				price := decimal.MustNew(digits-r.Int64N(1000), r.IntN(19))
				*c = append(*c, decimal.NullDecimal{Decimal: price, Valid: i > 0 || c == &e.Close})
			}
		}
		data, err := events.Marshal(e)
		require.NoError(t, err)
		require.True(t, events.IsPacked(data))
		assert.LessOrEqual(t, len(data), 256<<10)
		assert.Equal(t, arraysOf(t, e), arraysOf(t, decodeWire(t, e.Topic(), data)))
	}
}

// FuzzPackedEvents decodes any data of the bulk events by both ways, and encodes what it gets in both forms.
func FuzzPackedEvents(f *testing.F) {
	for _, e := range bulkSamples() {
		data, err := events.Marshal(e)
		require.NoError(f, err)
		f.Add(e.Topic(), data)
		f.Add(e.Topic(), bytes.Replace(data, []byte(`{"packed"`), []byte(`{ "packed"`), 1))
		arrays, err := json.Marshal(e)
		require.NoError(f, err)
		f.Add(e.Topic(), arrays)
	}
	for _, text := range []string{
		`{"packed":"AQEA","symbol":"A"}`, `{"packed":"AQEA",}`, `{"packed":"","symbol":"A"}`, `{"packed":"AQ=="}`,
		"{\"packed\":\"AQ\n==\",\"symbol\":\"A\"}", `{"packed":"AQEA","Packed":"AQEA","symbol":"A"}`,
		`{"packed":null,"a":1}`,
		`{"symbol":"A","dates":["0000-01-01"],"close":["1"]}`, `{"symbol":"A","dates":["2026-01-02"],"close":["0.00"]}`,
	} {
		f.Add("marketdata.prices_imported", []byte(text))
		f.Add("returns.asset_updated", []byte(text))
	}
	f.Fuzz(func(t *testing.T, topic string, data []byte) {
		kind, ok := events.Lookup(topic)
		if !ok || topic != "marketdata.prices_imported" && topic != "returns.asset_updated" {
			return
		}
		e, err := kind.Decode(data)
		// A space keeps the data from the quick way, and means nothing to the standard decoder.
		slow, slowErr := kind.Decode(append([]byte{' '}, data...))
		require.Equal(t, slowErr == nil, err == nil, "%v, and by the standard decoder %v", err, slowErr)
		if err != nil {
			return
		}
		arrays := arraysOf(t, e)
		require.Equal(t, arraysOf(t, slow), arrays)
		wire, err := events.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, arrays, arraysOf(t, decodeWire(t, topic, wire)))
		require.JSONEq(t, arrays, string(events.Arrays(topic, wire)))
	})
}

func BenchmarkPackedEvents(b *testing.B) {
	e := events.PricesImported{Symbol: "AAPL"}
	for i := range 2520 {
		e.Days = append(e.Days, civil.Date(i))
		price := decimal.NullDecimal{Decimal: decimal.MustNew(int64(10_000+i*7%500), 2).Trim(0), Valid: true}
		e.Close, e.AdjClose = append(e.Close, price), append(e.AdjClose, price)
	}
	packed, err := events.Marshal(e)
	require.NoError(b, err)
	arrays, err := json.Marshal(e)
	require.NoError(b, err)
	for _, form := range []struct {
		name   string
		data   []byte
		encode func() ([]byte, error)
	}{
		{"packed", packed, func() ([]byte, error) { return events.Marshal(e) }},
		{"arrays", arrays, func() ([]byte, error) { return json.Marshal(e) }},
	} {
		b.Run(form.name+"/encode", func(b *testing.B) {
			b.SetBytes(int64(len(form.data)))
			for b.Loop() {
				if _, err := form.encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(form.name+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(form.data)))
			for b.Loop() {
				var got events.PricesImported
				if err := events.Unmarshal(form.data, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
