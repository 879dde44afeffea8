package provider_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/fault"
	"stega/services/marketdata/provider"
)

func yahoo(s *server, now string) *provider.Yahoo {
	return provider.NewYahoo(provider.YahooOptions{BaseURL: s.URL, Limits: quick(), Now: at(now)})
}

// chartOf is an answer in the shape of the API, with what differs put in.
func chartOf(meta, stamps, quote, adjusted, events string) string {
	return fmt.Sprintf(
		`{"chart":{"result":[{"meta":{"currency":"USD","symbol":"X","exchangeName":"NMS","instrumentType":"EQUITY",%s,
		"regularMarketPrice":1.5,"priceHint":2,"dataGranularity":"1d","range":"","validRanges":["1d","max"]},
			"timestamp":%s,"events":{%s},
		"indicators":{"quote":[%s],"adjclose":[{"adjclose":%s}]}}],"error":null}}`, meta, stamps, events, quote,
		adjusted,
	)
}

const newYork = `"gmtoffset":-18000,"timezone":"EST","exchangeTimezoneName":"America/New_York"`

// Four days around a split of four for one on Monday, 2020-08-31 and a dividend on the Friday before, as the API
// tells them; Thursday is null.
var splitChart = chartOf(newYork, "[1598448600,1598535000,1598621400,1598880600,1598967000]",
	`{"open":[126.18,null,126.01249694824219,127.58000183105469,132.75999450683594],
		"high":[126.99,null,126.44249725341797,131,134.80000305175781],
	"low":[125.08,null,124.57749938964844,126,130.52999877929688],
		"close":[126.5224990844726562,null,124.80750274658203,129.03999328613281,134.17999267578125],
	"volume":[163022400,null,187151600,225702700,151948100]}`,
	"[124.1,null,122.5,126.7,131.7]",
	`"dividends":{"1598621400":{"amount":0.205,"date":1598621400}},"splits":{"1598880600":{"date":1598880600,`+
		`"numerator":4,"denominator":1,"splitRatio":"4:1"}}`)

func TestYahooPricesComeAsTheyWerePaid(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(200, splitChart))
	bars, err := yahoo(s, "2020-09-02T00:00:00Z").History(t.Context(), "AAPL", nil)
	require.NoError(t, err)
	require.Len(t, bars, 4, "a day of nulls is a day without a price")
	days := []string{}
	for _, b := range bars {
		days = append(days, b.Day.String()+" "+b.Close.String()+" "+b.Volume.Decimal.String())
	}
	assert.Equal(
		t,
		[]string{
			"2020-08-26 506.09 40755600", "2020-08-28 499.23 46787900", "2020-08-31 129.04 225702700",
			"2020-09-01 134.18 151948100",
		},
		days,
	)
	assert.Equal(t, "0.82", bars[1].Dividend.Decimal.String(), "of a share as it was then")
	assert.False(t, bars[0].Dividend.Valid)
	assert.Equal(t, "4", bars[2].Split.Decimal.String())
	assert.False(t, bars[1].Split.Valid)
	assert.Equal(t, "124.1", bars[0].AdjClose.Decimal.String(), "as of the day of the answer")
	assert.Equal(t, "504.72", bars[0].Open.Decimal.String())

	asked := s.requests()[0]
	assert.Equal(t, "/v8/finance/chart/AAPL", asked.Path)
	assert.Equal(t, "1d", asked.Query().Get("interval"))
	assert.Equal(t, "div,split", asked.Query().Get("events"))
	assert.Equal(t, "-2208988800", asked.Query().Get("period1"))
	assert.Equal(t, "1599004800", asked.Query().Get("period2"))
}

func TestYahooPartsOfAHistoryHaveNoAdjustedCloses(t *testing.T) {
	t.Parallel()
	from := civil.Of(2020, time.August, 28)
	s := newServer(t, says(200, splitChart))
	bars, err := yahoo(s, "2020-09-02T00:00:00Z").History(t.Context(), "BRK.B", &from)
	require.NoError(t, err)
	require.Len(t, bars, 3)
	assert.Equal(t, from, bars[0].Day)
	latest, err := yahoo(s, "2020-09-02T00:00:00Z").Latest(t.Context(), []string{"AAPL"})
	require.NoError(t, err)
	require.Len(t, latest["AAPL"], 4)
	for _, b := range append(bars, latest["AAPL"]...) {
		assert.False(t, b.AdjClose.Valid)
	}
	assert.Equal(t, "/v8/finance/chart/BRK-B", s.requests()[0].Path)
	assert.Equal(t, "1598140800", s.requests()[1].Query().Get("period1"), "ten days")
}

