package test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/broker/rabbitmq"
	stega "stega/client"
	"stega/events"
	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/internal/wait"
	"stega/process"
)

// ready returns the health of a process.
type ready func() (int, process.Health)

// served runs a process on RabbitMQ with the service's own broker user.
func served(t *testing.T, service string, role process.Role, url, dir string) ready {
	t.Helper()
	return health(t, onRabbit(t, service, role, url, dir))
}

func onRabbit(t *testing.T, service string, role process.Role, url, dir string) *stegatest.Server {
	t.Helper()
	return started(t, process.Config{
		Services: []string{service}, Roles: []process.Role{role}, Database: sqliteIn(dir),
		Broker: func(ctx context.Context) (broker.Broker, error) {
			return rabbitmq.Open(ctx, rabbitmq.Config{URL: url, Patient: true})
		},
	})
}

// started runs a process until the test ends, and returns when it is ready.
func started(t *testing.T, cfg process.Config) *stegatest.Server {
	t.Helper()
	cfg.Addr, cfg.Log, cfg.Secret = "127.0.0.1:0", slog.New(slog.DiscardHandler), stegatest.Secret
	ctx, cancel := context.WithCancel(t.Context())
	at, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- process.Run(ctx, cfg, func(addr string) { at <- addr }) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
		http.DefaultClient.CloseIdleConnections()
	})
	var addr string
	select {
	case addr = <-at:
	case err := <-done:
		done <- err
		require.NoError(t, err)
	}
	return stegatest.At(t, "http://"+addr, stegatest.Secret)
}

func readyz(url string) (status int, h process.Health, err error) {
	answer, err := http.Get(url + "/readyz")
	if err != nil {
		return 0, h, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	if bytes.Contains(body, []byte("127.0.0.1")) || bytes.Contains(body, []byte("nobody")) {
		err = fmt.Errorf("it names a host or a user: %s", body)
	}
	return answer.StatusCode, h, err
}

func sqliteIn(dir string) func(service string) string {
	return func(service string) string { return "sqlite://" + filepath.Join(dir, service+".db") }
}

// migrated prepares the database of a service and the topology on RabbitMQ.
func migrated(t *testing.T, service, url string) (dir string, migrate func()) {
	t.Helper()
	dir = t.TempDir()
	migrate = func() {
		require.NoError(t, process.Migrate(t.Context(), []string{service}, sqliteIn(dir),
			func(ctx context.Context) (broker.Broker, error) { return rabbitmq.Open(ctx, rabbitmq.Config{URL: url}) },
			func(string, ...any) {}))
	}
	migrate()
	return dir, migrate
}

// becomes waits until the health of a process satisfies a condition, and logs the last health otherwise.
func (r ready) becomes(t *testing.T, what string, so func(status int, h process.Health) bool) {
	t.Helper()
	var status int
	var h process.Health
	defer func() {
		if t.Failed() {
			t.Logf("at last: %d %+v", status, h)
		}
	}()
	wait.Until(t, what, func() bool {
		status, h = r()
		return so(status, h)
	})
}

// lacks waits until a process is not ready because of one part.
func (r ready) lacks(t *testing.T, part string) {
	t.Helper()
	r.becomes(t, "it lacks the "+part, func(status int, h process.Health) bool {
		return status == http.StatusServiceUnavailable && h.Status == "not ready" && h.Missing[part] != "" &&
			len(h.Missing) == 1
	})
}

// degraded waits until a process is degraded by one part.
func (r ready) degraded(t *testing.T, part string) {
	t.Helper()
	r.becomes(t, "it is degraded: "+part, func(status int, h process.Health) bool {
		return status == http.StatusOK && h.Status == "degraded" && h.Degraded[part] != "" && len(h.Degraded) == 1 &&
			len(h.Missing) == 0
	})
}

// recovers waits until a process is ready without a fault.
func (r ready) recovers(t *testing.T) {
	t.Helper()
	r.becomes(t, "it is ready", func(status int, h process.Health) bool {
		return status == http.StatusOK && h.Status == "ready" && len(h.Missing)+len(h.Degraded) == 0
	})
}

// A part that is missing on the broker makes each process that needs it unready, with a hint, until it exists again.
func TestReadinessNamesMissingPartsOfTheBroker(t *testing.T) {
	r := servers.RabbitMQ(t)
	dir, migrate := migrated(t, "returns", r.URL())
	own := r.AddUser(t, "^$", `^stega\.(events|commands|dead)$`,
		`^(stega\.log|stega\.returns\.(events|commands|dead))$`)
	roles := map[process.Role]ready{
		process.API:      served(t, "returns", process.API, own, dir),
		process.Consumer: served(t, "returns", process.Consumer, own, dir),
	}
	for _, c := range []struct {
		part, path string
		roles      []process.Role
	}{
		{"queue stega.returns.events", "queues/VHOST/stega.returns.events", []process.Role{process.Consumer}},
		{"binding of stega.returns.events to marketdata.prices_imported",
			"bindings/VHOST/e/stega.events/q/stega.returns.events/marketdata.prices_imported",
			[]process.Role{process.Consumer}},
		{"exchange stega.events", "exchanges/VHOST/stega.events", []process.Role{process.API, process.Consumer}},
		{"queue stega.log", "queues/VHOST/stega.log", []process.Role{process.API, process.Consumer}},
	} {
		r.API(t, http.MethodDelete, "/api/"+strings.Replace(c.path, "VHOST", r.Vhost, 1), nil, nil)
		for _, role := range c.roles {
			wait.Until(t, string(role)+" misses the "+c.part, func() bool {
				status, h := roles[role]()
				return status == http.StatusServiceUnavailable && h.Status == "not ready" &&
					strings.Contains(h.Missing[c.part], "stega migrate")
			})
		}
		migrate()
		for role, ready := range roles {
			wait.Until(t, string(role)+" is ready again after the "+c.part, func() bool {
				status, h := ready()
				return status == http.StatusOK && h.Status == "ready"
			})
		}
	}
}

// An api answers reads and accepts writes without the broker, so it starts and continues.
func TestAnAPIIsDegradedWhileTheBrokerIsAway(t *testing.T) {
	dir, _ := migrated(t, "returns", servers.RabbitMQ(t).URL())
	status, h := served(t, "returns", process.API, "amqp://nobody:nothing@127.0.0.1:1/", dir)()
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "degraded", h.Status)
	assert.Equal(t, map[string]string{"broker": "no connection"}, h.Degraded)
}

