package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	amqpPort, managementPort     = 5672, 15672
	adminName, adminPassword     = "stega", "stega"
	rabbitURL, rabbitManagingURL = "STEGA_TEST_RABBITMQ_URL", "STEGA_TEST_RABBITMQ_MANAGEMENT_URL"
)

var rabbit = &server{
	name: "rabbitmq", image: "rabbitmq:4-management", ports: []int{amqpPort, managementPort},
	env: map[string]string{"RABBITMQ_DEFAULT_USER": adminName, "RABBITMQ_DEFAULT_PASS": adminPassword},
	ready: func(ctx context.Context, s *server) error {
		c, err := amqp.DialConfig("amqp://"+adminName+":"+adminPassword+"@"+s.address(amqpPort)+"/",
			amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
		r := Rabbit{ManagementURL: "http://" + s.address(managementPort), User: adminName, Password: adminPassword}
		return r.call(ctx, http.MethodGet, "/api/overview", nil, nil)
	},
}

// Rabbit is a separate virtual host on the RabbitMQ of the process, with its own user who has all rights in it.
type Rabbit struct {
	ManagementURL string // of the HTTP API, without a path
	User          string // the administrator
	Password      string
	Vhost         string

	address string // host:port of AMQP
	user    string // of the virtual host; its password is the same
}

// RabbitMQ creates a virtual host, and removes it when the test ends.
func RabbitMQ(t testing.TB) *Rabbit {
	t.Helper()
	r := &Rabbit{User: adminName, Password: adminPassword, Vhost: name()}
	r.user = r.Vhost
	if given := os.Getenv(rabbitURL); given != "" {
		u, err := url.Parse(given)
		if err != nil {
			t.Fatalf("read %s: %v", rabbitURL, err)
		}
		r.address, r.User = u.Host, u.User.Username()
		r.Password, _ = u.User.Password()
		r.ManagementURL = strings.TrimSuffix(os.Getenv(rabbitManagingURL), "/")
		if r.ManagementURL == "" {
			r.ManagementURL = "http://" + u.Hostname() + ":15672"
		}
	} else {
		rabbit.need(t)
		r.address = rabbit.address(amqpPort)
		r.ManagementURL = "http://" + rabbit.address(managementPort)
	}
	r.API(t, http.MethodPut, "/api/vhosts/"+r.Vhost, nil, nil)
	r.addUser(t, r.user, ".*", ".*", ".*")
	t.Cleanup(func() { r.API(t, http.MethodDelete, "/api/vhosts/"+r.Vhost, nil, nil) })
	return r
}

// URL returns the URL of the virtual host, with its user.
func (r *Rabbit) URL() string { return r.url(r.user) }

func (r *Rabbit) url(user string) string {
	return (&url.URL{Scheme: "amqp", User: url.UserPassword(user, user), Host: r.address, Path: "/" + r.Vhost}).String()
}

// AddUserNamed adds a user like AddUser, and returns its name too.
func (r *Rabbit) AddUserNamed(t testing.TB, configure, write, read string) (url, user string) {
	t.Helper()
	user = name()
	r.addUser(t, user, configure, write, read)
	return r.url(user), user
}

// Permit sets the permissions of a user in the virtual host.
func (r *Rabbit) Permit(t testing.TB, user, configure, write, read string) {
	t.Helper()
	r.API(t, http.MethodPut, "/api/permissions/"+r.Vhost+"/"+user,
		map[string]any{"configure": configure, "write": write, "read": read}, nil)
}

// PermitTopics sets the routing keys of an exchange that a user may publish and bind.
func (r *Rabbit) PermitTopics(t testing.TB, user, exchange, write, read string) {
	t.Helper()
	r.API(t, http.MethodPut, "/api/topic-permissions/"+r.Vhost+"/"+user,
		map[string]any{"exchange": exchange, "write": write, "read": read}, nil)
}

// Publish publishes a message with the bare library, and returns after its confirmation.
func (r *Rabbit) Publish(t testing.TB, exchange, key string, headers map[string]any, body []byte) {
	t.Helper()
	conn, err := amqp.Dial(r.URL())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	var confirmation *amqp.DeferredConfirmation
	if err == nil {
		confirmation, err = ch.PublishWithDeferredConfirm(exchange, key, false, false,
			amqp.Publishing{Headers: headers, Body: body})
	}
	if err != nil || !confirmation.Wait() {
		t.Fatalf("publish to %s: %v", exchange, err)
	}
}

// AddUser creates a user with permissions in the virtual host, and returns the URL with that user.
func (r *Rabbit) AddUser(t testing.TB, configure, write, read string) string {
	t.Helper()
	url, _ := r.AddUserNamed(t, configure, write, read)
	return url
}

func (r *Rabbit) addUser(t testing.TB, user, configure, write, read string) {
	t.Helper()
	r.API(t, http.MethodPut, "/api/users/"+user, map[string]any{"password": user, "tags": ""}, nil)
	t.Cleanup(func() { r.API(t, http.MethodDelete, "/api/users/"+user, nil, nil) })
	r.API(t, http.MethodPut, "/api/permissions/"+r.Vhost+"/"+user,
		map[string]any{"configure": configure, "write": write, "read": read}, nil)
}

// API calls the management HTTP API as the administrator, and decodes the answer into into unless it is nil.
func (r *Rabbit) API(t testing.TB, method, path string, body, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.call(ctx, method, path, body, into); err != nil {
		t.Fatalf("management: %v", err)
	}
}

func (r *Rabbit) call(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.ManagementURL+path, reader)
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.User, r.Password)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true // leaves no goroutine behind
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// CutConnections closes all connections of the virtual host's user, and returns when the broker has dropped them.
func (r *Rabbit) CutConnections(t testing.TB) {
	t.Helper()
	var before map[string]bool
	// a new connection is listed a moment later
	for wait := time.Now().Add(10 * time.Second); len(before) == 0 && time.Now().Before(wait); {
		before = r.connections(t)
	}
	r.API(t, http.MethodDelete, "/api/connections/username/"+r.user, nil, nil)
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := 0
		for c := range r.connections(t) {
			if before[c] {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections do not end", left)
		}
	}
}

