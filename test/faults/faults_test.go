package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/internal/wait"
	"stega/process"
)

func TestMain(m *testing.M) { servers.Main(m) }

const (
	noticed = 45 * time.Second // limit for the report of a fault and for a takeover
	over    = 2 * time.Minute  // limit for everything to settle after a fault
)

// TestFaults runs all cases on one stack, one after the other. The check after a case would find the remains of the
// previous one.
func TestFaults(t *testing.T) {
	if os.Getenv("STEGA_FAULTS") == "" {
		t.Skip("STEGA_FAULTS=1 runs it")
	}
	c := stegatest.Compose(t)
	c.Up()
	for _, one := range []struct {
		name  string
		fault func(*testing.T, *load)
	}{
		{"a database that refuses writes", readOnly},
		{"a connection limit that is reached", connectionsUsedUp},
		{"a queue that is deleted", queueDeleted},
		{"a binding that is removed", bindingRemoved},
		{"a permission that is revoked", permissionRevoked},
		{"a broker that loses its volume", volumeLost},
		{"a log that is replaced", logAnew},
		{"a consumer that crashes again and again", crashLoop},
		{"a relay whose process is frozen", relayFrozen},
		{"a relay whose host is lost", relayLost},
		{"a dead letter that is retried after its correction", deadLetterRetried},
		{"an outbox row that cannot be sent", poisonRow},
		{"a rebuild on slow processors", slowRebuild},
	} {
		t.Run(one.name, func(t *testing.T) {
			l := newLoad(t, c)
			l.start()
			defer l.stop() // in any case
			one.fault(t, l)
			l.stop()
			l.check()
		})
	}
}

// load writes portfolios and prices like several clients, and records the accepted writes.
type load struct {
	*stegatest.Composed

	t    *testing.T
	quit chan struct{}
	once sync.Once
	all  sync.WaitGroup

	mu       sync.Mutex
	accepted []string // ids of operations
	refused  map[string]int
}

func newLoad(t *testing.T, c *stegatest.Composed) *load {
	return &load{Composed: c.For(t), t: t, quit: make(chan struct{}), refused: map[string]int{}}
}

func (l *load) start() {
	for n := range 3 {
		l.all.Go(func() {
			symbol := fmt.Sprintf("LOAD%d", n)
			var own []string // few, because an import changes the returns of each portfolio with the symbol
			for day := 0; ; day++ {
				select {
				case <-l.quit:
					return
				case <-time.After(300 * time.Millisecond): // a small load
				}
				date := time.Date(2020, 1, 1+day%1500, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
				l.send(http.MethodPost, "/v1/prices",
					fmt.Sprintf("date,symbol,close\n%s,%s,%d\n", date, symbol, 100+day%17),
					"text/csv")
				if len(own) < 5 {
					if id := l.send(http.MethodPost, "/v1/portfolios", portfolio(symbol),
						"application/json"); id != "" {
						own = append(own, id)
					}
					continue
				}
				l.send(http.MethodPut, "/v1/portfolios/"+own[day%len(own)], portfolio(symbol), "application/json")
			}
		})
	}
	l.some()
}

// stop ends the load; a second call does nothing.
func (l *load) stop() {
	l.once.Do(func() { close(l.quit) })
	l.all.Wait()
}

// some waits until ten more writes are accepted.
func (l *load) some() {
	l.t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.accepted) }
	before := count()
	wait.Until(l.t, "writes are accepted", func() bool { return count() >= before+10 })
}

func portfolio(symbol string) string {
	return fmt.Sprintf(`{"name":"%s","assets":[{"symbol":"%s","weight":"1"}]}`, events.NewID(), symbol)
}

