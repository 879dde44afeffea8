package embedded

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

// A message counts one more delivery for each start that followed an unclean end since it was emitted.
func TestUncleanEndsCountAsDeliveries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := event("1", happened)
	old.Time = time.Now()
	attempts := func(unclean bool) (ofOld, ofNew int) {
		if unclean {
			killed(t, dir)
		}
		b := open(t, dir)
		declare(t, b, happened, "a")
		fresh := event("2", happened)
		fresh.Time = time.Now()
		publish(t, b, old, fresh)
		sub := subscribe(t, b, "a", broker.Events)
		first, second := take(t, sub), take(t, sub)
		assert.Equal(t, first.Attempts > 0, first.Redelivered)
		require.NoError(t, b.Close())
		return first.Attempts, second.Attempts
	}
	for i, unclean := range []bool{false, true, false, true, true} {
		ofOld, ofNew := attempts(unclean)
		assert.Equal(t, []int{0, 1, 1, 2, 3}[i], ofOld, "start %d", i)
		assert.Zero(t, ofNew, "start %d", i)
	}
	for range 2 * maxEnds {
		killed(t, dir)
	}
	ofOld, _ := attempts(false)
	assert.Equal(t, maxEnds, ofOld)
	require.NoError(t, os.WriteFile(filepath.Join(dir, fileName), []byte("garbage"), 0o600))
	ofOld, _ = attempts(false)
	assert.Zero(t, ofOld, "what cannot be read counts for nothing")
}

// killed leaves a folder as a process does that is killed.
func killed(t *testing.T, dir string) {
	t.Helper()
	f, err := openFile(t.Context(), dir, time.Now())
	require.NoError(t, err)
	_, err = f.beginRun(t.Context(), time.Now())
	require.NoError(t, err)
	require.NoError(t, f.close())
}
