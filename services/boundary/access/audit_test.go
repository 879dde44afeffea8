package access

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
	"stega/migrations"
	"stega/store"
)

const operationID = "0190b7a8-0000-7000-8000-000000000001"

func TestEveryWriteHasOneLine(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		clock := newClock()
		db := open(t, url)
		a := New(db, Options{Now: clock.now, Local: Admin})
		stop := run(t, a)
		token, text, err := a.tokens.create(t.Context(), "ci", Write, 0)
		require.NoError(t, err)
		next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Do") {
			case "accept":
				w.Header().Set("Location", "/v1/operations/"+operationID)
				w.WriteHeader(http.StatusAccepted)
			case "write":
				_, _ = io.WriteString(w, "fine")
				w.(http.Flusher).Flush()
			case "refuse":
				w.WriteHeader(http.StatusUnprocessableEntity)
			case "panic":
				panic(http.ErrAbortHandler)
			}
		})
		far, near := a.Wrap(outside, paths, next), a.Wrap(inside, paths, next)
		with := func(do string) []string { return append(bearer(text), "Do", do) }
		ask(t, far, "POST", "/v1/portfolios?name=x", "", with("accept")...)
		ask(t, far, "PUT", "/v1/portfolios/abc", "",
			append(with("write"), "Operation-Id", strings.ToUpper(operationID))...)
		ask(t, far, "DELETE", "/v1/portfolios/%00a", "",
			append(with("refuse"), "Operation-Id", "'; DROP TABLE audit")...)
		assert.Panics(t, func() { ask(t, far, "POST", "/v1/prices", "", with("panic")...) })
		ask(t, far, "POST", "/v1/rebuild/returns", "", with("accept")...)
		ask(t, near, "POST", "/v1/prices", "", "Do", "nothing", "Remote", "127.0.0.1:1", "Host", "localhost")
		for _, not := range []string{"GET", "HEAD", "OPTIONS"} {
			ask(t, far, not, "/v1/portfolios", "", bearer(text)...)
		}
		ask(t, far, "POST", "/v1/portfolios", "", "Do", "accept") // nobody
		stop()

		entries, err := a.audit.list(t.Context(), 100, "", "", "")
		require.NoError(t, err)
		var lines []string
		for _, e := range entries {
			assert.Equal(t, clock.now(), e.At)
			if e.Who == "ci" {
				assert.Equal(t, token.ID, e.TokenID)
			}
			lines = append(lines,
				fmt.Sprintf("%s %s %s %q %s [%s] %d", e.Who, e.Remote, e.Method, e.Path, e.Command, e.Operation,
					e.Status))
		}
		assert.Equal(t, []string{
			` 203.0.113.7 POST "/v1/portfolios" refused token_missing [] 401`,
			`local 127.0.0.1 POST "/v1/prices" marketdata.import_prices [] 200`,
			`ci 203.0.113.7 POST "/v1/rebuild/returns" returns.rebuild [] 403`,
			`ci 203.0.113.7 POST "/v1/prices" marketdata.import_prices [] 500`,
			`ci 203.0.113.7 DELETE "/v1/portfolios/%00a" portfolio.delete [] 422`,
			// what the client says it is does not count
			`ci 203.0.113.7 PUT "/v1/portfolios/abc" portfolio.update [] 200`,
			`ci 203.0.113.7 POST "/v1/portfolios" portfolio.create [` + operationID + `] 202`,
		}, lines)

		h := door(a, inside)
		here := []string{"Remote", "127.0.0.1:1", "Host", "localhost"}
		var page struct {
			Items      []Entry
			NextCursor string `json:"next_cursor"`
		}
		var all []Entry
		for path := "/v1/audit?limit=4"; ; path = "/v1/audit?limit=4&cursor=" + page.NextCursor {
			page.NextCursor = ""
			ask(t, h, "GET", path, "", here...).json(&page)
			all = append(all, page.Items...)
			if page.NextCursor == "" {
				break
			}
		}
		assert.Equal(t, entries, all)
		ask(t, h, "GET", "/v1/audit?token="+token.ID, "", here...).json(&page)
		assert.Len(t, page.Items, 5)
		ask(t, h, "GET", "/v1/audit?operation="+operationID, "", here...).json(&page)
		assert.Len(t, page.Items, 1)
	})
}

// A batch whose commit may or may not have happened is written again.
func TestALineThatIsWrittenAgainIsThereOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		db := open(t, url)
		a := newAudit(db, Options{Now: time.Now})
		batch := []Entry{{ID: "1", Who: "x", At: time.Now()}, {ID: "2", Who: "x", At: time.Now()}}
		require.NoError(t, a.insert(t.Context(), batch[:1]))
		require.NoError(t, a.insert(t.Context(), batch))
		assert.Equal(t, 2, count(t, db, "audit"))
	})
}

// Lines wait while the database is away, and none is lost when it comes back.
func TestLinesOutlastADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	notes := &notebook{}
	db, err := store.Open(t.Context(), "boundary", sqlite(t))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	a := New(db, Options{Log: notes.log()})
	stop := run(t, a) // there is no table yet
	for i := range 1000 {
		a.audit.add(Entry{ID: fmt.Sprintf("%04d", i), At: time.Now()})
	}
	wait.Until(t, "it is said that the database is away", func() bool {
		return strings.Contains(notes.String(), "not written at present")
	})
	files, err := migrations.Of("boundary")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	wait.Until(t, "all is written", func() bool { return count(t, db, "audit") == 1000 })
	stop()
	assert.NotContains(t, notes.String(), "only here")
}

