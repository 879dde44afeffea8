package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/internal/wait"
	"stega/process"
)

// workload is a stega that is restarted again and again, with clients that write to it meanwhile.
type workload struct {
	t       *testing.T
	url     atomic.Pointer[string]
	metrics atomic.Pointer[string] // URL of the consumer's metrics
	token   atomic.Pointer[string]
	stop    chan struct{}
	running sync.WaitGroup
	clients []*client
}

// client is one writer. It sends one request after the other, each under a separate operation id, and repeats a
// request until it is answered. So it has the expected final state.
type client struct {
	w      *workload
	n      int
	rng    *rand.Rand
	prices map[string]string // of its symbol, by day
	own    []*held
	writes []*write
	step   int
}

// held is a portfolio in the client's state.
type held struct {
	id      string
	name    string
	version int
	deleted bool
	weight  string
	doubted *write // its creation, which may have failed because of its shared name
}

// write is a write that was answered 202.
type write struct {
	operation string
	what      string
	mayFail   string // with this code
}

func newWorkload(t *testing.T, clients int) *workload {
	w := &workload{t: t, stop: make(chan struct{})}
	for n := range clients {
		w.clients = append(w.clients, &client{w: w, n: n, rng: rand.New(rand.NewPCG(uint64(n), 7)),
			prices: map[string]string{}})
	}
	return w
}

// at sets the present api and consumer.
func (w *workload) at(api, consumer *stegatest.Program) {
	token := api.Token()
	w.token.Store(&token)
	w.url.Store(&api.URL)
	w.metrics.Store(&consumer.URL)
}

// work starts the clients' writes, until finish.
func (w *workload) work() {
	for _, c := range w.clients {
		w.running.Go(func() {
			for {
				select {
				case <-w.stop:
					return
				default:
					c.act()
				}
			}
		})
	}
}

func (w *workload) finish() {
	close(w.stop)
	w.running.Wait()
}

func (c *client) act() {
	c.step++
	switch i := c.rng.IntN(10); {
	case c.alive() == 0 || i < 3 && c.alive() < 50: // an import affects each portfolio with the symbol
		c.create()
	case i < 6:
		c.update(c.own[c.rng.IntN(len(c.own))])
	case i < 7:
		c.remove(c.own[c.rng.IntN(len(c.own))])
	case i < 8 && c.step%3 == 0:
		c.send(http.MethodPost, "/v1/prices/pull", "application/json", `{"kind":"backfill","symbols":["PULLED"]}`, "")
	default:
		c.upload()
	}
}

// alive returns the number of the client's portfolios.
func (c *client) alive() (n int) {
	for _, p := range c.own {
		if !p.deleted && p.doubted == nil {
			n++
		}
	}
	return n
}

func assets(weight string) string {
	if weight == "1" {
		return `[{"symbol":"S0","weight":"1"}]`
	}
	return fmt.Sprintf(`[{"symbol":"S0","weight":"0.%s"},{"symbol":"S1","weight":"0.%02d"}]`, weight, 100-atoi(weight))
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

func (c *client) weight() string { return fmt.Sprintf("%02d", 1+c.rng.IntN(98)) }

func (c *client) create() {
	p := &held{name: fmt.Sprintf("c%d-%d", c.n, c.step), version: 1, weight: c.weight()}
	shared := c.rng.IntN(5) == 0
	mayFail := ""
	if shared { // a name shared by all clients
		p.name, mayFail = fmt.Sprintf("shared %d", c.rng.IntN(20)), "name_taken"
	}
	id, done := c.send(http.MethodPost, "/v1/portfolios", "application/json",
		fmt.Sprintf(`{"name":%q,"assets":%s}`, p.name, assets(p.weight)), mayFail)
	p.id = id
	if shared {
		p.doubted = done
	}
	c.own = append(c.own, p)
}

func (c *client) update(p *held) {
	if p.deleted || p.doubted != nil {
		return
	}
	p.weight = c.weight()
	p.version++
	c.send(http.MethodPut, "/v1/portfolios/"+p.id, "application/json",
		fmt.Sprintf(`{"name":%q,"assets":%s}`, p.name, assets(p.weight)), "")
}

func (c *client) remove(p *held) {
	if p.deleted || p.doubted != nil {
		return
	}
	p.deleted = true
	c.send(http.MethodDelete, "/v1/portfolios/"+p.id, "application/json", "", "")
}

// upload imports some days of the client's symbol, including corrections.
func (c *client) upload() {
	var b strings.Builder
	b.WriteString("date,symbol,close\n")
	first := c.rng.IntN(1000)
	for i := range 1 + c.rng.IntN(200) {
		day := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, first+i).Format(time.DateOnly)
		price := fmt.Sprintf("%d.%d", 1+c.rng.IntN(500), 1+c.rng.IntN(9))
		c.prices[day] = price
		_, _ = fmt.Fprintf(&b, "%s,S%d,%s\n", day, c.n, price)
	}
	c.send(http.MethodPost, "/v1/prices", "text/csv", b.String(), "")
}