// request sends one request and returns status and body; 0 without an answer.
func (l *load) request(method, path, body string, headers ...string) (int, []byte) {
	r, err := http.NewRequest(method, l.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Authorization", "Bearer "+l.Token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var b bytes.Buffer
	_, _ = b.ReadFrom(answer.Body)
	return answer.StatusCode, b.Bytes()
}

// send sends a write, and returns the id of the entity if it is accepted.
func (l *load) send(method, path, body, media string) string {
	id := events.NewID()
	status, answer := l.request(method, path, body, "Content-Type", media, "Operation-Id", id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if status == http.StatusAccepted || status == http.StatusOK {
		l.accepted = append(l.accepted, id)
		var entity struct{ ID string }
		_ = json.Unmarshal(answer, &entity)
		return entity.ID
	}
	var problem struct{ Code string }
	_ = json.Unmarshal(answer, &problem)
	l.refused[fmt.Sprintf("%d %s", status, problem.Code)]++
	return ""
}

// settled waits until an operation has settled, and returns its outcome.
func (l *load) settled(id string, deadline time.Time) string {
	for {
		status, body := l.request(http.MethodGet, "/v1/operations/"+id, "")
		var op struct {
			Status, Outcome string
			Settled         bool
		}
		_ = json.Unmarshal(body, &op)
		if op.Settled && op.Status == "succeeded" {
			return ""
		}
		if time.Now().After(deadline) {
			return fmt.Sprintf("%s: %d %s", id, status, body)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// check requires that every accepted write has settled, that no message is dead, parked or unsent, that almost every
// event is in the log once, and that the views equal rebuilt ones.
func (l *load) check() {
	l.t.Helper()
	l.within(over, "all are ready", func() (bool, string) { return l.ready() })
	l.t.Logf("%d writes accepted, refused: %v", len(l.accepted), l.refused)
	deadline := time.Now().Add(over)
	var open []string
	for _, id := range l.accepted {
		if state := l.settled(id, deadline); state != "" {
			open = append(open, state)
		}
	}
	assert.Empty(l.t, open, "operations that did not settle, of %d", len(l.accepted))
	for _, service := range process.Names() {
		assert.Equal(l.t, "0", l.SQL(service, "SELECT count(*) FROM outbox WHERE published = 0"), "unsent: %s", service)
		assert.Equal(l.t, "0", l.SQL(service, "SELECT count(*) FROM parked"), "parked or dead: %s", service)
	}
	before := l.views()
	for _, service := range []string{"returns", "correlations", "optimization"} {
		require.Nil(l.t, l.Write(http.MethodPost, "/v1/rebuild/"+service, "").Error)
	}
	after := before
	for range 60 {
		if after = l.views(); maps.Equal(before, after) {
			break
		}
		time.Sleep(time.Second)
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		assert.Equal(l.t, before[name], after[name], "%s differs from a rebuild", name)
	}
}

// views returns digests of the read views.
func (l *load) views() map[string]string {
	l.t.Helper()
	all := map[string]string{}
	for name, columns := range map[string]string{
		"returns.series":          "symbol, year, first_day, last_day, days, format, data",
		"returns.portfolios":      "id, version, assets",
		"correlations.symbols":    "symbol, first_day, last_day, days, stamps",
		"correlations.series":     "symbol, year, data",
		"correlations.portfolios": "id, version, assets",
		"optimization.series":     "symbol, year, data",
		"optimization.closes":     "symbol, day, close",
		"optimization.portfolios": "id, version, assets",
	} {
		service, table, _ := strings.Cut(name, ".")
		all[name] = l.SQL(service, fmt.Sprintf("SELECT count(*) || ' ' || "+
			"md5(string_agg(r::text, E'\\n' ORDER BY r::text)) FROM (SELECT %s FROM %s) AS r", columns, table))
	}
	return all
}

// after registers a function that ends a fault, at the latest when the case ends.
func (l *load) after(restore func()) (now func()) {
	now = sync.OnceFunc(restore)
	l.t.Cleanup(now)
	return now
}

// within waits for a limited time until a condition holds.
func (l *load) within(limit time.Duration, what string, so func() (bool, string)) {
	l.t.Helper()
	began := time.Now()
	for {
		is, state := so()
		if is {
			l.t.Logf("%s after %.0f s", what, time.Since(began).Seconds())
			return
		}
		if time.Since(began) > limit {
			l.t.Errorf("not within %s: %s; at last: %s", limit, what, state)
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (l *load) ready() (bool, string) {
	for _, service := range process.Names() {
		for _, role := range []string{"-api", "-consumer"} {
			if ready, missing := l.Health(service + role); !ready {
				return false, service + role + ": " + missing
			}
		}
	}
	return true, ""
}

// reports requires that the process of a container soon is not ready, and that its reason contains one of the words.
func (l *load) reports(container string, words ...string) {
	l.t.Helper()
	l.within(noticed, container+" is not ready", func() (bool, string) {
		ready, missing := l.Health(container)
		return !ready && slices.ContainsFunc(words, func(w string) bool {
			return strings.Contains(missing, w)
		}), missing
	})
}

func (l *load) migrate() { l.Compose("run", "--rm", "--no-deps", "migrate") }

// holder returns the container of a service whose relay is active; the other one stands by.
func (l *load) holder(service string) (name, project string) {
	l.t.Helper()
	addresses := strings.Fields(l.SQL(service,
		"SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "+
			"WHERE locktype = 'advisory' AND granted AND datname = current_database()"))
	for _, one := range l.Containers() {
		if slices.Contains(addresses, one.NetworkSettings.Networks[l.Project+"_inside"].IPAddress) {
			name = strings.TrimPrefix(one.Name, "/")
			return strings.TrimSuffix(strings.TrimPrefix(name, l.Project+"-"), "-1"), name
		}
	}
	require.Fail(l.t, "no container holds the lock", "%v", addresses)
	return "", ""
}

// flows requires that a service's outbox is sent within the limit of a takeover.
func (l *load) flows(service string) {
	l.t.Helper()
	last := l.SQL(service, "SELECT coalesce(max(id), 0) FROM outbox")
	l.within(noticed, "the outbox of "+service+" is sent", func() (bool, string) {
		unsent := l.SQL(service, "SELECT count(*) FROM outbox WHERE published = 0 AND id <= "+last)
		return unsent == "0", unsent + " unsent"
	})
}

func readOnly(t *testing.T, l *load) {
	lines := func() (all, different int) {
		seen := map[string]bool{}
		for _, line := range l.Log() {
			all, seen[line.ID] = all+1, true
		}
		return all, len(seen)
	}
	writable := l.after(func() {
		l.SQL("returns", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
	})
	l.SQL("returns", "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	began := time.Now()
	l.reports("returns-consumer", "read-only", "no writes", "read_only", "database")
	l.reports("portfolio-api", "read-only", "no writes", "read_only", "database")
	time.Sleep(time.Until(began.Add(time.Minute)))
	writable()
	l.some()
	all, different := lines()
	assert.Less(t, all-different, different/10, "repeated events, of %d", different)
}

func connectionsUsedUp(t *testing.T, l *load) {
	unlimited := l.after(func() { l.SQL("portfolio", "ALTER ROLE portfolio CONNECTION LIMIT -1") })
	l.SQL("portfolio", "ALTER ROLE portfolio CONNECTION LIMIT 0; "+
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'portfolio'")
	l.within(noticed, "the fault is named", func() (bool, string) {
		_, body := l.request(http.MethodPost, "/v1/portfolios", portfolio("LOAD0"), "Content-Type", "application/json")
		_, missing := l.Health("portfolio-api")
		return strings.Contains(string(body)+missing, "too many connections"), string(body) + missing
	})
	unlimited()
	l.some()
}

func queueDeleted(_ *testing.T, l *load) {
	prepared := l.after(l.migrate)
	l.Rabbit("delete_queue", "stega.returns.events")
	l.reports("returns-consumer", "queue", "migrate")
	l.some()
	prepared()
}

func bindingRemoved(_ *testing.T, l *load) {
	prepared := l.after(l.migrate)
	l.Rabbit("eval", `Q = rabbit_misc:r(<<"/">>, queue, <<"stega.returns.events">>),
		[rabbit_binding:remove(B, <<"test">>) || B <- rabbit_binding:list_for_destination(Q),
		 element(2, element(2, B)) =/= <<>>, element(4, element(2, B)) =:= <<"stega.events">>].`)
	l.reports("returns-consumer", "bind", "migrate")
	l.some()
	prepared()
}

func permissionRevoked(_ *testing.T, l *load) {
	rights := strings.Split(strings.TrimSpace(l.Rabbit("list_user_permissions", "portfolio", "--no-table-headers")),
		"\t")
	require.Len(l.t, rights, 4)
	allow := l.after(func() { l.Rabbit("set_permissions", "portfolio", rights[1], rights[2], rights[3]) })
	l.Rabbit("set_permissions", "portfolio", rights[1], "^$", rights[3])
	l.Rabbit("close_all_user_connections", "portfolio", "a channel keeps the rights that it has used")
	holder, _ := l.holder("portfolio")
	l.reports(holder, "403", "refuse", "permission", "forbidden", "publish")
	allow()
}

func volumeLost(_ *testing.T, l *load) {
	l.Compose("rm", "--stop", "--force", "rabbitmq")
	out, err := l.Docker("volume", "rm", l.Project+"_rabbitmq")
	require.NoError(l.t, err, out)
	l.Compose("up", "-d", "--no-build", "--no-deps", "--wait", "rabbitmq")
	for _, service := range process.Names() {
		l.reports(service+"-consumer", "queue", "exchange", "migrate", "broker")
	}
	l.reports("portfolio-api", "exchange", "queue", "migrate", "broker")
	l.migrate()
}

func logAnew(_ *testing.T, l *load) {
	l.Rabbit("delete_queue", "stega.log")
	l.migrate()
	l.within(noticed, "a write settles in the answer", func() (bool, string) {
		status, body := l.request(http.MethodPost, "/v1/portfolios", portfolio("LOAD1"), "Content-Type",
			"application/json",
			"Prefer", "wait=5, settled")
		return status == http.StatusOK && strings.Contains(string(body), `"settled":true`), string(body)
	})
}

func crashLoop(_ *testing.T, l *load) {
	for range 22 { // beyond the broker's delivery limit
		l.Compose("kill", "returns-consumer")
		l.Compose("start", "returns-consumer")
		l.within(over, "it accepts messages again", func() (bool, string) {
			n := l.Rabbit("list_queues", "name", "consumers", "--no-table-headers")
			return strings.Contains(n, "stega.returns.events\t1"), n
		})
	}
}

func relayFrozen(_ *testing.T, l *load) {
	_, container := l.holder("marketdata")
	_, err := l.Docker("pause", container)
	require.NoError(l.t, err)
	goOn := l.after(func() { _, _ = l.Docker("unpause", container) })
	l.flows("marketdata")
	goOn()
}

func relayLost(_ *testing.T, l *load) {
	service, container := l.holder("marketdata")
	out, err := l.Docker("network", "disconnect", "-f", l.Project+"_inside", container)
	require.NoError(l.t, err, out)
	_, _ = l.Docker("kill", container)
	back := l.after(func() {
		l.Compose("rm", "--stop", "--force", service)
		l.Compose("up", "-d", "--no-build", "--no-deps", service)
	})
	l.flows("marketdata")
	back()
}

func poisonRow(t *testing.T, l *load) {
	l.SQL("portfolio", `INSERT INTO outbox
		(message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, sequence, data)
		VALUES ('01a22d1f-5724-7b24-869b-c81b75ff960e', '', 'portfolio.deleted', repeat('x', 70000), 0, '', '', '', 1,
			'{}')`)
	l.within(noticed, "another portfolio settles", func() (bool, string) {
		status, body := l.request(http.MethodPost, "/v1/portfolios", portfolio("LOAD2"), "Content-Type",
			"application/json",
			"Prefer", "wait=10, settled")
		return status == http.StatusOK && strings.Contains(string(body), `"settled":true`), string(body)
	})
	var dead struct {
		Items []struct {
			ID      int64
			Service string
		}
	}
	l.within(noticed, "the row is a dead letter", func() (bool, string) {
		_, body := l.request(http.MethodGet, "/v1/dead", "")
		_ = json.Unmarshal(body, &dead)
		return len(dead.Items) == 1, string(body)
	})
	for _, one := range dead.Items {
		status, body := l.request(http.MethodDelete, fmt.Sprintf("/v1/dead/%s/%d", one.Service, one.ID), "")
		assert.Less(t, status, 300, "%s", body)
	}
}

func slowRebuild(t *testing.T, l *load) {
	var file strings.Builder
	file.WriteString("date,symbol,close\n")
	for symbol := range 200 {
		for day := range 1000 {
			_, _ = fmt.Fprintf(&file, "%s,BIG%d,%d\n", time.Date(2015, 1, 1+day, 0, 0, 0, 0, time.UTC).
				Format(time.DateOnly),
				symbol, 50+(day*7+symbol)%50)
		}
	}
	l.Import(file.String(), "")
	slow := []string{l.Project + "-postgres-1", l.Project + "-marketdata-consumer-1"}
	cpus := func(n string) {
		for _, container := range slow {
			out, err := l.Docker("update", "--cpus", n, container)
			require.NoError(t, err, out)
		}
	}
	fast := l.after(func() { cpus("2") })
	cpus("0.3")
	status, body := l.request(http.MethodPost, "/v1/rebuild/returns", "", "Content-Type", "application/json")
	require.Equal(t, http.StatusAccepted, status, "%s", body)
	var op struct {
		ID string `json:"operation_id"`
	}
	require.NoError(t, json.Unmarshal(body, &op))
	reads, missing := 0, 0
	l.within(10*time.Minute, "the rebuild settles", func() (bool, string) {
		for _, symbol := range []string{"BIG0", "BIG99", "BIG199", "LOAD0"} {
			reads++
			if status, _ := l.request(http.MethodGet, "/v1/returns/assets/"+symbol, ""); status == http.StatusNotFound {
				missing++
			}
		}
		_, body := l.request(http.MethodGet, "/v1/operations/"+op.ID, "")
		return strings.Contains(string(body), `"settled":true`), string(body)
	})
	assert.Zero(t, missing, "of %d reads found nothing during the rebuild", reads)
	fast()
}
