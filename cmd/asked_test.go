package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"a.stega/early"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A command that the daemon answers must not wait for what the program initialises: the package that asks comes before all that takes its time.
func TestTheDaemonIsAskedBeforeAnythingElseBegins(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "stega") // the binary of the test stands for it by that name
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, program))
	c := exec.CommandContext(t.Context(), program, "version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	said, err := c.CombinedOutput()
	require.NoError(t, err, string(said))
	var before []string
	found := false
	for line := range strings.Lines(string(said)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "init" {
			continue
		}
		if found = words[1] == "a.stega/early"; found {
			break
		}
		before = append(before, words[1])
	}
	require.True(t, found, string(said))
	assert.Less(t, len(before), 60, "initialised before it: %v", before)
	for _, heavy := range []string{"reflect", "fmt", "net", "net/http", "encoding/json", "github.com/spf13/cobra"} {
		assert.NotContains(t, before, heavy)
	}
}

// What the daemon may run is handed to it, by each name that it has.
func TestWhatTheDaemonMayRunIsHandedToIt(t *testing.T) {
	t.Parallel()
	var names []string
	var may func(c *cobra.Command) bool
	may = func(c *cobra.Command) bool {
		ok := c.Annotations[inDaemon] != ""
		for _, sub := range c.Commands() {
			ok = may(sub) || ok
		}
		return ok
	}
	for _, c := range newRoot().Commands() {
		for _, name := range append(c.Aliases, c.Name()) {
			assert.Equal(t, may(c), early.Takes(name), name)
			if may(c) {
				names = append(names, name)
			}
		}
	}
	assert.Contains(t, names, "portfolio")
	assert.True(t, early.Takes(cobra.ShellCompRequestCmd) && early.Takes(cobra.ShellCompNoDescRequestCmd))
}