// send repeats a request until it is answered.
func (c *client) send(method, path, contentType, body, mayFail string) (id string, done *write) {
	done = &write{operation: events.NewID(), what: method + " " + path, mayFail: mayFail}
	deadline := time.Now().Add(6 * stegatest.Patience) // more than the start of a server
	for {
		status, answer := c.w.request(method, path, contentType, body, "Operation-Id", done.operation)
		switch {
		case status == http.StatusAccepted:
			var accepted struct{ ID string }
			assert.NoError(c.w.t, json.Unmarshal(answer, &accepted))
			c.writes = append(c.writes, done)
			return accepted.ID, done
		case status != 0 && status < 500:
			c.w.t.Errorf("%s %s: %d %s", method, path, status, answer)
			return "", done
		case time.Now().After(deadline):
			c.w.t.Errorf("%s %s has no answer: %d %s", method, path, status, answer)
			return "", done
		}
		time.Sleep(time.Duration(5+c.rng.IntN(20)) * time.Millisecond) // it is restarting
	}
}

var plain = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// request returns status 0 without an answer.
func (w *workload) request(method, path, contentType, body string, headers ...string) (int, []byte) {
	base := *w.url.Load()
	if path == "/metrics" {
		base = *w.metrics.Load()
	}
	r, err := http.NewRequestWithContext(context.Background(), method, base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+*w.token.Load())
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := plain.Do(r)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return answer.StatusCode, b
}

func (w *workload) get(path string, into any) {
	w.t.Helper()
	status, answer := w.request(http.MethodGet, path, "", "", "Prefer", "wait=30")
	require.Equal(w.t, http.StatusOK, status, "%s: %s", path, answer)
	require.NoError(w.t, json.Unmarshal(answer, into))
}

// check requires that every answered write has an outcome, that the state is exactly the clients' state, and that the
// read views equal rebuilt ones.
func (w *workload) check(database string) {
	w.t.Helper()
	outcomes := map[string]int{}
	for _, c := range w.clients {
		for _, done := range c.writes {
			var op struct {
				Status string
				Error  *struct{ Code string }
			}
			w.get("/v1/operations/"+done.operation, &op)
			outcomes[op.Status]++
			if op.Status == "failed" && op.Error != nil && op.Error.Code == done.mayFail {
				for _, p := range c.own {
					if p.doubted == done {
						p.deleted = true
					}
				}
				continue
			}
			assert.Equal(w.t, "succeeded", op.Status, "%s %s: %+v", done.what, done.operation, op.Error)
		}
	}
	w.t.Logf("writes by outcome: %v", outcomes)

	w.portfolios()
	for _, c := range w.clients {
		if len(c.prices) == 0 {
			continue
		}
		var kept struct {
			Prices []struct{ Date, Close string }
		}
		w.get(fmt.Sprintf("/v1/prices/S%d", c.n), &kept)
		got := map[string]string{}
		for _, p := range kept.Prices {
			got[p.Date] = p.Close
		}
		assert.Equal(w.t, c.prices, got)
	}

	w.settled()
	before := stegatest.Views(w.t, database)
	assert.Positive(w.t, strings.Count(before, "portfolios "))
	id := events.NewID()
	status, answer := w.request(http.MethodPost, "/v1/rebuild/returns", "application/json", "", "Operation-Id", id)
	require.Equal(w.t, http.StatusAccepted, status, "%s", answer)
	var op struct{ Status string }
	w.get("/v1/operations/"+id, &op)
	require.Equal(w.t, "succeeded", op.Status)
	w.settled()
	after := strings.Split(stegatest.Views(w.t, database), "\n")
	for i, line := range strings.Split(before, "\n") {
		if i >= len(after) || after[i] != line {
			w.t.Fatalf("the views do not equal a rebuild: %d lines before and %d after, and line %d differs:\n%s\n%v",
				strings.Count(before, "\n"), len(after), i, line, after[min(i, len(after)-1)])
		}
	}
	var dead struct{ Items []any }
	w.get("/v1/dead", &dead)
	assert.Empty(w.t, dead.Items)
}

