package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/bench"
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
		before, err := bench.Wakeups(p.PID())
		require.NoError(t, err)
		time.Sleep(window) // the measured time
		after, err := bench.Wakeups(p.PID())
		require.NoError(t, err)
		perSecond := float64(after-before) / window.Seconds()
		t.Logf("%.0f wake-ups a second", perSecond)
		return perSecond < 150
	})
}
