package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"stega/fault"
)

// Command is a command line that somebody typed and the daemon runs in place of the program, which would have to begin first (package early).
type Command struct {
	Args    []string          // without the program
	Env     map[string]string // what of the environment a command may depend on
	Columns int               // of the terminal that the standard output is; 0: it is none
	HTTP    http.RoundTripper // to the daemon itself; requests say which server they are for, as those of a Connection
}

// Outcome is what came of a command.
type Outcome struct {
	Status         int
	Stdout, Stderr []byte
}

// Commands runs a command. begin is called once it is certain that it will be run; when it never is, the program has to run it.
type Commands func(ctx context.Context, c Command, begin func()) Outcome

// maxCommandLine bounds a command line and its environment.
const maxCommandLine = 1 << 20

// command runs a command line, when the program that asks is this very build.
func (d *Daemon) command(w http.ResponseWriter, r *http.Request) error {
	other := fault.Conflict("command_declined", "the daemon leaves this command to the program")
	if d.o.Commands == nil || !strings.HasSuffix(d.o.Build.ID, "-"+r.Header.Get("Stega-Executable")) {
		return other
	}
	c, err := readCommand(r)
	if err != nil {
		return err
	}
	if c.Env["TZ"] != os.Getenv("TZ") { // times are shown in the zone of the process
		return other
	}
	c.HTTP = inside{d.http.Handler}
	begun := false
	out := d.o.Commands(r.Context(), c, func() {
		begun = true
		d.commands.Add(1)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
	})
	if !begun {
		return other
	}
	_, _ = fmt.Fprintf(w, "%d %d %d\n%s", out.Status, len(out.Stderr), len(out.Stdout), out.Stderr)
	_, _ = w.Write(out.Stdout)
	return nil
}

// readCommand reads what package early writes.
func readCommand(r *http.Request) (c Command, err error) {
	malformed := fault.Malformed("command_malformed", "a command line is the number of its arguments, they, and NAME=value, each ended by a zero byte")
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxCommandLine))
	if err != nil {
		return c, malformed.Because(err)
	}
	c.Columns, _ = strconv.Atoi(r.Header.Get("Stega-Columns"))
	parts := strings.Split(strings.TrimSuffix(string(body), "\x00"), "\x00")
	n, err := strconv.Atoi(parts[0])
	if err != nil || n < 0 || n > len(parts)-1 {
		return c, malformed
	}
	c.Args, c.Env = parts[1:1+n], map[string]string{}
	for _, e := range parts[1+n:] {
		name, value, _ := strings.Cut(e, "=")
		c.Env[name] = value
	}
	return c, nil
}

// inside sends requests to a handler of this process.
type inside struct{ to http.Handler }

func (i inside) RoundTrip(r *http.Request) (a *http.Response, err error) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler { //nolint:errorlint // it is compared as the server does
			a, err = nil, io.ErrUnexpectedEOF
		} else if v != nil {
			panic(v)
		}
	}()
	w := &recorded{header: http.Header{}, status: http.StatusOK}
	in := r.Clone(r.Context()) // as a server reads it
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	i.to.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// recorded is an answer as a handler writes it.
type recorded struct {
	header  http.Header
	status  int
	written bool
	body    bytes.Buffer
}

func (w *recorded) Header() http.Header { return w.header }

func (w *recorded) WriteHeader(status int) {
	if !w.written {
		w.status, w.written = status, true
	}
}

func (w *recorded) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
