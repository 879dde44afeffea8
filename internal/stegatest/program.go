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

// Binary builds the program once in the process, and returns its path. RemoveBinary removes it.
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

// RemoveBinary removes the output of Binary.
func RemoveBinary() {
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
}

// Program is a running process of the built program.
type Program struct {
	URL string // its address

	t         testing.TB
	args      []string
	tokenPath string // file of the boundary's token
	cmd       *exec.Cmd
	ended     chan struct{}
	out       *output
}

// output records the output of a program.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(b)
}

// Output returns the output so far, stdout and stderr together.
func (p *Program) Output() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.all.String()
}

// PID returns the id of the process.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Launch starts the program with more environment variables, and returns when it is ready; false if it ended before.
func Launch(t testing.TB, env []string, args ...string) (*Program, bool) {
	t.Helper()
	p := &Program{t: t, args: args, tokenPath: tokenFile(t), ended: make(chan struct{}), out: &output{}}
	p.cmd = exec.Command(Binary(t), args...) // ended by Kill or Stop
	p.cmd.Env = append(append(os.Environ(), "STEGA_TOKEN_FILE="+p.tokenPath, "STEGA_SERVICE_TOKEN="+Secret), env...)
	p.cmd.Env = slices.DeleteFunc(p.cmd.Env,
		func(s string) bool { return args[0] != "serve" && s == "STEGA_TOKEN_FILE="+p.tokenPath })
	p.cmd.Stdout = p.out
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(io.TeeReader(stderr, p.out))
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
	case <-p.ended:
		return p, false
	case <-time.After(Patience):
		t.Fatalf("the program is not ready in time:\n%s", p.Output())
		return nil, false
	}
}

// tokenFile returns the token file of the boundaries that a test launches.
func tokenFile(t testing.TB) string {
	t.Helper()
	dir, made := tokenFiles.LoadOrStore(t.Name(), t.TempDir())
	if !made {
		t.Cleanup(func() { tokenFiles.Delete(t.Name()) })
	}
	return filepath.Join(dir.(string), "token")
}

var tokenFiles sync.Map // by test name

// Token returns an admin token of the program: that of its data folder or of the boundary's file, or the secret
// without the boundary.
func (p *Program) Token() string {
	p.t.Helper()
	file := p.tokenPath
	for i, a := range p.args {
		if a == "--data" {
			file = filepath.Join(p.args[i+1], "token")
		}
		services, ok := strings.CutPrefix(a, "--service=")
		if ok && services != "all" && !strings.Contains(services, "boundary") {
			return Secret
		}
	}
	if data := env(p.cmd.Env, "STEGA_DATA"); p.args[0] == "up" && file == p.tokenPath && data != "" {
		file = filepath.Join(data, "token")
	}
	b, err := os.ReadFile(file)
	require.NoError(p.t, err)
	return strings.TrimSpace(string(b))
}

// env returns a variable of an environment; the last one counts.
func env(all []string, name string) (value string) {
	for _, e := range all {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// Kill ends the program at once, like kill -9.
func (p *Program) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop interrupts the program, and returns its exit status.
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

// Server returns the program as a server for requests.
func (p *Program) Server() *Server { return At(p.t, p.URL, p.Token()) }

// Ended waits until the program has ended, and returns its exit status; −1 when a signal killed it.
func (p *Program) Ended() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.t.Fatalf("the program does not end in time:\n%s", p.Output())
	}
	return p.cmd.ProcessState.ExitCode()
}
