package correlations

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
	"stega/events"
	"stega/internal/servers"
	"stega/migrations"
	"stega/quant"
	"stega/rest"
	"stega/series"
	"stega/store"
)

// database returns a database of the service with its tables.
func database(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(
		t.Context(), "correlations",
		servers.Database(t, "correlations", "sqlite://"+filepath.Join(t.TempDir(), "correlations.db")),
	)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	files, err := migrations.Of("correlations")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	return db
}

// updated returns the event of some days of a symbol's series.
func updated(symbol string, series map[civil.Date]float64, days ...civil.Date) events.AssetUpdated {
	slices.Sort(days)
	e := events.AssetUpdated{
		Symbol: symbol, ChangedFrom: days[0], ChangedTo: days[len(days)-1], First: math.MaxInt32, Last: math.MinInt32,
		Observations: len(series),
	}
	for day := range series {
		e.First, e.Last = min(e.First, day), max(e.Last, day)
	}
	for _, day := range days {
		value := series[day]
		if day == e.First {
			value = math.NaN()
		}
		e.Days, e.Returns = append(e.Days, day), append(e.Returns, value)
	}
	return e
}

// handle handles events in one unit of work, as a batch of the event loop.
func (s *Service) handle(t *testing.T, list ...events.AssetUpdated) {
	t.Helper()
	require.NoError(t, s.db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		for _, e := range list {
			if err := s.assetUpdated(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

// answer returns the answer of a service to a query.
func (s *Service) answer(t *testing.T, query string) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	var failed error
	e := echo.New()
	e.HTTPErrorHandler = func(err error, _ echo.Context) { failed = err }
	rest.Serve(e, s.Routes(nil)...)
	e.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/correlations"+query, nil))
	if failed != nil {
		return failed.Error()
	}
	return recorder.Header().Get("ETag") + recorder.Body.String()
}

// Sums that grow by new days, late days, corrections and new symbols give the same bits as rebuilt sums, and agree with
// the definition to 1e-12. Another process on the same database never answers from outdated sums.
func TestUpdatedSumsEqualRebuiltSums(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 11))
			db := database(t)
			consumer, reader := New(db), New(db)
			returns := map[string]map[civil.Date]float64{}
			start := civil.Of(2023, 12, 1)
			for round := range 60 {
				var list []events.AssetUpdated
				for range 1 + r.IntN(6) {
					symbol := fmt.Sprintf("S%02d", r.IntN(4+round/3))
					if returns[symbol] == nil {
						returns[symbol] = map[civil.Date]float64{}
					}
					var days []civil.Date
					for range 1 + r.IntN(8) {
						day := start.AddDays(r.IntN(60))
						if round%3 == 0 { // a new day
							day = start.AddDays(60 + round)
						}
						if slices.Contains(days, day) {
							continue
						}
						returns[symbol][day] = .02 * r.NormFloat64()
						days = append(days, day)
					}
					first := start.AddDays(1000)
					for day := range returns[symbol] {
						first = min(first, day)
					}
					if !slices.Contains(days, first) {
						days = append(days, first) // an event has the former first day; here, each has the first day
					}
					for day := range returns[symbol] { // and any day that was the first
						if !slices.Contains(days, day) && r.IntN(2) == 0 {
							days = append(days, day)
						}
					}
					list = append(list, updated(symbol, returns[symbol], days...))
				}
				consumer.handle(t, list...)
				for _, query := range []string{"", "?kind=covariance&repair=none", "?symbols=" + list[0].Symbol} {
					fresh := New(db).answer(t, query)
					require.Equal(t, fresh, consumer.answer(t, query))
					require.Equal(t, fresh, reader.answer(t, query))
				}
			}
			agreesWithDefinition(t, reader)
		})
	}
}

// agreesWithDefinition compares the sums with estimates of the returns themselves.
func agreesWithDefinition(t *testing.T, s *Service) {
	t.Helper()
	all, err := s.allSeries(t.Context())
	require.NoError(t, err)
	f, err := frame(all, window{}, series.Daily)
	require.NoError(t, err)
	moments, err := quant.NewCoMoments(t.Context(), f.Values)
	require.NoError(t, err)
	sums, err := s.sums.load(all, func() ([]*cachedSeries, error) { return all, nil })
	require.NoError(t, err)
	want, got := moments.Covariance(252), sums.Covariance(252)
	require.Equal(t, len(all), sums.Symbols())
	for i := range all {
		for j := range all {
			require.Equal(t, moments.Observations(i, j), sums.Observations(i, j))
			if math.IsNaN(want.At(i, j)) {
				require.True(t, math.IsNaN(got.At(i, j)))
			} else {
				require.InDelta(t, want.At(i, j), got.At(i, j), 1e-12)
			}
		}
	}
}

// A return that is too large for the exact sums still has an answer.
func TestReturnsTooLargeForExactSums(t *testing.T) {
	t.Parallel()
	s := New(database(t))
	day := civil.Of(2024, time.March, 1)
	series := func(values ...float64) map[civil.Date]float64 {
		m := map[civil.Date]float64{}
		for i, v := range values {
			m[day.AddDays(i)] = v
		}
		return m
	}
	all := func(symbol string, m map[civil.Date]float64) events.AssetUpdated {
		var days []civil.Date
		for d := range m {
			days = append(days, d)
		}
		return updated(symbol, m, days...)
	}
	s.handle(t, all("A", series(0, .1, -.1, .2)), all("B", series(0, .2, -.1, .1)),
		all("WILD", series(0, 1e6, -.99, .5)))
	assert.Contains(t, s.answer(t, "?symbols=A,B"), `"observations":[[3,3],[3,3]]`)
	assert.Contains(t, s.answer(t, "?symbols=A,WILD"), `"observations":[[3,3],[3,3]]`)
	assert.Contains(t, s.answer(t, ""), `"symbols":["A","B","WILD"]`)
	s.handle(t, all("WILD", series(0, .1, -.99, .5))) // the source corrects its error
	assert.Equal(t, New(s.db).answer(t, ""), s.answer(t, ""))
	s.handle(t, all("A", series(0, 1e6, -.1, .2)))
	assert.Equal(t, New(s.db).answer(t, ""), s.answer(t, ""))
}

func TestErrorsOfDamagedRowsNameTheRebuild(t *testing.T) {
	t.Parallel()
	s := New(database(t))
	day := civil.Of(2024, time.March, 1)
	series := map[civil.Date]float64{day: 0, day.AddDays(1): .1, day.AddDays(2): .2}
	s.handle(t, updated("A", series, day, day.AddDays(1), day.AddDays(2)))
	require.NoError(t, s.db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE series SET data = ?", []byte{1, 2, 3})
		return err
	}))
	assert.Contains(t, s.answer(t, "?symbols=A"), "stega rebuild --service correlations")
	err := s.db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return s.assetUpdated(ctx, tx, updated("A", series, day.AddDays(1)))
	})
	assert.ErrorContains(t, err, "stega rebuild --service correlations")
}
