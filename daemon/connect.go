package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"stega/fault"
	"stega/internal/files"
)

// ConnectOptions of Connect.
type ConnectOptions struct {
	Paths  Paths
	Build  Build
	Server string            // the URL of the server of the requests; empty: the current one of the daemon
	Start  bool              // start a daemon when there is none
	Warn   func(hint string) // called when the daemon is newer than the program, or older and not replaced
	Within time.Duration     // for a daemon to start; 0: five seconds
}

// Connection is a connection to the daemon.
type Connection struct {
	Owner              // the daemon
	HTTP  *http.Client // whatever the URL of a request, it goes to the daemon, which passes it on to the server
}

// helloWithin bounds the time in which a daemon identifies itself.
const helloWithin = 5 * time.Second

// errNone means that there is no daemon, errHangs that a process listens and does not answer.
var (
	errNone  = errors.New("no daemon answers")
	errHangs = fmt.Errorf("no answer within %s", helloWithin)
)

// Connect finds the daemon. It starts one when there is none and the options request it, and replaces one that is older
// than the program.
func Connect(ctx context.Context, o ConnectOptions) (*Connection, error) {
	if o.Within == 0 {
		o.Within = 5 * time.Second
	}
	if supported != nil {
		return nil, supported
	}
	c, err := find(ctx, o)
	if errors.Is(err, errNone) && o.Start {
		c, err = start(ctx, o)
	}
	if errors.Is(err, errNone) {
		f := fault.Unavailable("daemon_missing", "no daemon is running").
			WithHint("start it with: stega daemon start; find problems with: stega doctor")
		if err.Error() != errNone.Error() { // there is more to say
			f = f.Because(err)
		}
		return nil, f
	}
	if err != nil {
		return nil, err
	}
	switch {
	case o.Build.Newer(c.Build):
		return upgrade(ctx, o, c)
	case c.Newer(o.Build) && o.Warn != nil:
		o.Warn(
			fmt.Sprintf(
				"the daemon is %s, newer than this stega, %s: upgrade stega, or run: stega daemon restart",
				describe(c.Build),
				describe(o.Build),
			),
		)
	}
	return c, nil
}

func describe(b Build) string {
	return fmt.Sprintf("%s of %s", b.Version, b.Built.Local().Format(time.DateTime))
}

// envReady names the pipe on which a daemon that was spawned reports that it is ready.
const envReady = "STEGA_DAEMON_READY_FD"

