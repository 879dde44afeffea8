package stegatest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds the program once in the process, and is where it is. The folder goes with RemoveBinary.
func Binary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("this test builds and runs the program")
	}
	built.once.Do(func() {
		root, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			built.err = err
			return
		}
		dir, err := os.MkdirTemp("", "stega-test-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "stega")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", built.path, ".")
		build.Dir = strings.TrimSpace(string(root))
		if out, err := build.CombinedOutput(); err != nil {
			t.Logf("%s", out)
			built.err = err
		}
	})
	require.NoError(t, built.err)
	return built.path
}

// RemoveBinary removes what Binary built.
func RemoveBinary() {
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
}

// Program is the built program, running.
type Program struct {
	URL string // where it listens

	t    testing.TB
	args []string
	keep string // the file of the boundary's token
	cmd  *exec.Cmd
	over chan struct{}
	said *output
}

// output keeps what a program says.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(b)
}

// Said is what the program said so far, both outputs together.
func (p *Program) Said() string {
	p.said.mu.Lock()
	defer p.said.mu.Unlock()
	return p.said.all.String()
}

// Launch starts the program with more environment, and returns when it says that it is ready; false means that it
// ended before.
func Launch(t testing.TB, env []string, args ...string) (*Program, bool) {
	t.Helper()
	p := &Program{t: t, args: args, keep: tokenFile(t), over: make(chan struct{}), said: &output{}}
	p.cmd = exec.Command(Binary(t), args...) // ended by Kill or Stop
	p.cmd.Env = append(append(os.Environ(), "STEGA_TOKEN_FILE="+p.keep, "STEGA_SERVICE_TOKEN="+Secret), env...)
	p.cmd.Env = slices.DeleteFunc(p.cmd.Env,
		func(s string) bool { return args[0] != "serve" && s == "STEGA_TOKEN_FILE="+p.keep })
	p.cmd.Stdout = p.said
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	ready := make(chan string, 1)
	go func() {
		defer close(p.over)
		lines := bufio.NewReader(io.TeeReader(stderr, p.said))
		for {
			line, err := lines.ReadString('\n')
			_, rest, ok := strings.Cut(line, "stega is ready on ")
			if !ok {
				_, rest, ok = strings.Cut(line, "the daemon is ready at ")
			}
			if ok {
				ready <- strings.TrimRight(strings.Fields(rest)[0], ",:")
			}
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.Kill)
	select {
	case p.URL = <-ready:
		return p, true
	case <-p.over:
		return p, false
	case <-time.After(Patience):
		t.Fatalf("the program does not get ready:\n%s", p.Said())
		return nil, false
	}
}

// tokenFile is where the boundaries that a test launches keep their token.
func tokenFile(t testing.TB) string {
	t.Helper()
	dir, made := tokenFiles.LoadOrStore(t.Name(), t.TempDir())
	if !made {
		t.Cleanup(func() { tokenFiles.Delete(t.Name()) })
	}
	return filepath.Join(dir.(string), "token")
}

var tokenFiles sync.Map // by the names of tests

// Token is an admin token of the program: of its data folder, of the boundary's file, or the secret where the
// boundary does not run.
func (p *Program) Token() string {
	p.t.Helper()
	file := p.keep
	for i, a := range p.args {
		if a == "--data" {
			file = filepath.Join(p.args[i+1], "token")
		}
		services, ok := strings.CutPrefix(a, "--service=")
		if ok && services != "all" && !strings.Contains(services, "boundary") {
			return Secret
		}
	}
	if data := env(p.cmd.Env, "STEGA_DATA"); p.args[0] == "up" && file == p.keep && data != "" {
		file = filepath.Join(data, "token")
	}
	b, err := os.ReadFile(file)
	require.NoError(p.t, err)
	return strings.TrimSpace(string(b))
}

// env is a variable of an environment, in which the last one counts.
func env(all []string, name string) (value string) {
	for _, e := range all {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// Kill ends the program at once, as kill -9 does.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.over
}

// Stop asks the program to end, and returns its exit status.
func (p *Program) Stop() int {
	p.t.Helper()
	p.Signal(os.Interrupt)
	return p.Ended()
}

// Signal sends the program a signal.
func (p *Program) Signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// Server is the program as one that tests talk to.
func (p *Program) Server() *Server { return At(p.t, p.URL, p.Token()) }

// Ended waits until the program has ended, and returns its exit status; -1 when a signal killed it.
func (p *Program) Ended() int {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(Patience):
		p.t.Fatalf("the program does not end:\n%s", p.Said())
	}
	return p.cmd.ProcessState.ExitCode()
}
