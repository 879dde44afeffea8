package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
	"stega/internal/stegatest"
	"stega/internal/wait"
)

// process is the program as a daemon.
type process struct {
	t    testing.TB
	h    *home
	cmd  *exec.Cmd
	over chan struct{}
	mu   sync.Mutex
	said bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// environ is the environment of a user's programs.
func (h *home) environ(more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range h.env {
		env = append(env, name+"="+value)
	}
	return append(env, more...)
}

// launch starts the daemon of a user, and waits until it answers unless it ends before.
func (h *home) launch(program string, more ...string) *process {
	h.t.Helper()
	p := &process{t: h.t, h: h, over: make(chan struct{})}
	p.cmd = exec.Command(program, "daemon", "run")
	p.cmd.Env = h.environ(more...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(h.t, p.cmd.Start())
	go func() { _ = p.cmd.Wait(); close(p.over) }()
	h.t.Cleanup(p.kill)
	wait.Until(h.t, "the daemon is ready", func() bool {
		return strings.Contains(p.output(), "is ready at") || p.ended()
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.over
}

// suspend stops the process where it is, and returns when each of its threads stands still.
func (p *process) suspend() {
	threads := fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid)
	if _, err := os.Stat(threads); err != nil {
		wait.Skip(p.t, "%s is not there, which shows whether a process stands still", threads)
	}
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	wait.Until(p.t, "the daemon stands still", func() bool {
		found, err := filepath.Glob(threads + "/*/stat")
		require.NoError(p.t, err)
		for _, file := range found {
			text, err := os.ReadFile(file)
			_, state, _ := strings.Cut(string(text), ") ")
			if err != nil || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return len(found) > 0
	})
}

// connection reaches the daemon of a user, whichever that is.
func (h *home) connection(server string) *Connection {
	h.t.Helper()
	c, err := Connect(context.Background(), ConnectOptions{Paths: h.paths(), Server: server})
	require.NoError(h.t, err)
	h.t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// run runs a command of the program for a user.
func (h *home) run(program string, args ...string) (stdout, stderr string, status int) {
	h.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = h.environ()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		require.NoError(h.t, e)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

func TestTheSocketOfADeadDaemonIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	p := h.launch(program)
	p.kill()
	require.FileExists(t, h.socket())
	out, _, status := h.run(program, "doctor", "--url", "http://127.0.0.1:1")
	assert.Contains(t, out, "a daemon that was killed left it")
	assert.Equal(t, 69, status)
	p = h.launch(program)
	require.False(t, p.ended(), p.output())
	assert.Equal(t, p.cmd.Process.Pid, h.connection("").PID)
}

func TestASecondDaemonEndsAndHarmsNothing(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	first := h.launch(program)
	second := h.launch(program)
	require.True(t, second.ended())
	assert.Equal(t, fault.KindConflict.Exit(), second.cmd.ProcessState.ExitCode())
	assert.Contains(t, second.output(), fmt.Sprintf("process %d", first.cmd.Process.Pid))
	assert.Equal(t, first.cmd.Process.Pid, h.connection("").PID)
}

func TestADaemonThatHangsIsNamedAndPassedBy(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	p := h.launch(program)
	p.suspend()
	_, stderr, status := h.run(program, "portfolio", "list", "--url", "http://127.0.0.1:1", "--timeout", "1s")
	assert.Equal(t, fault.KindUnavailable.Exit(), status)
	assert.Contains(t, stderr, "does not answer, so this goes straight to the server")
	end := fmt.Sprintf("kill -9 %d", p.cmd.Process.Pid)
	assert.Contains(t, stderr, end)
	found, _, _ := h.run(program, "doctor", "--url", "http://127.0.0.1:1")
	assert.Contains(t, found, "read its log with: stega daemon logs; then end it: "+end)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
	assert.Equal(t, p.cmd.Process.Pid, h.connection("").PID, "no other took its place")
}

func TestTheSocketThatAnotherListensOnIsNeverRemoved(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	require.NoError(t, os.Mkdir(filepath.Dir(h.socket()), 0o700))
	l, err := net.Listen("unix", h.socket())
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	before, err := os.Lstat(h.socket())
	require.NoError(t, err)
	p := h.launch(stegatest.Binary(t))
	require.True(t, p.ended())
	assert.Contains(t, p.output(), "something listens at")
	after, err := os.Lstat(h.socket())
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
}

func TestTheSocketIsBoundAnewWhenItIsGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		harm func(t *testing.T, h *home)
		at   func(h *home) string
	}{
		{"after it was unlinked", func(t *testing.T, h *home) {
			require.NoError(t, os.Remove(h.socket()))
		}, (*home).socket},
		{"after its folder was removed", func(t *testing.T, h *home) {
			require.NoError(t, os.RemoveAll(filepath.Dir(h.socket())))
		}, (*home).socket},
		{
			"in the next place when XDG_RUNTIME_DIR went",
			func(t *testing.T, h *home) { require.NoError(t, os.RemoveAll(h.runtime)) },
			func(h *home) string { return filepath.Join(h.state, "stega", "daemon.sock") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			d := serveIn(t, h, "http://127.0.0.1:1")
			c.harm(t, h)
			wait.Until(t, "the daemon answers again", func() bool {
				again, err := Connect(context.Background(), ConnectOptions{Paths: h.paths()})
				if err != nil {
					return false
				}
				again.HTTP.CloseIdleConnections()
				return again.Socket == c.at(h)
			})
			o, held, err := Holder(h.paths())
			require.NoError(t, err)
			assert.True(t, held)
			assert.Equal(t, c.at(h), o.Socket)
			info, err := os.Lstat(o.Socket)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			folder, err := os.Stat(filepath.Dir(o.Socket))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o700), folder.Mode().Perm())
			d.end()
			assert.NoFileExists(t, c.at(h), "a daemon that ends removes its socket")
		})
	}
}

func TestADaemonWhoseFilesWereRemovedEnds(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	d := serveIn(t, h, "http://127.0.0.1:1")
	require.NoError(t, os.RemoveAll(h.state))
	err := <-d.done
	d.done <- nil
	assert.Equal(t, "daemon_state_lost", fault.Of(err).Code)
	assert.NoFileExists(t, h.socket())
	serveIn(t, h, "http://127.0.0.1:1")
}

func TestASocketThatAnotherTookMeanwhileIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	d := serveIn(t, h, "http://127.0.0.1:1")
	other, err := net.Listen("unix", h.socket()+".other")
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	require.NoError(t, os.Rename(h.socket()+".other", h.socket())) // at once, so that the daemon makes none between
	d.end()
	c, err := net.Dial("unix", h.socket())
	require.NoError(t, err, "the socket of the other is there")
	_ = c.Close()
}

