package provider_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/fault"
	"stega/services/marketdata/provider"
)

// server answers requests in the order of its answers, the last one for ever, and keeps what it was asked.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*url.URL
	next  []http.HandlerFunc
}

func newServer(t *testing.T, answers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{next: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.URL)
		answer := s.next[0]
		if len(s.next) > 1 {
			s.next = s.next[1:]
		}
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []*url.URL {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// says is an answer with a status and a body.
func says(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

func cutOff(w http.ResponseWriter, _ *http.Request) { breaksOff(w) }

// endless never ends.
func endless(w http.ResponseWriter, _ *http.Request) {
	block := []byte(strings.Repeat("2024-01-02,1,1,1,1,1\n", 50_000))
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func quick() provider.Limits {
	return provider.Limits{
		PerSecond: 1000, Retries: 2, MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond, Timeout: time.Minute,
	}
}

// at is a time as a clock.
func at(text string) func() time.Time {
	t, err := time.Parse(time.RFC3339, text)
	return func() time.Time {
		if err != nil {
			panic(err)
		}
		return t
	}
}

func stooq(s *server) *provider.Stooq {
	return provider.NewStooq(
		provider.StooqOptions{
			BaseURL: s.URL + "/",
			Key:     "secret-key",
			Limits:  quick(),
			Now:     at("2024-01-05T22:00:00Z"),
		},
	)
}

const stooqFile = "Date,Open,High,Low,Close,Volume\r\n2024-01-02,185.22,186.504,181.96,183.717,83073510\r\n" +
	"2024-01-03,182.3,183.95,181.515,182.34,58844900\r\n"

// faultOf requires a fault that does not show the key.
func faultOf(t *testing.T, err error) *fault.Fault {
	t.Helper()
	f, ok := errors.AsType[*fault.Fault](err)
	require.True(t, ok, "%v", err)
	assert.NotContains(t, f.Error()+f.Hint, "secret-key", "the key is never shown")
	return f
}

func TestStooqServesAFile(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(200, stooqFile))
	bars, err := stooq(s).History(t.Context(), "AAPL", nil)
	require.NoError(t, err)
	require.Len(t, bars, 2)
	assert.Equal(t, "2024-01-02", bars[0].Day.String())
	assert.Equal(t, "183.717", bars[0].Close.String())
	assert.Equal(t, "186.504", bars[0].High.Decimal.String())
	assert.Equal(t, "58844900", bars[1].Volume.Decimal.String())
	assert.False(t, bars[0].AdjClose.Valid)
	assert.Equal(t, "/q/d/l/", s.requests()[0].Path)
	assert.Equal(t, url.Values{"s": {"aapl.us"}, "i": {"d"}, "apikey": {"secret-key"}}, s.requests()[0].Query())
}

func TestStooqIsAskedForAWindowInItsOwnNames(t *testing.T) {
	t.Parallel()
	from := civil.Of(2024, time.January, 3)
	for symbol, want := range map[string]string{
		"AAPL":    "aapl.us",
		"BRK.B":   "brk-b.us",
		"CDR.PL":  "cdr.pl",
		"VOD.UK":  "vod.uk",
		"^SPX":    "^spx",
		"MSFT.US": "msft.us",
	} {
		s := newServer(t, says(200, stooqFile))
		_, err := stooq(s).History(t.Context(), symbol, &from)
		require.NoError(t, err)
		asked := s.requests()[0].Query()
		assert.Equal(t, want, asked.Get("s"))
		assert.Equal(t, "20240103", asked.Get("d1"))
		assert.Equal(t, "20240106", asked.Get("d2"))
	}
}

func TestStooqLatestLooksBackSomeDaysAndPassesOverWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := newServer(t, says(200, stooqFile), says(200, "No data"))
	latest, err := stooq(s).Latest(t.Context(), []string{"AAPL", "NONE"})
	require.NoError(t, err)
	assert.Len(t, latest, 1)
	assert.Len(t, latest["AAPL"], 2)
	assert.Equal(t, "20231227", s.requests()[0].Query().Get("d1"))
}

func TestStooqFilesWithoutVolumeAndOfThePolishSite(t *testing.T) {
	t.Parallel()
	s := newServer(t,
		says(200, "Date,Open,High,Low,Close\n2024-01-02,4745.2,4754.33,4722.67,4742.83\n"),
		says(200, "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen\n2024-01-02,115.5,116,114.3,115.05,312057\n"))
	bars, err := stooq(s).History(t.Context(), "^SPX", nil)
	require.NoError(t, err)
	assert.Equal(t, "4742.83", bars[0].Close.String())
	bars, err = stooq(s).History(t.Context(), "CDR.PL", nil)
	require.NoError(t, err)
	assert.Equal(t, "115.05", bars[0].Close.String())
	assert.Equal(t, "312057", bars[0].Volume.Decimal.String())
}

func TestStooqTellsASymbolThatIsUnknownFromAWindowWithoutBars(t *testing.T) {
	t.Parallel()
	from := civil.Of(2024, time.January, 6)
	s := newServer(t, says(200, "No data"), says(200, stooqFile))
	bars, err := stooq(s).History(t.Context(), "AAPL", &from)
	require.NoError(t, err)
	assert.Empty(t, bars)
	s = newServer(t, says(200, "No data"))
	_, err = stooq(s).History(t.Context(), "NONE", &from)
	assert.Equal(t, "symbol_unknown", faultOf(t, err).Code)
}

func TestStooqFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		code   string
		kind   fault.Kind
	}{
		{"a symbol that it does not know", says(200, "No data"), "symbol_unknown", fault.KindNotFound},
		{"the same in Polish", says(200, "Brak danych"), "symbol_unknown", fault.KindNotFound},
		{"a head alone", says(200, "Date,Open,High,Low,Close,Volume\n"), "symbol_unknown", fault.KindNotFound},
		{"the daily limit", says(200, "Exceeded the daily hits limit"), "provider_throttled", fault.KindUnavailable},
		{"the same in Polish", says(200, "Przekroczony dzienny limit wywolan"), "provider_throttled",
			fault.KindUnavailable},
		{"throttling", says(429, ""), "provider_throttled", fault.KindUnavailable},
		{"a key that it wants", says(200, "Get your apikey:\n\n1. Open the page\n"), "provider_refused",
			fault.KindForbidden},
		{"a refusal", says(403, ""), "provider_refused", fault.KindForbidden},
		{"a server that is broken", says(500, ""), "provider_unavailable", fault.KindUnavailable},
		{"an answer that breaks off", cutOff, "provider_unavailable", fault.KindUnavailable},
		{"an answer without end", endless, "provider_answer_invalid", fault.KindInternal},
		{"nothing", says(200, ""), "provider_answer_invalid", fault.KindInternal},
		{
			"a page for people", says(200, "<!DOCTYPE html><html>This site requires JavaScript"),
			"provider_answer_invalid",
			fault.KindInternal,
		},
		{"other columns", says(200, "Symbol,Close\nAAPL,1\n"), "provider_answer_invalid", fault.KindInternal},
		{"a row that is cut", says(200, stooqFile+"2024-01-04,18"), "provider_answer_invalid", fault.KindInternal},
		{
			"a price that is none", says(200, stooqFile+"2024-01-04,1,1,1,?,1\n"), "provider_answer_invalid",
			fault.KindInternal,
		},
		{"a negative price", says(200, stooqFile+"2024-01-04,1,1,1,-1,1\n"), "provider_answer_invalid",
			fault.KindInternal},
		{"a day twice", says(200, stooqFile+"2024-01-03,1,1,1,1,1\n"), "provider_answer_invalid", fault.KindInternal},
		{
			"a warning before the file", says(200, "Warning: Division by zero in line 102\n"+stooqFile),
			"provider_answer_invalid", fault.KindInternal,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := stooq(newServer(t, c.answer)).History(t.Context(), "AAPL", nil)
			f := faultOf(t, err)
			assert.Equal(t, c.code, f.Code, "%s", f)
			assert.Equal(t, c.kind, f.Kind)
		})
	}
}

func TestWhatPassesAtStooqIsTriedAgain(t *testing.T) {
	t.Parallel()
	patient := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600") // a job does not wait for an hour
		w.WriteHeader(http.StatusTooManyRequests)
	}
	s := newServer(t, says(502, ""), patient, says(200, stooqFile))
	bars, err := stooq(s).History(t.Context(), "AAPL", nil)
	require.NoError(t, err)
	assert.Len(t, bars, 2)
	assert.Len(t, s.requests(), 3)
}
