package early

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listen answers each connection to a socket by do, and makes it the one that is asked.
func listen(t *testing.T, do func(c net.Conn, request string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "early") // shorter than the test's own, for a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv("STEGA_SOCKET", path)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				_ = c.Close()
				continue
			}
			body, _ := io.ReadAll(r.Body)
			do(c, r.Header.Get("Stega-Executable")+"|"+string(body))
			_ = c.Close()
		}
	}()
}

// streams runs something with files in the place of the standard streams, and returns what they have then.
func streams(t *testing.T, do func()) (stdout, stderr string) {
	t.Helper()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	out, err := file("out"), file("err")
	was, other := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = out, err
	do()
	os.Stdout, os.Stderr = was, other
	a, _ := os.ReadFile(out.Name())
	b, _ := os.ReadFile(err.Name())
	return string(a), string(b)
}

func TestTheDaemonAnswers(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	t.Setenv("UNRELATED", "x")
	asked := make(chan string, 1)
	long := strings.Repeat("line\n", 50_000)
	listen(t, func(c net.Conn, request string) {
		asked <- request
		_, _ = fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
		_, _ = fmt.Fprintf(c, "66 %d %d\n%s", len("sad"), len(long), "sad")
		_, _ = io.WriteString(c, long)
	})
	var status int
	var ok bool
	stdout, stderr := streams(t, func() { status, ok = run([]string{"portfolio", "list", "two\nlines", ""}) })
	if !ok || status != 66 || stdout != long || stderr != "sad" {
		t.Errorf("status %d, answered %t, %d bytes, %q", status, ok, len(stdout), stderr)
	}
	request := <-asked
	if !strings.Contains(request, "|4\x00portfolio\x00list\x00two\nlines\x00\x00") || !strings.Contains(request, "\x00NO_COLOR=1\x00") || strings.Contains(request, "UNRELATED") {
		t.Errorf("asked %q", request)
	}
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x-%x|", info.Size(), info.ModTime().UnixNano()); !strings.HasPrefix(request, want) {
		t.Errorf("the build is not %s in %q", want, request[:40])
	}
}

// Whatever is not a whole answer leaves the command to the program, and nothing is written.
func TestTheProgramRunsWhatTheDaemonDoesNot(t *testing.T) {
	const head = "HTTP/1.0 200 OK\r\n\r\n"
	for name, answer := range map[string]string{
		"declined": "HTTP/1.0 409 Conflict\r\n\r\n1 0 2\nhi", "nothing": "", "cut head": "HTTP/1.0 200 OK\r\nA: b", "no body": head,
		"cut body": head + "0 0 9\nhi", "too much": head + "0 0 1\nhi", "no numbers": head + "hello world", "two numbers": head + "0 2\nhi", "not HTTP": "SSH-2.0-x 200\r\n\r\n0 0 2\nhi",
	} {
		t.Run(name, func(t *testing.T) {
			listen(t, func(c net.Conn, _ string) { _, _ = io.WriteString(c, answer) })
			var ok bool
			stdout, stderr := streams(t, func() { _, ok = run([]string{"symbols"}) })
			if ok || stdout+stderr != "" {
				t.Errorf("answered %t with %q and %q", ok, stdout, stderr)
			}
		})
	}
}

// A daemon that hangs keeps nobody waiting: the program goes on without it.
func TestADaemonThatHangsIsNotWaitedFor(t *testing.T) {
	was := patience
	patience.Sec, patience.Usec = 0, 50_000
	defer func() { patience = was }()
	release := make(chan struct{})
	defer close(release)
	listen(t, func(net.Conn, string) { <-release })
	if _, ok := run([]string{"symbols"}); ok {
		t.Error("it answered")
	}
}

// What takes long to run is waited for once the daemon has said that it runs it.
func TestACommandMayTakeLong(t *testing.T) {
	was := patience
	patience.Sec, patience.Usec = 0, 50_000
	defer func() { patience = was }()
	listen(t, func(c net.Conn, _ string) {
		_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
		time.Sleep(200 * time.Millisecond) // longer than it waits for the head
		_, _ = io.WriteString(c, "0 0 2\nhi")
	})
	var ok bool
	if stdout, _ := streams(t, func() { _, ok = run([]string{"symbols"}) }); !ok || stdout != "hi" {
		t.Errorf("answered %t with %q", ok, stdout)
	}
}

func TestOnlyASocketIsAsked(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), os.Args[0], t.TempDir(), strings.Repeat("/long", 60), "relative"} {
		t.Setenv("STEGA_SOCKET", path)
		if _, ok := run([]string{"symbols"}); ok {
			t.Errorf("%s answered", path)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, n := range []int{0, 9, 10, 80, 1234567890} {
		if got := string(digits(nil, n)); got != strconv.Itoa(n) {
			t.Errorf("%d is %s", n, got)
		}
		if got := string(hex(nil, uint64(n))); got != fmt.Sprintf("%x", n) {
			t.Errorf("%x is %s", n, got)
		}
	}
}