func (w *workload) portfolios() {
	w.t.Helper()
	got, want := []string{}, []string{}
	for cursor := ""; ; {
		var page struct {
			Items      []events.Portfolio
			NextCursor string `json:"next_cursor"`
		}
		w.get("/v1/portfolios?limit=1000&cursor="+cursor, &page)
		for _, p := range page.Items {
			got = append(got, fmt.Sprintf("%s %s v%d %s", p.ID, p.Name, p.Version, p.Assets[0].Weight))
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	for _, c := range w.clients {
		for _, p := range c.own {
			if !p.deleted {
				want = append(want, fmt.Sprintf("%s %s v%d 0.%s", p.id, p.name, p.version, p.weight))
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	for i := range want { // decimals drop trailing zeros
		want[i] = strings.TrimRight(want[i], "0")
	}
	for i := range got {
		got[i] = strings.TrimRight(got[i], "0")
	}
	assert.Equal(w.t, want, got)
}

var outstanding = regexp.MustCompile(`(?m)^stega_(?:outbox_rows|queue_messages|parked_messages)\{.*\} (\S+)$`)

// settled waits until every outbox, queue and lane is empty, ten times in a row, because a message between the broker
// and a consumer is briefly in no count.
func (w *workload) settled() {
	w.t.Helper()
	calm := 0
	var metrics []byte
	defer func() {
		if calm < 10 {
			w.t.Logf("outstanding: %s", bytes.Join(outstanding.FindAll(metrics, -1), []byte(", ")))
		}
	}()
	wait.Until(w.t, "everything has settled", func() bool {
		var status int
		status, metrics = w.request(http.MethodGet, "/metrics", "", "")
		found := outstanding.FindAllSubmatch(metrics, -1)
		if status != http.StatusOK || len(found) < 5*len(process.Names()) {
			calm = 0
			return false
		}
		for _, m := range found {
			if !bytes.Equal(m[1], []byte("0")) {
				calm = 0
				return false
			}
		}
		calm++
		return calm == 10
	})
}

func pulledPrices(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "PULLED.csv"),
		[]byte("Date,Close\n2024-01-02,1\n2024-01-03,2\n"), 0o600))
	return folder
}

// The program is killed with SIGKILL at twenty random instants; sometimes the broker's folder is lost too.
func TestKillsOfUp(t *testing.T) {
	data := t.TempDir()
	folder := pulledPrices(t)
	rng := stegatest.Rand(t, 1)
	launch := func() *stegatest.Program {
		p, ok := stegatest.Launch(t, nil, "up", "--data", data, "--addr", "127.0.0.1:0", "--prices-folder", folder,
			"--log-level", "error")
		require.True(t, ok, "%s", p.Output())
		return p
	}
	w := newWorkload(t, 4)
	p := launch()
	w.at(p, p)
	w.work()
	for round := range 20 {
		time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond) // the random instant
		p.Kill()
		if round%3 == 0 {
			require.NoError(t, os.RemoveAll(filepath.Join(data, "broker")))
		}
		p = launch()
		w.at(p, p)
	}
	w.finish()
	w.check("sqlite://" + filepath.Join(data, "returns.db"))
	assert.Zero(t, p.Stop(), "%s", p.Output())
}

// The same as in containers: an api and a consumer process on RabbitMQ and PostgreSQL are killed, cut off and
// restarted.
func TestKillsOnRabbitMQAndPostgreSQL(t *testing.T) {
	rabbit, pg := servers.RabbitMQ(t), servers.Postgres(t)
	launch := separateProcesses(t, rabbit, pg, "STEGA_PRICES_FOLDER="+pulledPrices(t))
	w := newWorkload(t, 4)
	api, consumer := launch("api"), launch("consumer")
	w.at(api, consumer)
	w.work()
	rng := stegatest.Rand(t, 2)
	for round := range 20 {
		time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond) // the random instant
		switch {
		case round == 7:
			rabbit.Restart(t)
		case round == 13:
			pg.Restart(t)
		case round%4 == 0:
			api.Kill()
			api = launch("api")
			w.at(api, consumer)
		case round%4 == 1:
			consumer.Kill()
			consumer = launch("consumer")
			w.at(api, consumer)
		case round%4 == 2:
			pg.CutConnections(t)
		default:
			rabbit.CutConnections(t)
		}
	}
	t.Log("the trouble is over")
	w.finish()
	w.check(pg.URL() + "&search_path=returns")
	assert.Zero(t, consumer.Stop(), "%s", consumer.Output())
	assert.Zero(t, api.Stop(), "%s", api.Output())
}

// separateProcesses prepares a RabbitMQ and a PostgreSQL for processes of one role each, and returns a function that
// launches one.
func separateProcesses(t *testing.T, rabbit *servers.Rabbit, pg *servers.PG,
	env ...string) func(role string) *stegatest.Program {
	t.Helper()
	schemas(t, pg.URL())
	env = append(env, "STEGA_BROKER_URL="+rabbit.URL(), "STEGA_DATABASE_URL="+pg.URL()+"&search_path={service}")
	migrate, _ := stegatest.Launch(t, env, "migrate")
	require.Contains(t, migrate.Output(), "broker: returns takes")
	return func(role string) *stegatest.Program {
		t.Helper()
		for deadline := time.Now().Add(2 * stegatest.Patience); ; {
			p, ok := stegatest.Launch(t, env, "serve", "--service=all", "--role="+role, "--addr=127.0.0.1:0",
				"--log-level=error")
			if ok {
				return p
			}
			require.True(t, time.Now().Before(deadline), "%s", p.Output())
		}
	}
}

// schemas creates a schema for each service.
func schemas(t *testing.T, url string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(context.Background())) }()
	for _, name := range process.Names() {
		_, err := c.Exec(t.Context(), "CREATE SCHEMA "+name)
		require.NoError(t, err)
	}
}
