// Package servers provides real servers for tests: a RabbitMQ and a PostgreSQL. The first test that needs one starts
// its container, all tests of the process share it, and the end of the process removes it. Every call creates a
// separate namespace, a virtual host or a database, so tests may run in parallel.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { servers.Main(m) }
//
// Without Docker its tests are skipped with a message; with CI=true they fail instead. With -short they are skipped.
// STEGA_TEST_RABBITMQ_URL and STEGA_TEST_POSTGRES_URL name running servers; their user must be an administrator.
// STEGA_TEST_RABBITMQ_MANAGEMENT_URL names a management API on another port than 15672. Tests that stop a server are
// skipped then.
package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"go.uber.org/goleak"
)

// patience limits the start or stop of a server.
const patience = 2 * time.Minute

// server is one container of the process, or an external server.
type server struct {
	name  string
	image string
	env   map[string]string
	cmd   []string
	ports []int // inside the container
	ready func(ctx context.Context, s *server) error

	mu        sync.Mutex
	container testcontainers.Container // nil for an external server
	host      string
	published map[int]int // port inside the container to port on the host
	stopped   bool
	started   bool
	failed    error
}

// Main runs the tests of a package, removes their servers, checks for leaked goroutines, and exits.
func Main(m *testing.M, options ...goleak.Option) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-interrupted:
			terminate()
			os.Exit(130)
		case <-over:
		}
	})
	code := m.Run()
	if code != 0 {
		logs(os.Stderr)
	}
	terminate()
	signal.Stop(interrupted)
	close(over)
	watch.Wait()
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left after the tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// terminate removes every container of the process.
func terminate() {
	for _, s := range []*server{rabbit, postgres} {
		s.mu.Lock()
		if s.container != nil {
			err := testcontainers.TerminateContainer(s.container, testcontainers.StopTimeout(0))
			if err != nil {
				fmt.Fprintf(os.Stderr, "remove the container of %s: %v\n", s.name, err)
			}
			s.container = nil
		}
		s.mu.Unlock()
	}
}

// lastLines limits the lines that are printed from the end of a server's log. Of earlier lines only warnings and
// errors are printed.
const lastLines = 80

// logs prints the logs of the servers, which may explain a failed test.
func logs(w io.Writer) {
	for _, s := range []*server{rabbit, postgres} {
		s.mu.Lock()
		if s.container != nil {
			if err := s.log(w); err != nil {
				fmt.Fprintf(w, "read the log of %s: %v\n", s.name, err)
			}
		}
		s.mu.Unlock()
	}
}

func (s *server) log(w io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := s.container.Logs(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	text, err := io.ReadAll(stream)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fmt.Fprintf(w, "== the log of %s, warnings and errors, and its last %d lines\n", s.name, lastLines)
	for i, line := range lines {
		if i >= len(lines)-lastLines || grave.MatchString(line) {
			fmt.Fprintln(w, line)
		}
	}
	return err
}

// grave matches the warnings and errors in the logs of both servers.
var grave = regexp.MustCompile(`\[(warning|error|critical)\]|\b(ERROR|FATAL|PANIC|WARNING):`)

// docker returns an error without a Docker engine.
var docker = sync.OnceValue(func() (err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics without an engine
			err = fmt.Errorf("%v", r)
		}
	}()
	provider, err := testcontainers.ProviderDocker.GetProvider(testcontainers.WithLogger(log.NewNoopLogger()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(provider.Health(ctx), provider.Close())
})

// Docker skips a test without Docker, or fails it when CI=true.
func Docker(t testing.TB) {
	t.Helper()
	needDocker(t, "Docker: install and start it")
}

func needDocker(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("this test needs %s", what)
	}
	err := docker()
	if err == nil {
		return
	}
	t.Logf("NO DOCKER: this test needs %s. (%v)", what, err)
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no Docker, and CI=true does not allow to skip")
	}
	t.SkipNow()
}

// FreePort returns an unused loopback port.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return port
}

// need starts the server on the first call, or skips the test.
func (s *server) need(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	needDocker(t, fmt.Sprintf("%s: install and start Docker, or point STEGA_TEST_%s_URL at a running server", s.name,
		strings.ToUpper(s.name)))
	if s.failed == nil {
		s.failed = s.start()
	}
	if s.failed != nil {
		t.Fatalf("start %s: %v", s.name, s.failed)
	}
	s.started = true
}

// start runs the container. Ports on the host are fixed, so that URLs outlive a restart.
func (s *server) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for try := 1; ; try++ {
		err := s.run(ctx)
		if err == nil {
			break
		}
		// Another process may have taken the free port.
		if try == 3 || !strings.Contains(err.Error(), "port is already allocated") &&
			!strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	host, err := s.container.Host(ctx)
	if err != nil {
		return err
	}
	s.host = host
	return s.awaitReady(ctx)
}

func (s *server) run(ctx context.Context) error {
	s.published = map[int]int{}
	bindings := network.PortMap{}
	exposed := make([]string, 0, len(s.ports))
	for _, inside := range s.ports {
		free, err := freePort()
		if err != nil {
			return err
		}
		s.published[inside] = free
		port := fmt.Sprintf("%d/tcp", inside)
		exposed = append(exposed, port)
		bindings[network.MustParsePort(port)] = []network.PortBinding{{
			HostIP:   bindAddress(),
			HostPort: strconv.Itoa(free),
		}}
	}
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithEnv(s.env),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithLabels(map[string]string{"stega.test": s.name}),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.PortBindings = bindings }),
	}
	if len(s.cmd) > 0 {
		options = append(options, testcontainers.WithCmd(s.cmd...))
	}
	c, err := testcontainers.Run(ctx, s.image, options...)
	if err != nil {
		if c != nil {
			err = errors.Join(err, testcontainers.TerminateContainer(c, testcontainers.StopTimeout(0)))
		}
		return err
	}
	s.container = c
	return nil
}

// bindAddress returns loopback, unless the engine runs on another machine.
func bindAddress() netip.Addr {
	if h := os.Getenv("DOCKER_HOST"); h == "" || strings.HasPrefix(h, "unix:") || strings.HasPrefix(h, "npipe:") {
		if o := os.Getenv("TESTCONTAINERS_HOST_OVERRIDE"); o == "" || o == "localhost" || strings.HasPrefix(o, "127.") {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	return netip.Addr{}
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.ready(try, s)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", s.name, err)
		case <-tick.C:
		}
	}
}

// address returns host:port of a port of the container.
func (s *server) address(inside int) string {
	return net.JoinHostPort(s.host, strconv.Itoa(s.published[inside]))
}

// stop stops the container; the end of the test starts it again.
func (s *server) stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container == nil {
		t.Skipf("%s runs elsewhere and cannot be stopped", s.name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	grace := 30 * time.Second
	if err := s.container.Stop(ctx, &grace); err != nil {
		t.Fatalf("stop %s: %v", s.name, err)
	}
	s.stopped = true
	t.Cleanup(func() { s.startAgain(t) })
}

func (s *server) startAgain(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.container.Start(ctx)
	if err == nil {
		err = s.awaitReady(ctx)
	}
	if err != nil {
		t.Fatalf("start %s again: %v", s.name, err)
	}
	s.stopped = false
}

// name returns a unique name.
func name() string { return "t" + strings.ToLower(rand.Text()[:12]) }
