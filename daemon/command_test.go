package daemon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"a.stega/early"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commandLine is what package early sends.
func commandLine(args []string, env ...string) string {
	return strconv.Itoa(len(args)) + "\x00" + strings.Join(append(args, env...), "\x00") + "\x00"
}

// The daemon runs commands of its own build, with what is around whoever typed them; everything else it leaves to the program.
func TestACommandIsRunInTheDaemon(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items":[]}`)) }))
	defer server.Close()
	d := serveIn(t, newHome(t), server.URL, func(o *Options) {
		o.Build.ID = "devel-1f-2e"
		o.Commands = func(ctx context.Context, c Command, begin func()) Outcome {
			if c.Args[0] == "leave" {
				return Outcome{Stdout: []byte("lost")}
			}
			begin()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://any/v1/portfolios", nil)
			require.NoError(t, err)
			r.Header.Set("Stega-Server", server.URL)
			a, err := c.HTTP.RoundTrip(r)
			require.NoError(t, err)
			defer func() { _ = a.Body.Close() }()
			b, err := io.ReadAll(a.Body)
			require.NoError(t, err)
			return Outcome{Status: 66, Stdout: b, Stderr: []byte(strings.Join(c.Args, "|") + c.Env["TERM"] + strconv.Itoa(c.Columns))}
		}
	})
	line := commandLine([]string{"symbols", "", "x\ny"}, "TERM=dumb", "EMPTY=")
	for name, want := range map[string]struct {
		build, body string
		status      int
		says        string
	}{
		"run":                {"1f-2e", line, 200, "66 19 12\nsymbols||x\nydumb120" + `{"items":[]}`},
		"left":               {"1f-2e", commandLine([]string{"leave"}), 409, "command_declined"},
		"another build":      {"1f-2f", line, 409, "command_declined"},
		"the end of a build": {"f-2e", line, 409, "command_declined"},
		"another time zone":  {"1f-2e", line + "TZ=Mars/Olympus\x00", 409, "command_declined"},
		"no number":          {"1f-2e", "x\x00symbols\x00", 400, "command_malformed"},
		"too few":            {"1f-2e", "3\x00symbols\x00", 400, "command_malformed"},
		"less than none":     {"1f-2e", "-1\x00symbols\x00", 400, "command_malformed"},
		"nothing":            {"1f-2e", "", 400, "command_malformed"},
		"too long":           {"1f-2e", commandLine([]string{strings.Repeat("x", maxCommandLine)}), 400, "command_malformed"},
	} {
		env := ""
		if tz := os.Getenv("TZ"); tz != "" && name == "run" {
			env = "TZ=" + tz + "\x00"
		}
		a := d.do("POST", early.Path, want.body+env, "Stega-Executable", want.build, "Stega-Columns", "120")
		assert.Equal(t, want.status, a.status, name)
		assert.Contains(t, a.body, want.says, name)
		assert.NotContains(t, a.body, "lost", name)
	}
	assert.EqualValues(t, 1, d.status().Commands)
}

// An answer that breaks off must not look whole to a command that runs in the daemon either.
func TestHalfAnAnswerInsideIsAnError(t *testing.T) {
	t.Parallel()
	half := inside{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic(http.ErrAbortHandler)
	})}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://any/", nil)
	require.NoError(t, err)
	a, err := half.RoundTrip(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Nil(t, a)
}

// The program looks for the socket where the daemon listens.
func TestTheProgramLooksWhereTheDaemonListens(t *testing.T) {
	t.Parallel()
	runtime := t.TempDir()
	for _, env := range []map[string]string{
		{"HOME": "/home/u"}, {"HOME": "/home/u", "XDG_STATE_HOME": "/state"}, {"HOME": "/home/u", "XDG_RUNTIME_DIR": runtime},
		{"XDG_STATE_HOME": "/state", "XDG_RUNTIME_DIR": "/vanished"}, {"HOME": "/home/u", "STEGA_SOCKET": "/elsewhere/s"},
	} {
		getenv := func(name string) string { return env[name] }
		p, err := Locate(getenv)
		require.NoError(t, err)
		var want []string
		for _, c := range p.Candidates {
			want = append(want, filepath.Clean(c.Path))
		}
		assert.Equal(t, want, early.Sockets(getenv))
	}
}
