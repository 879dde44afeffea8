package marketdata_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
)

// onPostgres is a stega whose databases are PostgreSQL's, where units of work run side by side.
func onPostgres(t *testing.T) (s *stegatest.Server, returns string) {
	t.Helper()
	databases := map[string]string{}
	for _, name := range process.Names() {
		databases[name] = servers.Postgres(t).URL()
	}
	return stegatest.Up(t, func(c *process.Config) {
		c.Database = func(service string) string { return databases[service] }
	}), databases["returns"]
}

// told are the closes of a symbol's day in the order in which they were told. What was sent twice counts once, as it
// does for the inbox.
func told(t *testing.T, s *stegatest.Server, symbol, day string) (closes []string) {
	seen := map[string]bool{}
	for _, line := range s.Log() {
		if line.Type != "marketdata.prices_imported" || line.Subject != symbol || seen[line.ID] {
			continue
		}
		seen[line.ID] = true
		var e events.PricesImported
		require.NoError(t, json.Unmarshal(line.Data, &e))
		for i, d := range e.Days {
			if d.String() == day {
				closes = append(closes, e.Close[i].Decimal.String())
			}
		}
	}
	return closes
}

// persist sends a write again, under its id, while the answer is that the database is busy, as a client is told to.
func persist(t *testing.T, s *stegatest.Server, path, media, body string) {
	t.Helper()
	id := events.NewID()
	s.Eventually("the write has succeeded", func() bool {
		a := s.Do(http.MethodPost, path, body, "Content-Type", media, "Prefer", "wait=30", "Operation-Id", id)
		return a.Status == http.StatusOK && strings.Contains(string(a.Body), `"status":"succeeded"`)
	})
}

func TestImportsOfOneSymbolTakeTurns(t *testing.T) {
	t.Parallel()
	s, returns := onPostgres(t)
	const writers, rounds = 4, 8
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for round := range rounds { // days of its own in a year of all, and one that all write
				persist(t, s, "/v1/prices", "text/csv",
					fmt.Sprintf(
						"date,symbol,close\n2024-%02d-%02d,X,%d\n2024-12-31,X,%d\n", writer+1, round+1, 1+round,
						1+writer*rounds+round,
					))
			}
		})
	}
	all.Wait()
	var p prices
	s.Get("/v1/prices/X", &p)
	require.Len(t, p.Prices, writers*rounds+1, "no import loses the bars of another")
	last := p.Prices[len(p.Prices)-1]
	require.Equal(t, "2024-12-31", last.Date)
	var view struct{ Observations int }
	s.Eventually("all has arrived", func() bool {
		a := s.Do(http.MethodGet, "/v1/returns/assets/X", "")
		return a.Status == http.StatusOK && json.Unmarshal(a.Body, &view) == nil &&
			view.Observations == writers*rounds &&
			len(told(t, s, "X", "2024-12-31")) >= writers*rounds
	})
	closes := told(t, s, "X", "2024-12-31")
	assert.Len(t, closes, writers*rounds, "each import told what it changed")
	assert.Equal(t, last.Close, closes[len(closes)-1], "what is told last is what is kept")
	s.Rebuilt(returns)
}

func TestAReplayDuringImportsNeverTellsAnOldPrice(t *testing.T) {
	t.Parallel()
	s, returns := onPostgres(t)
	const corrections, replays = 30, 8
	persist(t, s, "/v1/prices", "text/csv", "date,symbol,close\n2024-01-02,X,1\n2024-01-03,X,1\n")
	var both sync.WaitGroup
	both.Go(func() {
		for n := range corrections {
			persist(t, s, "/v1/prices", "text/csv", fmt.Sprintf("date,symbol,close\n2024-01-03,X,%d\n", n+2))
		}
	})
	both.Go(func() {
		for range replays {
			persist(t, s, "/v1/rebuild/returns", "application/json", "")
		}
	})
	both.Wait()
	s.Eventually("all replays were told", func() bool { return len(told(t, s, "X", "2024-01-02")) == replays+1 })
	closes := told(t, s, "X", "2024-01-03")
	assert.Len(t, closes, 1+corrections+replays)
	before := 0
	for i, text := range closes {
		var now int
		_, err := fmt.Sscan(text, &now)
		require.NoError(t, err)
		require.GreaterOrEqual(t, now, before, "price %d of %v", i, closes)
		before = now
	}
	assert.Equal(t, corrections+1, before)
	s.Rebuilt(returns)
}
