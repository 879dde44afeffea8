package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// A server without work sleeps: its threads seldom wake. Wake-ups are counted, since processor time depends on what
// else the machine does. A poll of 25 ms in each of six services would give 240 a second.
func TestAnIdleServerSleeps(t *testing.T) {
	p, ok := stegatest.Launch(t, nil, "up", "--data", t.TempDir(), "--addr", "127.0.0.1:0")
	require.True(t, ok, p.Output())
	s := p.Server()
	s.Portfolio(`{"name":"core","assets":[{"symbol":"AAPL","weight":"1"}]}`)
	const window = 10 * time.Second
	s.Eventually("the server sleeps", func() bool {
		before := wakes(t, p.PID())
		time.Sleep(window) // the measured time
		perSecond := float64(wakes(t, p.PID())-before) / window.Seconds()
		t.Logf("%.0f wake-ups a second", perSecond)
		return perSecond < 150
	})
}

var sleeps = regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)$`)

// wakes counts how often threads of a process went to sleep.
func wakes(t *testing.T, pid int) (n int) {
	t.Helper()
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	require.NoError(t, err)
	assert.NotEmpty(t, threads)
	for _, name := range threads {
		status, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		m := sleeps.FindSubmatch(status)
		require.NotNil(t, m, "%s", status)
		count, err := strconv.Atoi(string(m[1]))
		require.NoError(t, err)
		n += count
	}
	return n
}