func TestALineThatCannotBeWrittenIsInTheLog(t *testing.T) {
	t.Parallel()
	notes := &notebook{}
	db := open(t, sqlite(t))
	a := New(db, Options{Log: notes.log()})
	for i := range auditQueue { // nobody writes
		a.audit.add(Entry{ID: strconv.Itoa(i)})
	}
	began := time.Now()
	a.audit.add(Entry{ID: "one too many", Path: "/v1/portfolios"})
	assert.GreaterOrEqual(t, time.Since(began), auditPatience)
	lost := func() float64 {
		var m dto.Metric
		require.NoError(t, a.audit.lost.Write(&m))
		return m.GetCounter().GetValue()
	}
	assert.InDelta(t, 1, lost(), 0)
	assert.Contains(t, notes.String(), "one too many")

	t.Log("at the end likewise")
	require.NoError(t, db.Close())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.audit.run(ctx))
	assert.InDelta(t, auditQueue+1, lost(), 0)
}

func TestOldLinesGo(t *testing.T) {
	t.Parallel()
	clock := newClock()
	db := open(t, sqlite(t))
	a := newAudit(db, Options{Now: clock.now, Keep: 24 * time.Hour})
	require.NoError(t,
		a.insert(t.Context(), []Entry{{ID: "1", At: clock.now()}, {ID: "2", At: clock.now().Add(2 * time.Hour)}}))
	clock.pass(25 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- a.tidy(ctx) }()
	wait.Until(t, "the old one is gone", func() bool { return count(t, db, "audit") == 1 })
	cancel()
	require.NoError(t, <-over)
}

// child serves in a process of its own, which the test kills.
func child() bool {
	url := os.Getenv("STEGA_TEST_ACCESS_CHILD")
	if url == "" {
		return false
	}
	err := func() error {
		db, err := store.Open(context.Background(), "boundary", url)
		if err != nil {
			return err
		}
		a := New(db, Options{Limits: Limits{Rate: -1}, Local: Write})
		go func() { _ = a.Run(context.Background(), func() {}) }()
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(l.Addr())
		return http.Serve(l, a.Wrap(l.Addr(), paths, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
		})))
	}()
	fmt.Println(err)
	return true
}

// Whenever the process is killed, no write has two lines, none has a line that was not made, and only those of the
// last moment are missing.
func TestAKillLosesOnlyTheLinesOfTheLastMoment(t *testing.T) {
	t.Parallel()
	url := sqlite(t)
	require.NoError(t, open(t, url).Close())
	made := map[string]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STEGA_TEST_ACCESS_CHILD="+url)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		address, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		var mu sync.Mutex
		var all sync.WaitGroup
		client := &http.Client{Transport: &http.Transport{}}
		for worker := range 4 {
			all.Go(func() {
				for i := 0; ; i++ {
					path := fmt.Sprintf("/v1/portfolios/%d-%d-%d", round, worker, i)
					r, err := http.NewRequest(http.MethodPut, "http://"+strings.TrimSpace(address)+path, nil)
					if err != nil {
						return
					}
					mu.Lock()
					made[path] = true
					mu.Unlock()
					a, err := client.Do(r)
					if err != nil {
						return
					}
					_ = a.Body.Close()
				}
			})
		}
		wait.Until(t, "many were made", func() bool { mu.Lock(); defer mu.Unlock(); return len(made) > 500*(round+1) })
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		all.Wait()
		client.CloseIdleConnections()
	}
	db := open(t, url)
	entries, err := New(db, Options{}).audit.list(t.Context(), 1_000_000, "", "", "")
	require.NoError(t, err)
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.Path]++
		assert.True(t, made[e.Path], e.Path)
		assert.Equal(t, 1, seen[e.Path], e.Path)
	}
	t.Logf("%d of %d have their line", len(seen), len(made))
	assert.NotEmpty(t, seen)
}

var errGone = errors.New("gone")

// An answer goes out although the database does not move.
func TestAnAnswerDoesNotWaitForItsLine(t *testing.T) {
	t.Parallel()
	db := open(t, sqlite(t))
	a := New(db, Options{Local: Write})
	run(t, a)
	holding, release := make(chan struct{}), make(chan struct{})
	over := make(chan error)
	go func() {
		over <- db.Do(context.Background(), func(context.Context, *store.Tx) error {
			close(holding)
			<-release
			return errGone
		})
	}()
	<-holding
	s := httptest.NewServer(a.Wrap(inside, paths, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	})))
	defer s.Close()
	answer, err := http.Post(s.URL+"/v1/portfolios", "application/json", nil)
	require.NoError(t, err)
	assert.Equal(t, 202, answer.StatusCode)
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	assert.Zero(t, count(t, db, "audit"))
	close(release)
	assert.ErrorIs(t, <-over, errGone)
	wait.Until(t, "the line is written", func() bool { return count(t, db, "audit") == 1 })
}
