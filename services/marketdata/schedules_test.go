package marketdata_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/events"
	"stega/internal/stegatest"
	"stega/process"
	"stega/services/marketdata"
	"stega/services/marketdata/provider"
)

// clock is one that a test sets.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits map[chan time.Time]time.Time
}

func newClock(now time.Time) *clock { return &clock{now: now, waits: map[chan time.Time]time.Time{}} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) At(t time.Time) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := make(chan time.Time, 1)
	if c.now.Before(t) {
		c.waits[late] = t
	} else {
		late <- c.now
	}
	return late
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	for late, t := range c.waits {
		if !now.Before(t) {
			late <- now
			delete(c.waits, late)
		}
	}
}

// exchange serves charts of days that are over by the clock, each closing a dollar higher than the one before.
type exchange struct {
	*httptest.Server
	clock *clock
	mu    sync.Mutex
	asked []string
}

func newExchange(t *testing.T, c *clock) *exchange {
	t.Helper()
	e := &exchange{clock: c}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	symbol := strings.TrimPrefix(r.URL.Path, "/v8/finance/chart/")
	e.mu.Lock()
	e.asked = append(e.asked, symbol)
	e.mu.Unlock()
	if symbol == "NONE" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(
			w,
			`{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be `+
				`delisted"}}}`,
		)
		return
	}
	var stamps, closes []string
	open := time.Date(2024, 1, 2, 14, 30, 0, 0, time.UTC)
	for price := 100; open.Add(6*time.Hour + 30*time.Minute).Before(e.clock.Now()); open = open.AddDate(0, 0, 1) {
		if day := open.Weekday(); day != time.Saturday && day != time.Sunday {
			stamps, closes = append(stamps, strconv.FormatInt(open.Unix(), 10)), append(closes, strconv.Itoa(price))
			price++
		}
	}
	column := "[" + strings.Join(closes, ",") + "]"
	_, _ = fmt.Fprintf(
		w, `{"chart":{"result":[{"meta":{"gmtoffset":-18000,"exchangeTimezoneName":"America/New_York"},"timestamp":[%s],
		"indicators":{"quote":[{"open":%[2]s,"high":%[2]s,"low":%[2]s,"close":%[2]s,"volume":%[2]s}],
			"adjclose":[{"adjclose":%[2]s}]}}],"error":null}}`,
		strings.Join(stamps, ","), column,
	)
}

func (e *exchange) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string{}, e.asked...)
}

// scheduled is a stega whose clock stands at a time and whose prices come from the exchange.
func scheduled(t *testing.T, now string) (*stegatest.Server, *clock, *exchange) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, now)
	require.NoError(t, err)
	c := newClock(at)
	e := newExchange(t, c)
	limits := provider.Limits{PerSecond: 1000, Retries: 1, MinWait: 1, MaxWait: 2}
	s := stegatest.Up(t, func(cfg *process.Config) {
		cfg.Options.Marketdata = marketdata.Options{
			Clock: c, Yahoo: provider.YahooOptions{BaseURL: e.URL, Limits: limits, Now: c.Now},
		}
	})
	return s, c, e
}

const afterTheClose = `{"name":"close","cron":"30  16 * * 1-5","time_zone":"America/New_York"}`

func schedule(s *stegatest.Server, id string) (got api.Schedule) {
	s.Get("/v1/schedules/"+id, &got)
	return got
}

func create(t *testing.T, s *stegatest.Server, body string) string {
	t.Helper()
	op := s.Write(http.MethodPost, "/v1/schedules", body)
	require.Nil(t, op.Error, "%v", op.Error)
	return op.EntityID
}

