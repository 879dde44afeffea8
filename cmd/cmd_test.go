package cmd

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/servers"
	"stega/internal/stegatest"
	"stega/process"
	"stega/store"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) {
	asked := filepath.Base(os.Args[0]) == "stega" // then this very binary stands for the program in a script
	for _, e := range os.Environ() {
		if asked {
			break
		}
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "STEGA_") &&
			!strings.HasPrefix(name, "STEGA_TEST_") {
			_ = os.Unsetenv(name)
		}
	}
	testscript.Main(m, map[string]func(){"stega": func() { os.Exit(Execute()) }})
}

// Each script has a stega of its own, as "stega up" runs it, at $STEGA_URL. In short mode, only those run whose
// commands do several things at once.
func TestScripts(t *testing.T) {
	t.Parallel()
	dir, files := "testdata/script", []string(nil)
	if testing.Short() {
		dir, files = "", []string{
			"testdata/script/daemon.txtar",
			"testdata/script/watch.txtar",
			"testdata/script/prices.txtar",
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Files: files,
		Setup: func(env *testscript.Env) error {
			folder := filepath.Join(env.WorkDir, "provided")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			t := env.T().(testing.TB)
			data := t.TempDir()
			server := stegatest.Start(
				t, stegatest.Config(data, func(c *process.Config) { c.Options.Marketdata.Folder = folder }),
			)
			at, err := url.Parse(server.URL)
			if err != nil {
				return err
			}
			env.Setenv("STEGA_URL", server.URL)
			env.Setenv("STEGA_DAEMON", "off")                      // its own script turns it on
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home")) // where nothing is kept yet
			env.Setenv("HOSTPORT", at.Host)
			env.Setenv("OTHERHOSTPORT", fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)))
			env.Setenv("STEGA_DATA", data)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "setenv-from": setenvFrom, "damage": damage, "until": until,
		},
	})
}

// exits runs a command and requires its exit status: exits 64 stega up --nonsense.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d and not %d", got, want)
	}
}

// setenvFrom sets a variable of the environment to what a file has: setenv-from STEGA_TOKEN reader.
func setenvFrom(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// until runs a command until its standard output has a text: until 'dead' stega dead list.
func until(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(stegatest.Patience); ; {
		_ = ts.Exec(args[1], args[2:]...) // it may fail until then
		said := ts.ReadFile("stdout")
		if strings.Contains(said, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q is never said, but\n%s", args[0], said)
		}
	}
}

// damage cuts the series that returns keeps of a symbol, as a broken disk may.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	db, err := store.Open(
		context.Background(),
		"returns",
		"sqlite://"+filepath.Join(ts.Getenv("STEGA_DATA"), "returns.db"),
	)
	ts.Check(err)
	ts.Check(db.Do(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE series SET data = substr(data, 1, 3) WHERE symbol = ?", args[0])
		return err
	}))
	ts.Check(db.Close())
}

// What --help says of every command is in testdata/help.txt; -update rewrites it.
func TestHelp(t *testing.T) {
	t.Parallel()
	var all bytes.Buffer
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		c.InitDefaultHelpFlag()
		_, _ = fmt.Fprintf(&all, "=== %s\n\n", c.CommandPath())
		before := all.Len()
		c.SetOut(&all)
		require.NoError(t, c.Help())
		for line := range strings.Lines(all.String()[before:]) {
			assert.LessOrEqual(
				t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), helpWidth, "%s --help fits 80 columns: %s",
				c.CommandPath(), line,
			)
		}
		all.WriteString("\n")
		assert.NotEmpty(t, c.Short, c.CommandPath())
		if c.Runnable() {
			assert.NotEmpty(t, c.Example, "%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
	const golden = "testdata/help.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, all.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), all.String())
}