func TestPermissionsArePutRightOrRefused(t *testing.T) {
	t.Parallel()
	t.Run("its own folder is closed to others", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		require.NoError(t, os.MkdirAll(filepath.Dir(h.socket()), 0o755))
		require.NoError(t, os.Chmod(filepath.Dir(h.socket()), 0o777))
		serveIn(t, h, "http://127.0.0.1:1")
		info, err := os.Stat(filepath.Dir(h.socket()))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	})
	t.Run("a folder that STEGA_SOCKET names must be closed already", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		open := filepath.Join(h.dir, "open")
		require.NoError(t, os.Mkdir(open, 0o755))
		h.env["STEGA_SOCKET"] = filepath.Join(open, "x.sock")
		err := Run(t.Context(), Options{Paths: h.paths(), Servers: servers{}}, func(string) {})
		assert.Equal(t, "folder_open", fault.Of(err).Code)
		assert.Equal(t, "say: chmod 700 "+open, fault.Of(err).Hint)
	})
	t.Run("a folder of another user is refused", func(t *testing.T) {
		t.Parallel()
		if os.Getuid() != 0 {
			wait.Skip(t, "only root can make a folder of another user")
		}
		h := newHome(t)
		require.NoError(t, os.MkdirAll(filepath.Dir(h.socket()), 0o700))
		require.NoError(t, os.Chown(filepath.Dir(h.socket()), 65534, 65534))
		err := Run(t.Context(), Options{Paths: h.paths(), Servers: servers{}}, func(string) {})
		assert.Equal(t, "folder_foreign", fault.Of(err).Code)
	})
	t.Run("what is no socket is not removed", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		require.NoError(t, os.MkdirAll(filepath.Dir(h.socket()), 0o700))
		require.NoError(t, os.WriteFile(h.socket(), []byte("precious"), 0o600))
		err := Run(t.Context(), Options{Paths: h.paths(), Servers: servers{}}, func(string) {})
		assert.Equal(t, "socket_path_taken", fault.Of(err).Code)
		assert.FileExists(t, h.socket())
	})
}

func TestAPathThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env["STEGA_SOCKET"] = "/" + strings.Repeat("x", maxSocketPath)
	_, err := Locate(h.getenv)
	assert.Equal(t, "socket_path_too_long", fault.Of(err).Code)
	h.env["STEGA_SOCKET"] = "/" + strings.Repeat("x", maxSocketPath-1)
	_, err = Locate(h.getenv)
	assert.NoError(t, err)
	h.env["STEGA_SOCKET"] = "relative.sock"
	_, err = Locate(h.getenv)
	assert.Equal(t, "socket_path_relative", fault.Of(err).Code)

	delete(h.env, "STEGA_SOCKET")
	h.env["XDG_RUNTIME_DIR"] = filepath.Join(h.dir, strings.Repeat("y", 100))
	require.NoError(t, os.Mkdir(h.env["XDG_RUNTIME_DIR"], 0o700))
	p, err := Locate(h.getenv)
	require.NoError(t, err)
	assert.Equal(t, "state folder", p.Socket().From, "the next place is used")
	_, stderr, status := (&home{
		t:   t,
		env: map[string]string{"HOME": h.dir, "STEGA_SOCKET": "/" + strings.Repeat("x", 200)},
	}).run(
		stegatest.Binary(t), "daemon", "run",
	)
	assert.Equal(t, fault.KindUsage.Exit(), status)
	assert.Contains(t, stderr, "201 bytes")
}

// dialAsAnother is what a helper process of another user does: it talks to the socket, and says how far it came.
func dialAsAnother(path string) {
	c, err := net.Dial("unix", path)
	if err != nil {
		fmt.Println("no connection:", err)
		return
	}
	_, _ = io.WriteString(c, "GET /daemon/version HTTP/1.0\r\n\r\n")
	b, _ := io.ReadAll(c)
	fmt.Printf("uid %d was told %q\n", os.Getuid(), b)
}

func TestAnotherUserIsNotAnswered(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		wait.Skip(t, "only root can run a helper as another user")
	}
	h := newHome(t)
	d := serveIn(t, h, "http://127.0.0.1:1")
	self, err := os.Executable()
	require.NoError(t, err)
	helper := filepath.Join(h.dir, "helper")
	program, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(helper, program, 0o755))
	as := func(uid uint32) string {
		cmd := exec.Command(helper)
		cmd.Env = []string{"STEGA_TEST_DIAL=" + h.socket()}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.NoError(t, os.Chmod(h.dir, 0o755))
	assert.Contains(t, as(65534), "no connection", "the folder keeps him out")
	for _, open := range []string{h.runtime, filepath.Dir(h.socket())} {
		require.NoError(t, os.Chmod(open, 0o755))
	}
	require.NoError(t, os.Chmod(h.socket(), 0o666))
	assert.Contains(t, as(65534), `uid 65534 was told ""`, "the credentials of the peer keep him out")
	assert.Contains(t, as(0), "200 OK")
	assert.Equal(t, int64(1), d.status().Refused)
	findings := Examine(t.Context(), Patient{Paths: h.paths(), Server: Server{URL: "http://127.0.0.1:1"}, Fix: true})
	for _, f := range findings {
		if f.Name == "socket "+h.socket() || f.Name == "socket folder" && strings.Contains(f.Detail, h.runtime) {
			assert.True(t, f.Fixed, "%+v", f)
		}
	}
	assert.Contains(t, as(65534), "no connection", "the doctor closed the folder")
}

func TestSystemdsSocketIsListenedOn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	at := filepath.Join(h.dir, "activated.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	require.NoError(t, err)
	_ = l.Close()
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" daemon run", stegatest.Binary(t))
	cmd.Env, cmd.ExtraFiles = h.environ("STEGA_SOCKET="+at), []*os.File{file}
	require.NoError(t, os.Chmod(h.dir, 0o700))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_ = file.Close()
	h.env["STEGA_SOCKET"] = at
	c := h.connection("") // the connection waits in the kernel until the daemon is there
	assert.Equal(t, cmd.Process.Pid, c.PID)
	assert.Equal(t, at, c.Socket)
}

func TestSystemdIsToldWhenItIsReady(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	at := filepath.Join(h.dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	p := h.launch(stegatest.Binary(t), "NOTIFY_SOCKET="+at)
	require.NoError(t, l.SetReadDeadline(time.Now().Add(wait.Patience)))
	b := make([]byte, 100)
	n, err := l.Read(b)
	require.NoError(t, err)
	assert.Contains(t, string(b[:n]), fmt.Sprintf("READY=1\nMAINPID=%d", p.cmd.Process.Pid))
}