func TestAScheduleThatIsDueBringsPricesAndReturns(t *testing.T) {
	t.Parallel()
	s, c, e := scheduled(t, "2024-01-05T12:00:00Z")
	status, _ := pull(s, `{"kind":"backfill","symbols":["AAPL","MA"]}`)
	require.Equal(t, "succeeded", status)
	s.Import("date,symbol,close\n2024-01-04,NONE,1\n", "") // which the provider does not know
	assert.Equal(t, "2024-01-04", symbols(s)[0].Last)
	id := create(t, s, afterTheClose)
	made := schedule(s, id)
	due := time.Date(2024, 1, 5, 21, 30, 0, 0, time.UTC)
	assert.Equal(t, due, *made.NextAt)
	assert.Nil(t, made.LastAt)
	assert.Equal(t, "30 16 * * 1-5", made.Cron)
	assert.Equal(t, "latest", made.Kind)
	before := len(e.requests())

	c.set(due)
	var op struct {
		ID, Status, Command, Subject string
		EntityID                     string `json:"entity_id"`
		Settled                      bool
	}
	s.Eventually("it has run", func() bool { return schedule(s, id).LastOperation != "" })
	ran := schedule(s, id)
	s.Eventually("the run is settled", func() bool {
		a := s.Do(http.MethodGet, "/v1/operations/"+ran.LastOperation, "")
		if a.Status != http.StatusOK {
			return false // the ledger has not heard of it yet
		}
		a.JSON(&op)
		return op.Settled
	})
	assert.Equal(t, "succeeded", op.Status)
	assert.Equal(t, "marketdata.pull_prices", op.Command)
	assert.Equal(t, id, op.EntityID)
	assert.Equal(t, due, *ran.LastDueAt)
	assert.Equal(t, time.Date(2024, 1, 8, 21, 30, 0, 0, time.UTC), *ran.NextAt, "not at the weekend")
	assert.Equal(t, []string{"AAPL", "MA", "NONE"}, e.requests()[before:], "each symbol once")
	var p prices
	s.Get("/v1/prices/AAPL?from=2024-01-05", &p)
	require.Len(t, p.Prices, 1)
	assert.Equal(t, "103", p.Prices[0].Close)
	var figures struct{ Observations int }
	s.Get("/v1/returns/assets/AAPL", &figures)
	assert.Equal(t, 3, figures.Observations, "of the days from the 2nd to the 5th")

	c.set(due.AddDate(0, 0, 3))
	s.Eventually("it runs again", func() bool { return schedule(s, id).LastDueAt.Equal(due.AddDate(0, 0, 3)) })
	s.Eventually("the next close is there", func() bool { return symbols(s)[0].Last == "2024-01-08" })
}

func TestAScheduleCanBeTriggered(t *testing.T) {
	t.Parallel()
	s, c, _ := scheduled(t, "2024-01-05T12:00:00Z")
	id := create(t, s, strings.Replace(afterTheClose, `{`, `{"enabled":false,"symbols":["aapl"],`, 1))
	assert.Equal(t, []string{"AAPL"}, schedule(s, id).Symbols)
	mine := events.NewID()
	op := s.Write(http.MethodPost, "/v1/schedules/"+id+"/run", "", "Operation-Id", mine)
	require.Nil(t, op.Error, "%v", op.Error)
	assert.Equal(t, mine, op.ID)
	assert.Equal(t, "marketdata.pull_prices", op.Command)
	assert.Equal(t, []summary{{"AAPL", "2024-01-02", "2024-01-04", 3}}, symbols(s))
	got := schedule(s, id)
	assert.Equal(t, mine, got.LastOperation)
	assert.Equal(t, c.Now(), *got.LastAt)
	assert.Nil(t, got.LastDueAt, "it was not due")
	assert.Nil(t, got.NextAt, "it still rests")
	changed := s.Do(http.MethodGet, "/v1/schedules/"+id, "", "If-None-Match", `"1"`)
	assert.Equal(t, http.StatusOK, changed.Status, "a run changes what is said of it")
	tag := changed.Header.Get("ETag")
	assert.Equal(t, http.StatusNotModified, s.Do(http.MethodGet, "/v1/schedules/"+id, "", "If-None-Match", tag).Status)
	same := strings.Replace(afterTheClose, `{`, `{"enabled":false,"symbols":["aapl"],`, 1)
	for _, stale := range []string{`"2-1"`, `"0-1"`} {
		a := s.Do(http.MethodPut, "/v1/schedules/"+id, same, "If-Match", stale, "Prefer", "wait=50")
		assert.NotContains(t, string(a.Body), `"succeeded"`, stale)
	}
	require.Nil(t, s.Write(http.MethodPut, "/v1/schedules/"+id, same, "If-Match", tag).Error, "it is of this version")
	again := s.Write(http.MethodPost, "/v1/schedules/"+id+"/run", "", "Operation-Id", mine)
	assert.Equal(t, op.AcceptedAt, again.AcceptedAt, "the same request is the same run")
	a := s.Do(http.MethodPost, "/v1/schedules/"+events.NewID()+"/run", "")
	assert.Equal(t, http.StatusNotFound, a.Status)
	assert.Equal(t, "schedule_unknown", a.Problem().Code)
}