// A process that starts or stops reports over HTTP that it is not ready.
func TestAProcessIsNotReadyWhileItStartsAndStops(t *testing.T) {
	t.Run("a consumer that starts", func(t *testing.T) {
		dir := t.TempDir()
		migrateTo(t, "returns", sqliteIn(dir))
		port := servers.FreePort(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- process.Run(ctx, process.Config{
				Services: []string{"returns"}, Roles: []process.Role{process.Consumer}, Database: sqliteIn(dir),
				Log:  slog.New(slog.DiscardHandler),
				Addr: fmt.Sprintf("127.0.0.1:%d", port),
				Broker: func(ctx context.Context) (broker.Broker, error) {
					return rabbitmq.Open(ctx, rabbitmq.Config{URL: "amqp://nobody:nothing@127.0.0.1:1/", Patient: true})
				},
			}, func(string) { t.Error("it is ready without a broker") })
		}()
		wait.Until(t, "it reports that it starts, and lacks the broker", func() bool {
			status, h, err := readyz(fmt.Sprintf("http://127.0.0.1:%d", port))
			return err == nil && status == http.StatusServiceUnavailable && h.Missing["process"] != "" &&
				h.Missing["broker"] == "no connection"
		})
		cancel()
		require.NoError(t, <-done)
	})
	for _, role := range []process.Role{process.API, process.Consumer} {
		t.Run("a process that stops: "+string(role), func(t *testing.T) {
			s := stegatest.Up(t, func(c *process.Config) {
				c.Services, c.Roles = []string{"marketdata"}, []process.Role{role}
			})
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			body := `{"symbol":"A","dates":["2024-01-02"],"close":["1"]}`
			_, err = fmt.Fprintf(conn, "POST /v1/events/marketdata.prices_imported HTTP/1.1\r\n"+
				"Host: localhost\r\nAuthorization: Bearer %s\r\n"+
				"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", s.Token,
				len(body))
			require.NoError(t, err)
			answers := bufio.NewReader(conn)
			answer, err := http.ReadResponse(answers, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusContinue, answer.StatusCode, "the request is being handled")
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				s.Stop()
			}()
			wait.Until(t, "it reports that it stops", func() bool {
				status, h, err := readyz(s.URL)
				return err == nil && status == http.StatusServiceUnavailable && h.Missing["process"] != ""
			})
			_, err = io.WriteString(conn, body)
			require.NoError(t, err)
			answer, err = http.ReadResponse(answers, nil)
			require.NoError(t, err)
			assert.Equal(t, http.StatusAccepted, answer.StatusCode, "the request in flight is finished")
			<-stopped
		})
	}
}