// connections returns the names of the connections of the virtual host's user, from the broker's table.
func (r *Rabbit) connections(t testing.TB) map[string]bool {
	t.Helper()
	var list []struct {
		Name string `json:"name"`
	}
	r.API(t, http.MethodGet, "/api/connections/username/"+r.user, nil, &list)
	names := make(map[string]bool, len(list))
	for _, c := range list {
		names[c.Name] = true
	}
	return names
}

// Stop stops the server for all tests of the process. A test that calls it must not run in parallel with others. At
// its end the server runs again.
func (r *Rabbit) Stop(t testing.TB) { t.Helper(); rabbit.stop(t) }

// Start starts the server again and returns when it answers. Its address stays the same.
func (r *Rabbit) Start(t testing.TB) { t.Helper(); rabbit.startAgain(t) }

// Restart stops the server and starts it again.
func (r *Rabbit) Restart(t testing.TB) {
	t.Helper()
	r.Stop(t)
	r.Start(t)
}

// Hold stops the server from writing the log of its quorum queues, until release is called: it accepts commands and
// executes none. A test that calls it must not run in parallel with others.
func (r *Rabbit) Hold(t testing.TB) (release func()) {
	t.Helper()
	of := func(call string) string {
		return `[] =/= [sys:` + call + `(P) || P <- registered(), string:find(atom_to_list(P), "log_wal") =/= nomatch].`
	}
	rabbit.eval(t, of("suspend"))
	var once sync.Once
	release = func() { once.Do(func() { rabbit.eval(t, of("resume")) }) }
	t.Cleanup(release)
	return release
}

// StopQuorumQueues stops the quorum queues inside the server, like a failure, until restart is called. The server
// then answers a declaration of such a queue by ending the connection with 541 INTERNAL_ERROR. Existing queues are
// unusable afterwards. A test that calls it must not run in parallel with others.
func (r *Rabbit) StopQuorumQueues(t testing.TB) (restart func()) {
	t.Helper()
	rabbit.eval(t, `ok =:= supervisor:terminate_child(ra_systems_sup, quorum_queues).`)
	var once sync.Once
	restart = func() {
		once.Do(func() {
			rabbit.eval(t, `ok =:= element(1, supervisor:restart_child(ra_systems_sup, quorum_queues)).`)
		})
	}
	t.Cleanup(restart)
	return restart
}

// eval evaluates an expression inside the server.
func (s *server) eval(t testing.TB, expression string) {
	t.Helper()
	if s.container == nil {
		t.Skipf("%s runs elsewhere and cannot be held", s.name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code, output, err := s.container.Exec(ctx, []string{"rabbitmqctl", "eval", expression})
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	if text, _ := io.ReadAll(output); code != 0 || !bytes.Contains(text, []byte("true")) {
		t.Fatalf("%s: %s", expression, text)
	}
}
