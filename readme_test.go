package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/internal/wait"
)

var tourBlock = regexp.MustCompile("(?s)<!-- tour -->\n```sh\n(.*?)```")

// The README's tour runs as it is written, against stega up --demo on a free port; a line "#=> text" names what the
// command before it must print.
func TestTheReadmesTour(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := tourBlock.FindAllStringSubmatch(string(readme), -1)
	require.Greater(t, len(blocks), 4)

	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "stega"), ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	kept := filepath.Join(dir, ".local", "share", "stega")
	server, ok := stegatest.Launch(t, nil, "up", "--demo", "--data", kept, "--addr", "127.0.0.1:0")
	require.True(t, ok, "%s", server.Output())
	wait.Until(t, "the demo is there", func() bool {
		return strings.Contains(server.Output(), "In another terminal, try")
	})
	for example := range strings.Lines(server.Output()) {
		// what it suggests
		if args := strings.Fields(example); len(args) > 1 && args[0] == "stega" && strings.HasPrefix(example, "  ") {
			try := exec.CommandContext(t.Context(), filepath.Join(dir, "stega"), args[1:]...)
			try.Env = append(os.Environ(), "HOME="+dir, "STEGA_URL="+server.URL, "STEGA_DATA="+kept, "STEGA_DAEMON=off")
			out, err := try.CombinedOutput()
			require.NoError(t, err, "%s: %s", example, out)
		}
	}

	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	var expected []string
	for _, block := range blocks {
		for step := range strings.SplitSeq(strings.TrimSuffix(block[1], "\n"), "\n") {
			if want, ok := strings.CutPrefix(step, "#=> "); ok {
				expected = append(expected, want)
				_, _ = fmt.Fprintf(&script, "\necho; echo '== checked %d'\n", len(expected))
				continue
			}
			script.WriteString(strings.ReplaceAll(step, "http://127.0.0.1:8420", server.URL) + "\n")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "bash", "-c", script.String())
	run.Dir = dir
	run.Env = append(os.Environ(), "HOME="+dir, "STEGA_URL="+server.URL, "STEGA_DATA="+kept, "STEGA_DAEMON=off")
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	rest := string(out)
	for i, want := range expected {
		var printed string
		var found bool
		printed, rest, found = strings.Cut(rest, fmt.Sprintf("== checked %d\n", i+1))
		require.True(t, found)
		assert.Contains(t, printed, want)
	}
}