func migrateTo(t *testing.T, service string, database func(string) string) {
	t.Helper()
	require.NoError(t, process.Migrate(t.Context(), []string{service}, database, embeddedIn(t.TempDir()),
		func(string, ...any) {}))
}

func embeddedIn(dir string) func(context.Context) (broker.Broker, error) {
	return func(ctx context.Context) (broker.Broker, error) {
		return embedded.Open(ctx, filepath.Join(dir, "broker"), slog.New(slog.DiscardHandler))
	}
}

// bothRoles starts an api and a consumer of one service on one database, with a broker each.
func bothRoles(t *testing.T, service string, database func(string) string) map[process.Role]ready {
	t.Helper()
	migrateTo(t, service, database)
	roles := map[process.Role]ready{}
	for _, role := range []process.Role{process.API, process.Consumer} {
		roles[role] = health(t, started(t, process.Config{
			Services: []string{service}, Roles: []process.Role{role}, Database: database, Migrate: true,
			Broker: embeddedIn(t.TempDir()),
		}))
	}
	return roles
}

// A database that answers queries but refuses writes makes both roles unready.
func TestAProcessIsNotReadyWhileItsDatabaseTakesNoWrites(t *testing.T) {
	url := servers.Postgres(t).URL()
	roles := bothRoles(t, "returns", func(string) string { return url })
	for _, r := range roles {
		r.recovers(t)
	}
	servers.PostgresReadOnly(t, true)
	for _, r := range roles {
		r.becomes(t, "it lacks its database", func(status int, h process.Health) bool {
			return status == http.StatusServiceUnavailable && h.Missing["database of returns"] != ""
		})
	}
	t.Log("it takes no writes")
	servers.PostgresReadOnly(t, false)
	for _, r := range roles {
		r.recovers(t)
	}
}

// The boundary's api is not ready while it must not read the log, although broker and log exist.
func TestABoundaryThatCannotFollowTheLogIsNotReady(t *testing.T) {
	r := servers.RabbitMQ(t)
	dir, migrate := migrated(t, "boundary", r.URL())
	const write, queues = `^stega\.(events|commands|dead)$`, `^stega\.boundary\.(events|commands|dead)$`
	own, user := r.AddUserNamed(t, "^$", write, `^stega\.log$|`+queues)
	api := served(t, "boundary", process.API, own, dir)
	api.recovers(t)
	r.Permit(t, user, "^$", write, queues)
	r.API(t, http.MethodDelete, "/api/queues/"+r.Vhost+"/stega.log", nil, nil)
	migrate()
	api.lacks(t, "event log")
	r.Permit(t, user, "^$", write, `^stega\.log$|`+queues)
	api.recovers(t)
}

// A process whose events the broker refuses is not ready, in either role, until it may publish them.
func TestAProcessThatMayNotPublishIsNotReady(t *testing.T) {
	r := servers.RabbitMQ(t)
	dir, _ := migrated(t, "marketdata", r.URL())
	for _, role := range []process.Role{process.API, process.Consumer} {
		own, user := r.AddUserNamed(t, "^$", `^stega\.(events|commands|dead)$`,
			`^(stega\.log|stega\.marketdata\.(events|commands|dead))$`)
		s := onRabbit(t, "marketdata", role, own, dir)
		health(t, s).recovers(t)
		r.PermitTopics(t, user, "stega.events", "^nothing$", ".*")
		pricesOf(t, s, "FORBIDDEN")
		health(t, s).becomes(t, "it may not publish", func(status int, h process.Health) bool {
			return status == http.StatusServiceUnavailable &&
				strings.Contains(h.Missing["publishing marketdata.prices_imported"], "permissions")
		})
		r.PermitTopics(t, user, "stega.events", ".*", ".*")
		health(t, s).recovers(t)
	}
}

