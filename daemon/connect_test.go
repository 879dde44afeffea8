package daemon

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/internal/wait"
)

// newer is another build of the program: a copy that was made later.
func newer(t testing.TB, h *home, name string, later time.Duration) string {
	t.Helper()
	b, err := os.ReadFile(stegatest.Binary(t))
	require.NoError(t, err)
	path := filepath.Join(h.dir, name)
	require.NoError(t, os.WriteFile(path, b, 0o700))
	at := time.Now().Add(later)
	require.NoError(t, os.Chtimes(path, at, at))
	return path
}

// endDaemon ends whatever daemon a user has when the test does.
func endDaemon(t testing.TB, h *home) {
	t.Cleanup(func() {
		if o, held, _ := Holder(h.paths()); held && o.PID > 1 {
			_ = syscall.Kill(o.PID, syscall.SIGKILL)
			wait.Until(t, "the daemon ends", func() bool { _, held, _ := Holder(h.paths()); return !held })
		}
	})
}

func TestCommandsStartTheDaemon(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	endDaemon(t, h)
	program := stegatest.Binary(t)
	_, stderr, status := h.run(program, "daemon", "status")
	assert.Equal(t, 69, status)
	assert.Contains(t, stderr, "no daemon is running")

	var together sync.WaitGroup
	for range 5 { // and of several that want one, one starts it
		together.Go(func() {
			_, stderr, status := h.run(program, "queue", "list")
			assert.Zero(t, status, stderr)
		})
	}
	together.Wait()
	out, _, status := h.run(program, "daemon", "status")
	assert.Zero(t, status)
	o, held, err := Holder(h.paths())
	require.NoError(t, err)
	require.True(t, held)
	assert.Contains(t, out, fmt.Sprintf("process %d,", o.PID))

	out, _, status = h.run(program, "daemon", "logs")
	assert.Zero(t, status)
	assert.Equal(t, 1, strings.Count(out, "the daemon is ready"), out)
	_, stderr, status = h.run(program, "daemon", "start")
	assert.Zero(t, status)
	assert.Contains(t, stderr, "runs already")
	_, stderr, status = h.run(program, "daemon", "restart")
	assert.Zero(t, status, stderr)
	_, stderr, status = h.run(program, "daemon", "stop")
	assert.Zero(t, status, stderr)
	assert.NoFileExists(t, h.socket())
}

func TestWhyADaemonDoesNotStartIsSaid(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	require.NoError(t, os.MkdirAll(filepath.Dir(h.socket()), 0o700))
	require.NoError(t, os.WriteFile(h.socket(), nil, 0o600))
	_, stderr, status := h.run(stegatest.Binary(t), "daemon", "start")
	assert.Equal(t, 73, status)
	assert.Contains(t, stderr, "is not a socket")
	assert.Contains(t, stderr, "hint: move it away")
}

func TestAnOlderDaemonIsReplacedWithItsQueue(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	endDaemon(t, h)
	old := newer(t, h, "old", -time.Hour)
	next := newer(t, h, "next", time.Hour)
	addr := free(t)
	p := h.launch(old)
	c := h.connection("http://" + addr)
	for i := range 5 {
		ask(t, c, "POST", "/v1/portfolios", fmt.Sprintf(core, fmt.Sprintf("p%d", i)))
	}
	out, stderr, status := h.run(next, "queue", "list", "-o", "json")
	require.Zero(t, status, stderr)
	assert.Len(t, decoded[[]Item](t, out), 5, "nothing of the queue is lost")
	now := h.connection("http://" + addr)
	assert.NotEqual(t, c.ID, now.ID)
	<-p.over
	assert.Zero(t, p.cmd.ProcessState.ExitCode(), "the older daemon has ended by itself")

	out, stderr, status = h.run(old, "queue", "list", "-o", "json")
	require.Zero(t, status)
	assert.Len(t, decoded[[]Item](t, out), 5)
	assert.Equal(t, 1, strings.Count(stderr, "newer than this stega"), stderr)
	assert.Equal(t, now.ID, h.connection("").ID, "an older program replaces nothing")

	server(t, h, addr)
	wait.Until(t, "the queue is empty", func() bool { return len(queueOf(t, now)) == 0 })
}

func TestADaemonFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	b.refuse = func(*http.Request, string) (int, any) {
		close(entered)
		b.mu.Unlock()
		<-leave
		b.mu.Lock()
		return 0, nil
	}
	h := newHome(t)
	d := serveIn(t, h, b.url(), func(o *Options) { o.Drain = wait.Patience })
	answered := make(chan replied, 1)
	go func() { answered <- d.do("POST", "/v1/portfolios", "{}") }()
	<-entered
	require.NoError(t, d.c.Ask(t.Context(), "POST", "/daemon/stop", nil))
	close(leave)
	assert.Equal(t, 200, (<-answered).status)
	require.NoError(t, <-d.done)
	d.done <- nil
}

func TestWhichBuildIsNewer(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name  string
		a, b  Build
		newer bool
	}{
		{"a later version", Build{"v1.1.0", "a", now}, Build{"v1.0.0", "b", now.Add(time.Hour)}, true},
		{"an earlier version that was built later", Build{"v1.0.0", "a", now.Add(time.Hour)}, Build{"v1.1.0", "b", now},
			false},
		{"a later build of one version", Build{"devel", "a", now.Add(time.Second)}, Build{"devel", "b", now}, true},
		{"the same build", Build{"devel", "a", now.Add(time.Second)}, Build{"devel", "a", now}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.newer, c.a.Newer(c.b))
		})
	}
}

func TestTheLogRotates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "daemon.log")
	l, err := OpenLog(path)
	require.NoError(t, err)
	l.most = 100
	for i := range 50 {
		_, err := fmt.Fprintf(l, "line %d is here\n", i)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.Len(t, files, 3)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(100))
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(b), "line 49")
}

func TestTheUnitIsInstalledAndRemoved(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	_, stderr, status := h.run(program, "daemon", "install")
	require.Zero(t, status, stderr)
	b, err := os.ReadFile(filepath.Join(h.dir, "c", "systemd", "user", UnitName))
	require.NoError(t, err)
	assert.Contains(t, string(b), "ExecStart="+program+" daemon run\n")
	assert.Contains(t, string(b), "Restart=on-failure")
	assert.Contains(t, stderr, "start it yourself: stega daemon start")
	_, _, status = h.run(program, "daemon", "uninstall")
	assert.Zero(t, status)
	assert.NoFileExists(t, filepath.Join(h.dir, "c", "systemd", "user", UnitName))
	assert.Contains(t, Unit("/opt/my tools/50%/stega"), `ExecStart="/opt/my tools/50%%/stega" daemon run`)
}

// Whoever starts a daemon with a context that ends still leaves it running: the daemon is nobody's child.
func TestTheDaemonOutlivesWhoStartedIt(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	endDaemon(t, h)
	_, stderr, status := h.run(stegatest.Binary(t), "daemon", "start")
	require.Zero(t, status, stderr)
	o, held, err := Holder(h.paths())
	require.NoError(t, err)
	require.True(t, held)
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(o.PID), 0, 0)
	require.Zero(t, errno)
	assert.Equal(t, o.PID, int(sid), "it leads a session of its own")
	h.connection("")
}
