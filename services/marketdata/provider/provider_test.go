package provider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stega/civil"
	"stega/fault"
	"stega/services/marketdata/provider"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(
		m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

// api answers like the end-of-day API does: /eod/{SYMBOL.EXCHANGE} and /eod-bulk-last-day/{EXCHANGE}, with the key as
// a query parameter.
type api struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	next  []func(w http.ResponseWriter) // what the next requests get instead of an answer
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path)
	var instead func(http.ResponseWriter)
	if len(a.next) > 0 {
		instead, a.next = a.next[0], a.next[1:]
	}
	a.mu.Unlock()
	switch {
	case instead != nil:
		instead(w)
	case r.URL.Query().Get("api_token") != "secret-key":
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "Unauthenticated")
	case r.URL.Query().Get("fmt") != "json":
		_, _ = io.WriteString(w, "Date,Open,High,Low,Close,Adjusted_close,Volume\n")
	case strings.HasPrefix(r.URL.Path, "/eod-bulk-last-day/"):
		a.bulk(w, r)
	case strings.HasPrefix(r.URL.Path, "/eod/"):
		history(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *api) bulk(w http.ResponseWriter, r *http.Request) {
	exchange := strings.TrimPrefix(r.URL.Path, "/eod-bulk-last-day/")
	var out []map[string]any
	for code := range strings.SplitSeq(r.URL.Query().Get("symbols"), ",") {
		out = append(out, map[string]any{
			"code":                code,
			"exchange_short_name": exchange,
			"date":                "2024-01-05",
			"open":                181.99,
			"high":                182.76,
			"low":                 180.17,
			"close":               181.18,
			"adjusted_close":      180.4018,
			"volume":              62303300,
		})
	}
	out = append(out, map[string]any{"code": "NOBODY-ASKED", "date": "2024-01-05", "close": 1})
	_ = json.NewEncoder(w).Encode(out)
}

func history(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/eod/AAPL.US") && !strings.HasPrefix(r.URL.Path, "/eod/BRK-B.US") {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "Ticker Not Found.")
		return
	}
	all := []string{
		`{"date":"2024-01-03","open":184.22,"high":185.88,"low":183.43,"close":184.25,"adjusted_close":183.4589,` +
			`"volume":58414500}`,
		`{"date":"2024-01-04","open":0,"high":0,"low":0,"close":0,"adjusted_close":0,"volume":0}`,
		`{"date":"2024-01-05","open":181.99,"high":182.76,"low":180.17,"close":181.18,"adjusted_close":180.4018,` +
			`"volume":62303300}`,
	}
	if from := r.URL.Query().Get("from"); from > "2024-01-03" {
		all = all[1:]
	}
	_, _ = io.WriteString(w, "["+strings.Join(all, ",")+"]")
}