// pricesOf publishes an event with the prices of a symbol.
func pricesOf(t *testing.T, s *stegatest.Server, symbol string) {
	t.Helper()
	a := s.Do(http.MethodPost, "/v1/events/marketdata.prices_imported",
		`{"symbol":"`+symbol+`","dates":["2024-01-02"],"close":["1"]}`)
	require.Equal(t, http.StatusAccepted, a.Status, "%s", a.Body)
}

// health returns the health of a server under test.
func health(t *testing.T, s *stegatest.Server) ready {
	return func() (int, process.Health) {
		status, h, err := readyz(s.URL)
		require.NoError(t, err)
		return status, h
	}
}

// A consumer whose every message fails pauses, and is not ready.
func TestAPausedConsumerIsNotReady(t *testing.T) {
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data,
		func(c *process.Config) { c.Services = []string{"marketdata", "returns"} }))
	r := health(t, s)
	r.recovers(t)
	db, err := sql.Open("sqlite", filepath.Join(data, "returns.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	rename := func(from, to string) {
		_, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to)
		require.NoError(t, err)
	}
	rename("series", "away")
	for n := range 8 {
		pricesOf(t, s, fmt.Sprint("S", n))
	}
	r.lacks(t, "consumer of returns")
	rename("away", "series")
	r.recovers(t)
}

// A handler that waits for a lock forever makes the consumer unready.
func TestAConsumerWhoseHandlerHangsIsNotReady(t *testing.T) {
	data, url := t.TempDir(), servers.Postgres(t).URL()
	s := stegatest.Start(t, stegatest.Config(data, func(c *process.Config) {
		c.Services = []string{"marketdata", "returns"}
		c.Database = func(service string) string {
			if service == "returns" {
				return url
			}
			return sqliteIn(data)(service)
		}
	}))
	r := health(t, s)
	r.recovers(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	pricesOf(t, s, "HANGS")
	r.lacks(t, "handler of returns")
	_, err = conn.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	r.recovers(t)
}

// An event that is never sent, because the relay with the lock does not work, degrades both roles.
func TestAnOldUnsentEventDegradesBothRoles(t *testing.T) {
	url := servers.Postgres(t).URL()
	database := func(string) string { return url }
	migrateTo(t, "returns", database)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(),
		"SELECT pg_advisory_lock(hashtextextended('stega relay of returns' || current_schema(), 0))")
	require.NoError(t, err)
	roles := bothRoles(t, "returns", database)
	_, err = conn.Exec(t.Context(),
		`INSERT INTO outbox
			(message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, data, sequence)
			VALUES ($1, '', 'returns.asset_updated', 'OLD', $2, $1, '', '', '{}', 1)`,
		events.NewID(), time.Now().Add(-time.Minute).UnixMicro())
	require.NoError(t, err)
	for _, r := range roles {
		r.degraded(t, "outbox of returns")
	}
	require.NoError(t, conn.Close(t.Context()))
	for _, r := range roles {
		r.recovers(t)
	}
}

// A dead letter degrades each process of its service until it is retried or dropped.
func TestDeadLettersDegradeBothRoles(t *testing.T) {
	data := t.TempDir()
	var consuming broker.Broker
	consumer := stegatest.Start(t, stegatest.Config(data, func(c *process.Config) {
		c.Services, c.Roles = []string{"returns"}, []process.Role{process.Consumer}
		open := c.Broker
		c.Broker = func(ctx context.Context) (broker.Broker, error) {
			b, err := open(ctx)
			consuming = b
			return b, err
		}
	}))
	api := started(t, process.Config{
		Services: []string{"returns"}, Roles: []process.Role{process.API}, Database: sqliteIn(data),
		Broker: embeddedIn(t.TempDir()), Migrate: true,
	})
	roles := []ready{health(t, consumer), health(t, api)}
	id, sent := events.NewID(), make(chan error, 1)
	require.NoError(t, consuming.Publish(t.Context(), broker.Outgoing{Message: events.Message{Envelope: events.Envelope{
		ID:          id,
		Source:      "stega/test",
		Type:        "marketdata.prices_imported",
		Subject:     "ODD",
		Time:        time.Now(),
		Correlation: id,
		Sequence:    1,
		ContentType: "application/json",
	}, Data: []byte("this is not JSON")}}, func(err error) { sent <- err }))
	require.NoError(t, <-sent)
	for _, r := range roles {
		r.degraded(t, "dead letters of returns")
	}
	var letters struct{ Items []struct{ ID json.Number } }
	consumer.Get("/v1/dead", &letters)
	require.Len(t, letters.Items, 1)
	require.Equal(t, http.StatusNoContent,
		consumer.Do(http.MethodDelete, "/v1/dead/returns/"+letters.Items[0].ID.String(), "").Status)
	for _, r := range roles {
		r.recovers(t)
	}
}

