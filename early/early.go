// Package early has the daemon answer a command before this program has begun.
//
// The program is large: what its packages do when they are initialised takes some 35 ms, many times what a read from the daemon's cache does. The
// daemon is the same program, initialised long ago. So this package, when it is imported and the command is one of those that the daemon knows, hands
// the command line to it, writes what it answers, and exits. In every other case, and when anything is in the way (no daemon, one that is another
// build, a command that it leaves alone), it does nothing, and the program begins as it always does.
//
// It can do so because Go initialises packages in the order of their import paths as far as dependencies allow (language specification, "Program
// initialization"): the path of this module comes before all others, and the package imports nothing but os and syscall, which nothing precedes
// that is slow. This is also why it reads and writes the few bytes of HTTP by itself.
package early

import (
	"os"
	"syscall"
)

// Path is where the daemon takes command lines.
const Path = "/daemon/command"

func init() {
	if len(os.Args) < 2 || !Takes(os.Args[1]) || os.Getenv("STEGA_DAEMON") == "off" {
		return
	}
	if os.Getenv("COBRA_COMPLETION_DESCRIPTIONS") != "" || os.Getenv("STEGA_COMPLETION_DESCRIPTIONS") != "" { // cobra asks its own process for them
		return
	}
	if status, ok := run(os.Args[1:]); ok {
		os.Exit(status)
	}
}

// Takes reports whether the daemon may know a command, by its first word.
func Takes(word string) bool {
	switch word {
	case "portfolio", "portfolios", "prices", "symbols", "returns", "correlations", "op", "operation", "operations", "optimize", "__complete", "__completeNoDesc":
		return true
	}
	return false
}

// Settings reports whether a command may depend on an environment variable, so that it has to be told to the daemon.
func Settings(name string) bool {
	switch name {
	case "HOME", "NO_COLOR", "TERM", "COLUMNS", "LANG", "LC_ALL", "LC_CTYPE", "TZ":
		return true
	}
	return begins(name, "STEGA_") || begins(name, "XDG_")
}

// Sockets are where the daemon may listen, the best first, as the environment says.
func Sockets(getenv func(string) string) []string {
	if v := getenv("STEGA_SOCKET"); v != "" {
		if v[0] != '/' {
			return nil
		}
		return []string{v}
	}
	var paths []string
	if v := getenv("XDG_RUNTIME_DIR"); v != "" {
		paths = append(paths, v+"/stega/daemon.sock")
	}
	if v := getenv("XDG_STATE_HOME"); v != "" {
		paths = append(paths, v+"/stega/daemon.sock")
	} else if v := getenv("HOME"); v != "" {
		paths = append(paths, v+"/.local/state/stega/daemon.sock")
	}
	return paths
}

// unwritten is the exit status when the output cannot be written, as to a full disk: what the program ends with then.
const unwritten = 70

// run has a command line run by the daemon, and writes what came of it; false: it did not, and nothing was written.
func run(args []string) (status int, ok bool) {
	request := request(args)
	for _, path := range Sockets(os.Getenv) {
		fd, err := dial(path)
		if err != nil {
			continue
		}
		a, ok := ask(fd, request)
		_ = syscall.Close(fd)
		if !ok {
			return 0, false
		}
		_, _ = os.Stderr.Write(a.stderr)
		if _, err := os.Stdout.Write(a.stdout); err != nil && a.status == 0 {
			_, _ = os.Stderr.WriteString("stega: " + err.Error() + "\n")
			a.status = unwritten
		}
		return a.status, true
	}
	return 0, false
}

// request is the command line and what it depends on, as an HTTP request: the number of arguments, the arguments and the variables, each ended by a zero.
func request(args []string) []byte {
	body := append(digits(nil, len(args)), 0)
	for _, a := range args {
		body = append(append(body, a...), 0)
	}
	for _, e := range os.Environ() {
		for i := range len(e) {
			if e[i] == '=' {
				if Settings(e[:i]) {
					body = append(append(body, e...), 0)
				}
				break
			}
		}
	}
	head := []byte("POST " + Path + " HTTP/1.0\r\nHost: daemon\r\nStega-Executable: " + executable() + "\r\nStega-Columns: ")
	head = append(digits(head, columns(1)), "\r\nContent-Length: "...)
	head = append(digits(head, len(body)), "\r\n\r\n"...)
	return append(head, body...)
}

// executable tells this build from others, as the end of the daemon's Build.ID does.
func executable() string {
	var s syscall.Stat_t
	if syscall.Stat("/proc/self/exe", &s) != nil {
		return "unknown"
	}
	return string(hex(append(hex(nil, uint64(s.Size)), '-'), uint64(s.Mtim.Nano())))
}

// patience is how long the daemon may take to say that it runs a command; how long the command takes is its own matter.
var patience = syscall.Timeval{Sec: 2}

// dial connects to a socket of this user.
func dial(path string) (fd int, err error) {
	var s syscall.Stat_t
	if err := syscall.Lstat(path, &s); err != nil {
		return -1, err
	}
	if int(s.Uid) != os.Getuid() || s.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return -1, syscall.EPERM
	}
	fd, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	_ = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &patience)
	_ = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience)
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

type answer struct {
	status         int
	stdout, stderr []byte
}

// ask sends a request and reads the answer, which is either whole or none.
func ask(fd int, request []byte) (a answer, ok bool) {
	for len(request) > 0 {
		n, err := syscall.Write(fd, request)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return a, false
		}
		request = request[n:]
	}
	var text []byte
	buf := make([]byte, 8<<10) // what is small is read at once, and no page more is touched
	for head := -1; ; {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return a, false
		}
		if n == 0 {
			if head < 0 {
				return a, false
			}
			return parse(text[head:])
		}
		text = append(text, buf[:n]...)
		if head >= 0 {
			continue
		}
		if head = after(text, "\r\n\r\n"); head >= 0 {
			if len(text) < 12 || string(text[:7]) != "HTTP/1." || string(text[8:12]) != " 200" {
				return a, false
			}
			_ = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{})
		}
	}
}

// parse reads "status length-of-stderr length-of-stdout\n", and then the two.
func parse(body []byte) (a answer, ok bool) {
	var n [3]int
	i := 0
	for field := 0; ; i++ {
		switch {
		case i == len(body):
			return a, false
		case body[i] >= '0' && body[i] <= '9':
			n[field] = n[field]*10 + int(body[i]-'0')
			continue
		case body[i] == ' ' && field < 2:
			field++
			continue
		case body[i] != '\n' || field != 2:
			return a, false
		}
		break
	}
	body = body[i+1:]
	if len(body) != n[1]+n[2] {
		return a, false
	}
	return answer{status: n[0], stderr: body[:n[1]], stdout: body[n[1]:]}, true
}

func begins(text, with string) bool { return len(text) >= len(with) && text[:len(with)] == with }

// after is where the text goes on after a mark; -1 when it is not there.
func after(text []byte, mark string) int {
	for i := len(mark); i <= len(text); i++ {
		if string(text[i-len(mark):i]) == mark {
			return i
		}
	}
	return -1
}

func digits(b []byte, n int) []byte {
	if n >= 10 {
		b = digits(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func hex(b []byte, n uint64) []byte {
	if n >= 16 {
		b = hex(b, n/16)
	}
	return append(b, "0123456789abcdef"[n%16])
}