func TestYahooDaysAreThoseOfTheExchange(t *testing.T) {
	t.Parallel()
	quote := `{"open":[1,1],"high":[1,1],"low":[1,1],"close":[1.5,2.5],"volume":[0,0]}`
	for _, c := range []struct{ name, meta, stamps, first, second string }{
		{
			"London's midnight in summer, asked in winter",
			`"gmtoffset":0,"timezone":"GMT","exchangeTimezoneName":"Europe/London"`, "[1688338800,1688425200]",
			"2023-07-03",
			"2023-07-04",
		},
		{"Sydney, where it is tomorrow",
			`"gmtoffset":39600,"timezone":"AEDT","exchangeTimezoneName":"Australia/Sydney"`,
			"[1704150000,1704236400]", "2024-01-02", "2024-01-03"},
		{"a zone that has no name here", `"gmtoffset":39600,"timezone":"X","exchangeTimezoneName":"Moon/Sea"`,
			"[1704150000,1704236400]", "2024-01-02", "2024-01-03"},
		{"an offset alone", `"gmtoffset":-18000`, "[1704205800,1704292200]", "2024-01-02", "2024-01-03"},
	} {
		s := newServer(t, says(200, chartOf(c.meta, c.stamps, quote, "[1.5,2.5]", "")))
		bars, err := yahoo(s, "2024-01-10T00:00:00Z").History(t.Context(), "X", nil)
		require.NoError(t, err, c.name)
		require.Len(t, bars, 2, c.name)
		assert.Equal(t, c.first, bars[0].Day.String(), c.name)
		assert.Equal(t, c.second, bars[1].Day.String(), c.name)
	}
}

func TestADayThatIsNotOverHasNoCloseAtYahoo(t *testing.T) {
	t.Parallel()
	meta := newYork +
		`,"currentTradingPeriod":{"regular":{"timezone":"EST","start":1704292200,"end":1704315600,"gmtoffset":-18000}}`
	text := chartOf(meta, "[1704205800,1704292200,1704306000]",
		`{"open":[1,1,1],"high":[1,1,1],"low":[1,1,1],"close":[1.5,2.25,2.5],"volume":[1,2,3]}`, "[1.5,2.25,2.5]", "")
	for now, want := range map[string][]string{
		"2024-01-03T20:59:59Z": {"2024-01-02 1.5"},
		"2024-01-03T21:00:00Z": {"2024-01-02 1.5", "2024-01-03 2.5"}, // of two rows of a day, the later
	} {
		bars, err := yahoo(newServer(t, says(200, text)), now).History(t.Context(), "X", nil)
		require.NoError(t, err)
		var days []string
		for _, b := range bars {
			days = append(days, b.Day.String()+" "+b.Close.String())
		}
		assert.Equal(t, want, days)
	}
}

func TestYahooSplitsThatLeaveNoWholeNumberAndActionsOnHolidays(t *testing.T) {
	t.Parallel()
	// Seven for one on a holiday takes effect on the next day, together with one for ten; two dividends of a day are
	// paid both.
	text := chartOf(newYork, "[1704205800,1704378600]",
		`{"open":[null,null],"high":[null,null],"low":[null,null],"close":[922.24285888671875,640.5],
			"volume":[null,7]}`,
		"[null,null]",
		`"dividends":{"1704205800":{"amount":0.1,"date":1704205800},"1704205801":{"amount":0.05,"date":1704205801},
			"1704500000":{"amount":9,"date":1704500000}},
		"splits":{"1704292200":{"date":1704292200,"numerator":7,"denominator":1},"1704378600":{"date":1704378600,
			"numerator":1,"denominator":10}}`)
	bars, err := yahoo(newServer(t, says(200, text)), "2024-01-10T00:00:00Z").History(t.Context(), "X", nil)
	require.NoError(t, err)
	require.Len(t, bars, 2)
	assert.Equal(t, "645.57", bars[0].Close.String())
	assert.Equal(t, "0.105", bars[0].Dividend.Decimal.String())
	assert.Equal(t, "0.7", bars[1].Split.Decimal.String())
	assert.Equal(t, "640.5", bars[1].Close.String())
	assert.False(t, bars[1].Dividend.Valid, "what is paid after the last bar comes with a later answer")
	assert.False(t, bars[0].Open.Valid)
}