// The commands health and doctor show the server's answer: each fault, and the status as the exit code.
func TestHealthAndDoctorShowReadyz(t *testing.T) {
	data := t.TempDir()
	s := stegatest.Start(t, stegatest.Config(data))
	r := health(t, s)
	run := func(args ...string) (int, string) {
		c := exec.CommandContext(t.Context(), stegatest.Binary(t), append(args, "--url", s.URL)...)
		c.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_STATE_HOME=", "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=",
			"STEGA_DAEMON=off", "STEGA_TOKEN="+s.Token)
		out, err := c.Output()
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			require.NoError(t, err)
		}
		return c.ProcessState.ExitCode(), string(out)
	}
	agree := func(status string, exits int, verdict string) {
		t.Helper()
		_, h := r()
		require.Equal(t, status, h.Status)
		lines := stega.Health(h).Lines()
		code, out := run("health")
		assert.Equal(t, exits, code, "%s", out)
		var shown []string
		for line := range strings.Lines(out) {
			shown = append(shown, strings.TrimSpace(line))
		}
		if status != "not ready" {
			lines = append(lines, status)
		}
		assert.Equal(t, lines, shown)
		code, out = run("doctor", "-o", "json")
		var findings []struct{ Name, Verdict, Detail string }
		require.NoError(t, json.Unmarshal([]byte(out), &findings), "%s", out)
		assert.Equal(t, exits != 0, code != 0, "%s", out)
		for _, f := range findings {
			if f.Name == "server "+s.URL {
				assert.Equal(t, verdict, f.Verdict)
				assert.Contains(t, f.Detail, strings.Join(stega.Health(h).Lines(), "; "))
				return
			}
		}
		t.Errorf("the doctor does not mention the server: %s", out)
	}
	r.recovers(t)
	agree("ready", 0, "ok")
	db, err := sql.Open("sqlite", filepath.Join(data, "returns.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(),
		`INSERT INTO parked (handler, message_id, source, topic, subject, emitted_at, correlation, causation, sequence,
			traceparent, content_type, data, state, attempts, last_error, cause, parked_at, due_at, died_at, holds)
		VALUES ('h', 'm', 'stega/test', 't', 's', 1, 'm', '', 1,
			'', 'application/json', '{}', 'dead', 1, 'e', 'c', 1, 0, 1, false)`)
	require.NoError(t, err)
	r.degraded(t, "dead letters of returns")
	agree("degraded", 0, "warn")
	_, err = db.ExecContext(t.Context(), "ALTER TABLE series RENAME TO away")
	require.NoError(t, err)
	for n := range 8 {
		pricesOf(t, s, fmt.Sprint("S", n))
	}
	wait.Until(t, "it is not ready and degraded", func() bool {
		status, h := r()
		return status == http.StatusServiceUnavailable && len(h.Degraded) == 1
	})
	agree("not ready", 69, "fail")
}

// Each condition of the table in ARCHITECTURE.md names its tests.
func TestEachRowOfTheReadinessTableHasATest(t *testing.T) {
	page, err := os.ReadFile("../ARCHITECTURE.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(page), "\n## Readiness\n")
	section, _, _ = strings.Cut(section, "\n## ")
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var code []byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		code = append(code, b...)
	}
	test := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 || strings.HasPrefix(line, "| condition") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		named := test.FindAllStringSubmatch(cells[len(cells)-2], -1)
		assert.NotEmpty(t, named, "no test is named in: %s", line)
		for _, n := range named {
			assert.Contains(t, string(code), "func "+n[1]+"(t *testing.T)", "%s", line)
		}
	}
	assert.GreaterOrEqual(t, rows, 9)
}
