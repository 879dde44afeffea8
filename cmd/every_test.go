package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
)

// aserver are the commands that are servers themselves or measure one: they talk to no server of somebody else's.
var aserver = map[string]bool{
	"stega up": true, "stega serve": true, "stega migrate": true, "stega bench": true, "stega daemon run": true,
	"stega bench import":     true,
	"stega bench idle":       true,
	"stega daemon install":   true,
	"stega daemon uninstall": true, "stega daemon start": true, "stega daemon stop": true, "stega daemon restart": true,
	"stega daemon status": true,
	"stega daemon logs":   true, "stega queue list": true, "stega queue show": true, "stega queue retry": true,
	"stega queue drop": true,
}

// commandLines are the command lines of all commands that may talk to a server, as the first example of each says.
func commandLines(t *testing.T) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		example, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		name := c.CommandPath()
		if !c.Runnable() || c.Hidden || c.Name() == "help" || aserver[name] ||
			c.HasSubCommands() && !c.Flags().HasAvailableFlags() {
			return
		}
		args := words(t, example)
		require.NotEmpty(t, args, "%s has no example", name)
		lines[name] = args[1:]
	}
	walk(newRoot())
	require.Greater(t, len(lines), 35)
	return lines
}

// words splits a command line as a shell does that knows single quotes.
func words(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", "-c", `set -f; args=("$@"); eval "printf '%s\n' ${args[0]}"`,
		"-", strings.SplitN(line, " #", 2)[0]).
		Output()
	require.NoError(t, err, line)
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// alone is a home of its own, in which nothing of this machine's is known.
func alone(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME",
		"XDG_RUNTIME_DIR"} {
		t.Setenv(name, home)
	}
	t.Setenv("STEGA_DAEMON", "off")
	t.Setenv("TERM", "dumb")
	t.Chdir(home)
	require.NoError(t, os.WriteFile("prices.csv", []byte("date,symbol,close\n2026-01-02,AAPL,1\n"), 0o600))
	require.NoError(t, os.WriteFile("token.txt", []byte("stega_x\n"), 0o600))
	require.NoError(t, os.WriteFile("event.json", []byte("{}"), 0o600))
}

// run runs a command line in this process.
func run(ctx context.Context, input string, args ...string) (status int, stdout, stderr string) {
	root := newRoot()
	var out, problems bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(&problems)
	status = execute(ctx, root)
	return status, out.String(), problems.String()
}

// Every command that talks to a server gives up after --timeout when the server takes the connection and never answers.
func TestEveryCommandObeysTimeout(t *testing.T) {
	alone(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	var taken atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			defer func() { _ = c.Close() }()
		}
	}()
	talking := 0
	for name, args := range commandLines(t) {
		before, began := taken.Load(), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		status, _, stderr := run(
			ctx,
			"stega_x\n",
			append(args, "--url", "http://"+l.Addr().String(), "--direct", "--timeout", "200ms")...)
		late := ctx.Err() != nil
		cancel()
		if !assert.False(t, late, "%s waits without end: stega %s", name, strings.Join(args, " ")) ||
			taken.Load() == before {
			continue
		}
		talking++
		assert.Less(t, time.Since(began), 10*time.Second, "%s", name)
		if name != "stega events tail" { // which ends after that time
			assert.NotZero(t, status, "%s: %s", name, stderr)
		}
	}
	assert.Greater(t, talking, 35, "commands that talked to the server")
}

// evil is text that steers terminals, and what each character of it must not be in any output.
const evil = "n\x1b[31mED\x1b]0;T\a\r\n2026 forged\tx\u009b2J\u202e\u2066\u200b\ufeff\u2028\U000e0041\x7f"