func TestLifeOfASchedule(t *testing.T) {
	t.Parallel()
	s, _, _ := scheduled(t, "2024-01-05T12:00:00Z")
	id := create(t, s, afterTheClose)
	path := "/v1/schedules/" + id
	assert.Equal(t, `"1"`, s.Do(http.MethodGet, path, "").Header.Get("ETag"))
	assert.Equal(t, http.StatusNotModified, s.Do(http.MethodGet, path, "", "If-None-Match", `"1"`).Status)
	taken := s.Write(http.MethodPost, "/v1/schedules", strings.Replace(afterTheClose, "close", "Close", 1))
	require.NotNil(t, taken.Error)
	assert.Equal(t, "name_taken", taken.Error.Code)

	changed := `{"name":"close","cron":"0 18 * * *","time_zone":"Europe/Berlin","kind":"backfill","symbols":["MA"],` +
		`"provider":"yahoo"}`
	require.Nil(t, s.Write(http.MethodPut, path, changed, "If-Match", `"1"`).Error)
	got := schedule(s, id)
	assert.Equal(t, int64(2), got.Version)
	assert.Equal(t, "2024-01-05T17:00:00Z", got.NextAt.Format(time.RFC3339))
	assert.Equal(t, "yahoo", got.Provider)
	assert.Equal(t, "backfill", got.Kind)
	stale := s.Write(http.MethodPut, path, changed, "If-Match", `"1"`)
	require.NotNil(t, stale.Error)
	assert.Equal(t, "version_mismatch", stale.Error.Code)

	other := create(t, s, strings.Replace(afterTheClose, "close", "other", 1))
	var list struct {
		Items      []api.Schedule
		NextCursor string `json:"next_cursor"`
	}
	s.Get("/v1/schedules?limit=1", &list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, id, list.Items[0].ID)
	s.Get("/v1/schedules?limit=1&cursor="+list.NextCursor, &list)
	assert.Equal(t, other, list.Items[0].ID)
	s.Get("/v1/schedules?name=OTHER", &list)
	require.Len(t, list.Items, 1)
	assert.Equal(t, other, list.Items[0].ID)

	require.Nil(t, s.Write(http.MethodDelete, path, "", "If-Match", `"2"`).Error)
	assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, path, "").Status)
	gone := s.Write(http.MethodDelete, path, "")
	require.NotNil(t, gone.Error)
	assert.Equal(t, "schedule_unknown", gone.Error.Code)
	assert.Empty(t, imports(s), "schedules alone change no prices")
}

func TestBadSchedulesAreRefusedWithEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	s, _, _ := scheduled(t, "2024-01-05T12:00:00Z")
	for _, c := range []struct {
		name, body string
		pointers   []string
	}{
		{"nothing", `{}`, []string{"/name", "/cron"}},
		{"a cron expression of four fields", `{"name":"x","cron":"30 16 * *"}`, []string{"/cron"}},
		{"an hour that no day has", `{"name":"x","cron":"30 25 * * *"}`, []string{"/cron"}},
		{"a day that never comes", `{"name":"x","cron":"0 0 31 2 *"}`, []string{"/cron"}},
		{"a time zone in the expression", `{"name":"x","cron":"TZ=UTC"}`, []string{"/cron"}},
		{"a place without a time", `{"name":"x","cron":"@daily","time_zone":"Atlantis"}`, []string{"/time_zone"}},
		{"another kind", `{"name":"x","cron":"@daily","kind":"sometimes"}`, []string{"/kind"}},
		{"a symbol that is none", `{"name":"x","cron":"@daily","symbols":["A B"]}`, []string{"/symbols"}},
		{"a provider that nobody knows", `{"name":"x","cron":"@daily","provider":"crystal"}`, []string{"/provider"}},
		{"a name that cannot be shown", `{"name":"a\u0007","cron":"@daily"}`, []string{"/name"}},
		{"an unknown field", `{"name":"x","cron":"@daily","zone":"UTC"}`, []string{"/zone"}},
	} {
		t.Run("refuses "+c.name, func(t *testing.T) {
			a := s.Do(http.MethodPost, "/v1/schedules", c.body)
			require.Equal(t, http.StatusUnprocessableEntity, a.Status, "%s", a.Body)
			p := a.Problem()
			require.Len(t, p.Errors, len(c.pointers), "%s", a.Body)
			for i, pointer := range c.pointers {
				assert.Equal(t, pointer, p.Errors[i].Pointer)
			}
		})
	}
	op := s.Write(http.MethodPost, "/v1/schedules", `{"name":"x","cron":"@daily","provider":"stooq"}`)
	require.NotNil(t, op.Error)
	assert.Equal(t, "provider_unconfigured", op.Error.Code)
	assert.Contains(t, op.Error.Hint, "STEGA_STOOQ_URL")
	create(t, s, `{"name":"x","cron":"@daily","provider":"stooq","enabled":false}`)
}