func TestYahooFaults(t *testing.T) {
	t.Parallel()
	const quote = `{"open":[1],"high":[1],"low":[1],"close":[1.5],"volume":[1]}`
	errorOf := func(code, text string) string {
		return fmt.Sprintf(`{"chart":{"result":null,"error":{"code":%q,"description":%q}}}`, code, text)
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		code   string
		kind   fault.Kind
	}{
		{
			"a symbol that it does not know", says(404, errorOf("Not Found", "No data found, symbol may be delisted")),
			"symbol_unknown", fault.KindNotFound,
		},
		{
			"the same with status 200", says(200, errorOf("Not Found", "No data found, symbol may be delisted")),
			"symbol_unknown", fault.KindNotFound,
		},
		{
			"a bad request", says(422, errorOf("Unprocessable Entity", "1d data not available")),
			"provider_answer_invalid",
			fault.KindInternal,
		},
		{
			"a refusal",
			says(401, `{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}`),
			"provider_refused", fault.KindForbidden,
		},
		{
			"a refusal with status 200",
			says(200, `{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}`),
			"provider_refused", fault.KindForbidden,
		},
		{"a path that is not there", says(404, "<html>not here</html>"), "provider_unknown", fault.KindNotFound},
		{"throttling", says(429, "Too Many Requests\r\n"), "provider_throttled", fault.KindUnavailable},
		{"a server that is broken", says(503, ""), "provider_unavailable", fault.KindUnavailable},
		{"an answer that breaks off", cutOff, "provider_unavailable", fault.KindUnavailable},
		{"an answer without end", endless, "provider_answer_invalid", fault.KindInternal},
		{"JSON that is cut", says(200, splitChart[:len(splitChart)/2]), "provider_answer_invalid", fault.KindInternal},
		{"HTML", says(200, "<html>"), "provider_answer_invalid", fault.KindInternal},
		{"no chart", says(200, `{"chart":{"result":[],"error":null}}`), "provider_answer_invalid", fault.KindInternal},
		{
			"a column that is short", says(200, chartOf(newYork, "[1704205800,1704292200]", quote, "[1.5,1.5]", "")),
			"provider_answer_invalid", fault.KindInternal,
		},
		{
			"no time zone", says(200, chartOf(`"timezone":"EST"`, "[1704205800]", quote, "[1.5]", "")),
			"provider_answer_invalid",
			fault.KindInternal,
		},
		{
			"a time of another age", says(200, chartOf(newYork, "[99999999999]", quote, "[1.5]", "")),
			"provider_answer_invalid",
			fault.KindInternal,
		},
		{
			"a negative price",
			says(
				200,
				chartOf(newYork, "[1704205800]", `{"open":[1],"high":[1],"low":[1],"close":[-1.5],"volume":[1]}`,
					"[1.5]", ""),
			),
			"provider_answer_invalid", fault.KindInternal,
		},
		{
			"a split to nothing",
			says(
				200,
				chartOf(
					newYork, "[1704205800]", quote, "[1.5]",
					`"splits":{"1":{"date":1704205800,"numerator":0,"denominator":1}}`,
				),
			),
			"provider_answer_invalid", fault.KindInternal,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := yahoo(newServer(t, c.answer), "2024-01-10T00:00:00Z").History(t.Context(), "X", nil)
			f := faultOf(t, err)
			assert.Equal(t, c.code, f.Code, "%s", f)
			assert.Equal(t, c.kind, f.Kind)
		})
	}
}

func TestYahooHasNothingOfAWindowOrASymbol(t *testing.T) {
	t.Parallel()
	from := civil.Of(2024, time.January, 9)
	empty := newServer(t,
		says(
			400,
			`{"chart":{"result":null,"error":{"code":"Bad Request","description":"Data doesn't exist for startDate `+
				`= 1704672000, endDate = 1704844800"}}}`,
		),
		says(200,
			`{"chart":{"result":[{"meta":{"gmtoffset":0},"indicators":{"quote":[{}],"adjclose":[{}]}}],"error":null}}`),
		says(
			404,
			`{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be `+
				`delisted"}}}`,
		))
	p := yahoo(empty, "2024-01-10T00:00:00Z")
	for range 2 {
		bars, err := p.History(t.Context(), "X", &from)
		require.NoError(t, err)
		assert.Empty(t, bars)
	}
	latest, err := p.Latest(t.Context(), []string{"NONE"})
	require.NoError(t, err)
	assert.Empty(t, latest)
}