// hostile answers every request with all that a client looks for, in which all text is evil.
func hostile(t *testing.T, status int) *httptest.Server {
	t.Helper()
	now := "2026-01-02T03:04:05Z"
	one := map[string]any{
		"id":           "019a2f60-0000-7000-8000-000000000000",
		"operation_id": "019a2f60-0000-7000-8000-000000000000",
		"name":         evil,
		"scope":        evil,
		"token":        evil,
		"who":          evil,
		"remote":       evil,
		"method":       evil,
		"path":         evil,
		"command":      evil,
		"service":      evil,
		"subject":      evil,
		"cause":        evil,
		"error":        map[string]any{"code": evil, "detail": evil, "hint": evil, "kind": "invalid"},
		"symbol":       evil,
		"topic":        evil,
		"state":        evil,
		"detail":       evil,
		"hint":         evil,
		"outcome":      evil,
		"objective":    evil,
		"cron":         evil,
		"time_zone":    evil,
		"provider":     evil,
		"created_at":   now,
		"updated_at":   now,
		"accepted_at":  now,
		"first":        "2026-01-02",
		"last":         "2026-01-02",
		"kind":         evil,
		"frequency":    evil,
		"currency":     evil,
		"notes": []string{
			evil,
		},
		"symbols": []string{evil, evil + "2"},
		"missing": map[string]string{evil: evil},
		"url":     evil,
		"proof":   evil,
		"waiting": []map[string]any{
			{
				"service": evil,
				"topic":   evil,
				"subject": evil,
				"state":   "dead",
				"error":   evil,
				"handler": evil,
				"since":   now,
			},
		},
		"tree": map[string]any{
			"topic":     evil,
			"subject":   evil,
			"handlings": []map[string]any{{"service": evil, "handler": evil, "state": "dead", "error": evil}},
		},
		"assets":  []map[string]any{{"symbol": evil, "weight": "1"}},
		"version": 1,
		"code":    evil,
		"title":   evil,
		"errors":  []map[string]any{{"pointer": evil, "detail": evil}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		answer := map[string]any{}
		for k, v := range one {
			answer[k] = v
		}
		if r.Method == http.MethodGet {
			answer["items"] = []any{one}
		}
		if r.URL.Path == "/readyz" || strings.HasSuffix(r.URL.Path, "/health") {
			answer["status"] = evil
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

// No command shows what it was sent in a way that a terminal obeys, in any form of output.
func TestNoCommandObeysWhatItShows(t *testing.T) {
	alone(t)
	shown := map[string]int{}
	for _, status := range []int{http.StatusOK, http.StatusConflict} {
		server := hostile(t, status)
		for name, args := range commandLines(t) {
			for _, form := range []string{"table", "json", "yaml", "csv", "quiet"} {
				flags := []string{"--url", server.URL, "--direct", "--timeout", "2s", "-o", form}
				if form == "quiet" {
					flags = append(flags[:5:5], "-q")
				}
				if name == "stega op watch" || strings.HasPrefix(name, "stega optimize") || name == "stega frontier" {
					flags[4] = "300ms" // what it waits for does not come
				}
				_, stdout, stderr := run(t.Context(), "stega_x\n", append(args[:len(args):len(args)], flags...)...)
				for _, text := range []string{stdout, stderr} {
					if strings.Contains(text, "forged") {
						shown[form]++
					}
					bad := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) })
					assert.Negative(t, bad, "%s -o %s writes %q", name, form, text)
					for line := range strings.Lines(text) {
						assert.False(t, strings.HasPrefix(line, "2026 forged"), "%s -o %s lets a name make a line: %q",
							name, form, text)
					}
				}
			}
		}
	}
	for _, form := range []string{"table", "json", "yaml", "csv"} {
		assert.Greater(t, shown[form], 10, "outputs of %s that show the text at all", form)
	}
}

// Text goes to a person through the writers of output.go alone, which make it visible.
func TestOnlyOneFileWritesToPeople(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "output.go" {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := f.X.(*ast.Ident)
			if of == nil || of.Name != "fmt" ||
				!strings.HasPrefix(f.Sel.Name, "Fprint") && !strings.HasPrefix(f.Sel.Name, "Print") {
				return true
			}
			if to, local := call.Args[0].(*ast.UnaryExpr); local && to.Op == token.AND {
				return true // into a buffer
			}
			if to, local := call.Args[0].(*ast.Ident); local && strings.HasPrefix(file, "bench") && to.Name == "t" {
				return true // a table of numbers that this program measured
			}
			assert.Fail(t, "writes to people by itself", "%s", set.Position(call.Pos()))
			return true
		})
	}
}