// then makes the next requests get these instead.
func (a *api) then(next ...func(w http.ResponseWriter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = next
	a.asked = nil
}

func (a *api) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func status(code int, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

func body(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
}

func breaksOff(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `[{"date":`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func options(url string) provider.EODHDOptions {
	return provider.EODHDOptions{
		BaseURL: url, Key: "secret-key", PerSecond: 1000, Retries: 3, MinWait: time.Millisecond,
		MaxWait: 5 * time.Millisecond,
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	p := provider.NewEODHD(options(a.URL))
	bars, err := p.History(t.Context(), "AAPL", nil)
	require.NoError(t, err)
	require.Len(t, bars, 2, "a day of zeros is a day without a price")
	assert.Equal(t, "2024-01-03", bars[0].Day.String())
	assert.Equal(t, "184.25", bars[0].Close.String())
	assert.Equal(t, "183.4589", bars[0].AdjClose.Decimal.String())
	assert.Equal(t, "58414500", bars[0].Volume.Decimal.String())
	from := civil.Of(2024, time.January, 4)
	bars, err = p.History(t.Context(), "BRK.B", &from)
	require.NoError(t, err)
	assert.Len(t, bars, 1)
	assert.Equal(t, "/eod/BRK-B.US", a.asked[1])
}

func TestLatestAsksInBulk(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	p := provider.NewEODHD(options(a.URL))
	symbols := []string{"VOD.LSE"}
	for i := range 150 {
		symbols = append(symbols, fmt.Sprintf("S%03d", i))
	}
	latest, err := p.Latest(t.Context(), symbols)
	require.NoError(t, err)
	assert.Len(t, latest, 151)
	assert.Equal(t, "181.18", latest["VOD.LSE"][0].Close.String())
	assert.Equal(t, 3, a.requests(), "one for each hundred symbols of an exchange")
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	p := provider.NewEODHD(options(a.URL))
	for name, trouble := range map[string][]func(http.ResponseWriter){
		"a fault of the server":   {status(500), status(502)},
		"throttling, with a time": {status(429, "Retry-After", "0")},
		"unavailability":          {status(503)},
	} {
		a.then(trouble...)
		bars, err := p.History(t.Context(), "AAPL", nil)
		require.NoError(t, err, name)
		assert.Len(t, bars, 2)
		assert.Equal(t, len(trouble)+1, a.requests(), name)
	}
}

func TestFaultsSayWhetherTheyPass(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, c := range []struct {
		name string
		next []func(http.ResponseWriter)
		key  string
		ask  string
		code string
		kind fault.Kind
	}{
		{"a wrong key", nil, "wrong", "AAPL", "provider_refused", fault.KindForbidden},
		{
			"a plan that does not cover it", []func(http.ResponseWriter){status(403)}, "secret-key", "AAPL",
			"provider_refused",
			fault.KindForbidden,
		},
		{"a symbol that nobody knows", nil, "secret-key", "NONE", "symbol_unknown", fault.KindNotFound},
		{
			"throttling that stays", []func(http.ResponseWriter){status(429), status(429), status(429), status(429)},
			"secret-key", "AAPL", "provider_throttled", fault.KindUnavailable,
		},
		{
			"the daily limit", []func(http.ResponseWriter){status(402)}, "secret-key", "AAPL", "provider_throttled",
			fault.KindUnavailable,
		},
		{
			"a server that stays broken",
			[]func(http.ResponseWriter){status(500), status(500), status(500), status(500)},
			"secret-key", "AAPL", "provider_unavailable", fault.KindUnavailable,
		},
		{
			"an answer that breaks off", []func(http.ResponseWriter){breaksOff}, "secret-key", "AAPL",
			"provider_unavailable",
			fault.KindUnavailable,
		},
		{
			"HTML", []func(http.ResponseWriter){body("<html>")}, "secret-key", "AAPL", "provider_answer_invalid",
			fault.KindInternal,
		},
		{
			"a date that is none", []func(http.ResponseWriter){body(`[{"date":"0000-00-00","close":1}]`)}, "secret-key",
			"AAPL",
			"provider_answer_invalid", fault.KindInternal,
		},
		{
			"a negative price", []func(http.ResponseWriter){body(`[{"date":"2024-01-02","close":-1}]`)}, "secret-key",
			"AAPL",
			"provider_answer_invalid", fault.KindInternal,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(a.URL)
			o.Key = c.key
			a.then(c.next...)
			_, err := provider.NewEODHD(o).History(t.Context(), c.ask, nil)
			f, ok := errors.AsType[*fault.Fault](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, c.code, f.Code)
			assert.Equal(t, c.kind, f.Kind)
			assert.NotContains(t, f.Error()+f.Hint, c.key, "the key is never shown")
		})
	}
}

func TestAServerThatIsAwayOrSilentIsAFault(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err := provider.NewEODHD(options(gone.URL)).History(t.Context(), "AAPL", nil)
	f, ok := errors.AsType[*fault.Fault](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "provider_unavailable", f.Code)
	assert.NotContains(t, f.Error(), "secret-key")

	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	o := options(silent.URL)
	o.Timeout, o.Retries = 20*time.Millisecond, 1
	_, err = provider.NewEODHD(o).History(t.Context(), "AAPL", nil)
	f, ok = errors.AsType[*fault.Fault](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "provider_unavailable", f.Code)
	assert.NotContains(t, f.Error(), "secret-key")
}

func TestTheRateIsBounded(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	o := options(a.URL)
	o.PerSecond = 20
	p := provider.NewEODHD(o)
	began := time.Now()
	for range 30 {
		_, err := p.History(t.Context(), "AAPL", nil)
		require.NoError(t, err)
	}
	assert.GreaterOrEqual(t, time.Since(began), 490*time.Millisecond,
		"after a burst of 20, ten more take half a second")
}