func TestThePullSaysWhomToAsk(t *testing.T) {
	t.Parallel()
	stooq := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "Date,Open,High,Low,Close,Volume\n2024-01-02,1,2,1,1.25,7\n")
	}))
	defer stooq.Close()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "AAPL.csv"), []byte("date,close\n2024-01-02,2.5\n"), 0o600))
	s := stegatest.Up(t, func(c *process.Config) {
		c.Options.Marketdata.Folder = dir
		c.Options.Marketdata.Stooq = provider.StooqOptions{BaseURL: stooq.URL, Limits: provider.Limits{PerSecond: 1000}}
	})
	var list struct {
		Items []struct {
			Name                string
			Configured, Default bool
			Settings            []string
		}
	}
	s.Get("/v1/prices/providers", &list)
	var known []string
	for _, p := range list.Items {
		known = append(known, fmt.Sprint(p.Name, " ", p.Configured, " ", p.Default))
		assert.NotEmpty(t, p.Settings)
	}
	assert.Equal(t, []string{"folder true true", "eodhd false false", "stooq true false", "yahoo false false"}, known)

	price := func() string {
		var p prices
		s.Get("/v1/prices/AAPL", &p)
		return p.Prices[0].Close
	}
	status, _ := pull(s, `{"kind":"backfill","symbols":["AAPL"]}`)
	require.Equal(t, "succeeded", status)
	assert.Equal(t, "2.5", price())
	status, _ = pull(s, `{"kind":"backfill","symbols":["AAPL"],"provider":"stooq"}`)
	require.Equal(t, "succeeded", status)
	assert.Equal(t, "1.25", price())
	status, code := pull(s, `{"kind":"latest","symbols":["AAPL"],"provider":"yahoo"}`)
	assert.Equal(t, "failed", status)
	assert.Equal(t, "provider_unconfigured", code)
	a := s.Do(http.MethodPost, "/v1/prices/pull", `{"kind":"latest","provider":"crystal"}`)
	assert.Equal(t, http.StatusUnprocessableEntity, a.Status)
	assert.Equal(t, "provider_unknown", a.Problem().Code)
	assert.Contains(t, a.Problem().Hint, "folder, eodhd, stooq, yahoo")
}

func TestSymbolsAreFound(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t)
	s.Import("date,AAPL,AA,BRK.A,BRK.B,MA,A_B\n2024-01-02,1,2,3,4,5,6\n", "")
	found := func(query string) (names []string) {
		for cursor := ""; ; {
			var page struct {
				Items      []summary
				NextCursor string `json:"next_cursor"`
			}
			s.Get("/v1/symbols?limit=2&"+query+cursor, &page)
			for _, item := range page.Items {
				names = append(names, item.Symbol)
			}
			if page.NextCursor == "" {
				return names
			}
			cursor = "&cursor=" + page.NextCursor
		}
	}
	assert.Equal(t, []string{"AA", "AAPL", "A_B", "BRK.A", "BRK.B", "MA"}, found(""))
	assert.Equal(t, []string{"AA", "AAPL"}, found("prefix=aa"))
	assert.Equal(t, []string{"AA", "AAPL"}, found("q=aa"))
	assert.Equal(t, []string{"AA", "AAPL", "A_B", "BRK.A", "MA"}, found("search=a"))
	assert.Equal(t, []string{"A_B"}, found("search=_"), "nothing stands for another character")
	assert.Equal(t, []string{"BRK.B"}, found("prefix=b&search=.b"))
	assert.Empty(t, found("search=%25"))
	assert.Equal(t, http.StatusUnprocessableEntity, s.Do(http.MethodGet, "/v1/symbols?serach=a", "").Status)
}