// find tries each path where the socket may be, and at last the one that the lock names.
func find(ctx context.Context, o ConnectOptions) (*Connection, error) {
	var places []string
	for _, candidate := range o.Paths.Candidates {
		places = append(places, candidate.Path)
	}
	holder, held, err := Holder(o.Paths)
	if err == nil && held {
		places = append(places, holder.Socket)
	}
	why := []error{errNone}
	for i, path := range places {
		if path == "" || slices.Contains(places[:i], path) || short(path) != nil {
			continue
		}
		c, err := hello(ctx, o, path)
		if err == nil {
			return c, nil
		}
		if errors.Is(err, errHangs) && held && path == holder.Socket { // none can be started beside it
			return nil, fault.Unavailable("daemon_hung", "the daemon at %s does not answer", path).
				WithHint("read its log with: stega daemon logs; then end it: kill -9 %d", holder.PID).Because(errHangs)
		}
		if !errors.Is(err, os.ErrNotExist) {
			why = append(why, err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, errors.Join(why...)
}

// hello connects to a socket, and finds which daemon listens there. It never connects to a socket of another user.
func hello(ctx context.Context, o ConnectOptions, path string) (*Connection, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if files.Owner(info) != os.Getuid() {
		return nil, fault.New(
			fault.KindForbidden, "socket_foreign", "the socket %s belongs to the user %d", path, files.Owner(info),
		)
	}
	c := &Connection{HTTP: &http.Client{Transport: introduced{o: o, next: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 128, IdleConnTimeout: time.Minute,
	}}}}
	within, cancel := context.WithTimeout(ctx, helloWithin)
	defer cancel()
	err = c.ask(within, http.MethodGet, "/daemon/version", nil, &c.Owner)
	if err == nil {
		return c, nil
	}
	c.HTTP.CloseIdleConnections()
	if within.Err() != nil && ctx.Err() == nil {
		return nil, errHangs
	}
	return nil, err
}

// introduced adds headers to each request: which program sends it, and for which server.
type introduced struct {
	o    ConnectOptions
	next http.RoundTripper
}

func (i introduced) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Stega-Version", i.o.Build.Version)
	r.Header.Set("Stega-Build", i.o.Build.ID)
	if i.o.Server != "" {
		r.Header.Set("Stega-Server", i.o.Server)
	}
	return i.next.RoundTrip(r)
}

func (i introduced) CloseIdleConnections() {
	if t, ok := i.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Ask sends a request to the daemon itself, and decodes its answer.
func (c *Connection) Ask(ctx context.Context, method, path string, into any) error {
	return c.ask(ctx, method, path, nil, into)
}

func (c *Connection) ask(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	a, err := c.HTTP.Do(r)
	if err != nil {
		return fault.Unavailable("daemon_unavailable", "the daemon does not answer").
			WithHint("find out why with: stega doctor").
			Because(err)
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode >= http.StatusBadRequest {
		var f fault.Fault
		if err := json.NewDecoder(a.Body).Decode(&f); err != nil || f.Code == "" {
			return fault.New(fault.KindInternal, "answer_strange", "the daemon answers with %s", a.Status).
				WithHint("check what listens at its socket: stega doctor")
		}
		return &f
	}
	if into == nil || a.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(a.Body).Decode(into)
}

// upgrade stops an older daemon and starts the running program in its place. What is queued is on disk.
func upgrade(ctx context.Context, o ConnectOptions, c *Connection) (*Connection, error) {
	err := c.Stop(ctx, o.Paths)
	if err == nil {
		c, err = start(ctx, o)
	}
	if err != nil && o.Warn != nil {
		o.Warn("the daemon is older than this stega, and could not be replaced: stega daemon restart")
	}
	if err != nil {
		return find(ctx, o)
	}
	return c, nil
}

// stopWithin bounds the time in which a daemon ends: that of the requests in flight, and some more.
const stopWithin = 20 * time.Second

// Stop stops the daemon and returns when it has ended.
func (c *Connection) Stop(ctx context.Context, p Paths) error {
	if err := c.Ask(ctx, http.MethodPost, "/daemon/stop", nil); err != nil {
		return err
	}
	c.HTTP.CloseIdleConnections()
	for deadline := time.Now().Add(stopWithin); time.Now().Before(deadline); {
		if holder, held, err := Holder(p); err == nil && (!held || holder.PID != c.PID) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fault.New(fault.KindTimeout, "daemon_not_stopped", "the daemon, process %d, does not end", c.PID).
		WithHint("read its log: stega daemon logs; or end it: kill %d", c.PID)
}

// start starts a daemon, detached, and waits until it is ready. Of several processes at once, one starts it.
func start(ctx context.Context, o ConnectOptions) (*Connection, error) {
	if err := private(o.Paths.State); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(o.Paths.State, "start.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Unavailable("folder_unusable", "the folder %s cannot be used", o.Paths.State).
			WithHint("check that it may be written, and that the disk has room; or go without a daemon").Because(err)
	}
	defer func() { _ = lock.Close() }()
	for deadline := time.Now().Add(o.Within); ; {
		if free, _ := files.TryLock(lock, false); free || time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // another one is starting it
	}
	if c, err := find(ctx, o); !errors.Is(err, errNone) {
		return c, err
	}
	if err := Spawn(o.Paths, o.Within); err != nil {
		return nil, err
	}
	return find(ctx, o)
}

// Spawn starts this program as a daemon that outlives it, and waits until it is ready.
func Spawn(p Paths, within time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	if err := private(p.State); err != nil {
		return err
	}
	log, err := os.OpenFile(p.Log(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fault.Unavailable("daemon_log_unusable", "the log %s cannot be written", p.Log()).
			WithHint("check that the disk has room").
			Because(err)
	}
	defer func() { _ = log.Close() }()
	ready, signal, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	defer func() { _ = ready.Close() }()
	cmd := exec.Command(program, "daemon", "run") //nolint:gosec,noctx // it is this program, and outlives it
	cmd.Args[0] = "stega"
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.ExtraFiles = []*os.File{signal}
	for _, e := range clean(os.Environ()) { // each request names its server and brings its token
		if name, _, _ := strings.Cut(e, "="); name != "STEGA_URL" && name != "STEGA_TOKEN" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, envReady+"=3")
	cmd.SysProcAttr = detached()
	err = cmd.Start()
	_ = signal.Close()
	if err != nil {
		return fault.Unavailable("daemon_not_started", "the daemon could not be started").Because(err)
	}
	pid := cmd.Process.Pid
	defer func() { go func() { _ = cmd.Wait() }() }()
	_ = ready.SetReadDeadline(time.Now().Add(within))
	line, err := bufio.NewReader(ready).ReadString('\n')
	if strings.HasPrefix(line, "ready") {
		return nil
	}
	var f fault.Fault
	if json.Unmarshal([]byte(line), &f) == nil && f.Code == "daemon_running" { // it was faster
		return nil
	} else if f.Code != "" {
		return &f
	}
	return fault.Unavailable("daemon_not_started", "the daemon, process %d, was not ready within %s", pid, within).
		WithHint("read its log with: stega daemon logs").Because(err)
}

// Ready notifies the process that started the daemon, and systemd, that it is ready or why it is not.
func Ready(getenv func(string) string, failed error) {
	if fd := getenv(envReady); fd == "3" {
		pipe := os.NewFile(3, envReady)
		if failed == nil {
			_, _ = pipe.WriteString("ready\n")
		} else if b, err := json.Marshal(fault.Of(failed)); err == nil {
			_, _ = pipe.Write(append(b, '\n'))
		}
		_ = pipe.Close()
	}
	if at := getenv("NOTIFY_SOCKET"); at != "" && failed == nil {
		if strings.HasPrefix(at, "@") {
			at = "\x00" + at[1:]
		}
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: at, Net: "unixgram"})
		if err == nil {
			_, _ = c.Write([]byte("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid())))
			_ = c.Close()
		}
	}
}