// A shell inserts what several candidates have in common as it is, so none may be a word that it runs.
func TestCompletionOffersNothingThatAShellRuns(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		wait.Skip(t, "there is no bash")
	}
	home := t.TempDir()
	program := filepath.Join(home, "stega") // the binary of the test stands for it by that name
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, program))
	marker := filepath.Join(home, "ran")
	at := place{names: knownFile("http://127.0.0.1:1", filepath.Join(home, ".cache"))}
	attacks := []string{
		"growth$(touch " + marker + ")fund", "growth`touch " + marker + "`fund", "growth;touch " + marker + ";",
		"growth|touch " + marker, "growth&touch " + marker + "&",
		"growth\ntouch " + marker + "\n", "growth>" + marker, "growth<(touch " + marker + ")", "growth'", "growth\"",
		"growth\\", "growth{a,b}", "growth*", "growth?", "growth[a]", "growth!x",
		"growth~", "growth$HOME", "growth(e:touch " + marker + ":)", "growth\x1b[2J", "growth\u202e", "growth#x",
	}
	remember(at, func(k *known) {
		for i, a := range attacks {
			for n := range 2 {
				k.Portfolios[fmt.Sprintf("id-%d-%d", i, n)] = fmt.Sprintf("%s %d", a, n)
			}
		}
		k.Portfolios["flag"] = "--url=http://127.0.0.1:2"
		k.Portfolios["good"], k.Portfolios["better"] = "growth fund 1", "growth fünd 2"
		k.Symbols = []string{"GROW", "GRO$(touch " + marker + ")"}
	})
	script := `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD-1]}; }
. <(stega completion bash)
complete -p stega > /dev/null || exit 1
for typed in gro ''; do
  COMP_WORDS=(stega returns "$typed"); COMP_CWORD=2; COMP_LINE="stega returns $typed"
  COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
  COMPREPLY=()
  __start_stega
  printf '%s\n' "${COMPREPLY[@]}"
  echo ---
done
for c in "${COMPREPLY[@]}"; do eval "true $c"; done 2> /dev/null
`
	for _, variant := range []string{"bash", "bash --no-descriptions"} {
		c := exec.CommandContext(
			t.Context(), "bash", "--norc", "-c", strings.Replace(script, "completion bash", "completion "+variant, 1),
		)
		c.Env = []string{
			"HOME=" + home,
			"PATH=" + home + ":" + os.Getenv("PATH"),
			"STEGA_URL=http://127.0.0.1:1",
			"STEGA_DAEMON=off",
			"LC_ALL=C.UTF-8",
		}
		out, err := c.Output()
		require.NoError(t, err, "%s", out)
		assert.NoFileExists(t, marker)
		assert.Contains(t, string(out), "growth fund 1")
		assert.Contains(t, string(out), "growth fünd 2")
		assert.Contains(t, string(out), "GROW")
		assert.NotContains(t, string(out), "--url")
		for _, a := range attacks {
			assert.NotContains(t, string(out), a)
		}
	}
	for _, shell := range []string{"zsh", "fish", "powershell"} { // which ask the same program for their candidates
		c := exec.CommandContext(t.Context(), program, "completion", shell)
		c.Env = []string{"HOME=" + home}
		out, err := c.Output()
		require.NoError(t, err)
		assert.Contains(t, string(out), "__complete", shell)
	}
}