// What is pulled before and after a split fits together, though the provider's own numbers of the same days do not.
func TestASplitBetweenTwoPullsIsNoJump(t *testing.T) {
	t.Parallel()
	chart := func(stamps, closes, adjusted, actions string) string {
		return fmt.Sprintf(
			`{"chart":{"result":[{"meta":{"gmtoffset":-18000,"exchangeTimezoneName":"America/New_York"},
				"timestamp":[%s],"events":{%s},
			"indicators":{"quote":[{"open":[%[3]s],"high":[%[3]s],"low":[%[3]s],"close":[%[3]s],"volume":[%[3]s]}],
				"adjclose":[{"adjclose":[%[4]s]}]}}],"error":null}}`,
			stamps, actions, closes, adjusted,
		)
	}
	answers := make(chan string, 2)
	answers <- chart("1704205800,1704292200", "400,404", "400,404", "")
	// The split makes 4 of 1 and the dividend of 1 is paid before it, so a quarter of that now.
	answers <- chart("1704292200,1704378600,1704465000", "101,100.75,102", "100.75,100.75,102",
		`"dividends":{"1":{"amount":0.25,"date":1704378600}},"splits":{"1":{"date":1704465000,"numerator":4,`+
			`"denominator":1}}`)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, <-answers)
	}))
	defer api.Close()
	s := stegatest.Up(t, func(c *process.Config) {
		c.Options.Marketdata.Yahoo = provider.YahooOptions{BaseURL: api.URL, Limits: provider.Limits{PerSecond: 1000}}
	})
	status, _ := pull(s, `{"kind":"backfill","symbols":["X"]}`)
	require.Equal(t, "succeeded", status)
	status, _ = pull(s, `{"kind":"latest"}`)
	require.Equal(t, "succeeded", status)
	var p prices
	s.Get("/v1/prices/X", &p)
	var closes []string
	for _, day := range p.Prices {
		closes = append(closes, day.Close)
	}
	assert.Equal(t, []string{"400", "404", "403", "102"}, closes, "as they were paid")
	var series struct {
		Values []float64
	}
	s.Eventually("all returns are there", func() bool {
		a := s.Do(http.MethodGet, "/v1/returns/assets/X/series?kind=simple", "")
		if a.Status == http.StatusOK {
			a.JSON(&series)
		}
		return len(series.Values) == 3
	})
	assert.InDeltaSlice(t, []float64{404./400 - 1, 403./403 - 1, 102*4./403 - 1}, series.Values, 1e-12)
}

// An installation keeps so many symbols and schedules, and says so.
func TestQuotas(t *testing.T) {
	t.Parallel()
	s := stegatest.Up(t, func(c *process.Config) {
		c.Options.Marketdata.MaxSymbols, c.Options.Marketdata.MaxSchedules = 3, 2
		c.Options.Marketdata.Folder = t.TempDir()
	})
	const csv = "date,A,B,C\n2024-01-02,1,2,3\n"
	s.Import(csv, "")
	s.Import(csv+"2024-01-03,4,5,6\n", "")
	op := s.Write(http.MethodPost, "/v1/prices", "date,A,D\n2024-01-04,7,8\n", "Content-Type", "text/csv")
	require.NotNil(t, op.Error)
	assert.Equal(t, "symbols_too_many", op.Error.Code)
	assert.Len(t, symbols(s), 3)
	assert.Equal(t, "2024-01-03", symbols(s)[0].Last, "nothing of the file was kept")

	create(t, s, `{"name":"one","cron":"@daily"}`)
	two := create(t, s, `{"name":"two","cron":"@daily"}`)
	op = s.Write(http.MethodPost, "/v1/schedules", `{"name":"three","cron":"@daily"}`)
	require.NotNil(t, op.Error)
	assert.Equal(t, "schedules_too_many", op.Error.Code)
	require.Nil(t, s.Write(http.MethodDelete, "/v1/schedules/"+two, "").Error)
	create(t, s, `{"name":"three","cron":"@daily"}`)
}
