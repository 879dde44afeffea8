package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/internal/wait"
)

func TestALogThatStoppedIsReportedAndBeginsAgain(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a")
	publish(t, b, event("1", happened))
	before := read(t, b, 0, 1)[0]
	entries, err := b.Log(t.Context(), broker.LogEnd)
	require.NoError(t, err)
	require.NoError(t, b.srv.srv.ShutdownJetStream()) // as it does on a full disk
	require.NotEmpty(t, b.State().Blocked)
	answer := make(chan error, 1)
	require.NoError(t, b.Publish(t.Context(), event("2", happened), func(err error) { answer <- err }))
	require.ErrorIs(t, receive(t, "an answer", answer), broker.ErrNacked)
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	publish(t, b, event("3", happened))
	assert.Equal(t, before, read(t, b, 0, 1)[0])
	assert.Equal(t, "3", receive(t, "an entry", entries).ID)
	c := subscribe(t, b, "a", broker.Events)
	assert.Equal(t, "1", take(t, c).ID)
	d := take(t, c)
	assert.Equal(t, "3", d.ID)
	require.NoError(t, d.Reject("bad"))
}

func TestAFullDiskIsReportedAndTheLogBeginsAgainWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		wait.Skip(t, "%s is not there", full)
	}
	dir := t.TempDir()
	b := open(t, dir)
	second := filepath.Join(dir, "jetstream/$G/streams/log/msgs/2.blk") // the file that follows when the first is full
	require.NoError(t, os.Symlink(full, second))
	const n = 12
	var left sync.WaitGroup
	var failed atomic.Int64
	left.Add(n)
	var send func(i int)
	send = func(i int) {
		m := event(strconv.Itoa(i), happened)
		m.Data = make([]byte, 1<<20)
		assert.NoError(t, b.Publish(t.Context(), m, func(err error) {
			if err != nil {
				failed.Add(1)
				send(i)
				return
			}
			left.Done()
		}))
	}
	for i := range n {
		send(i)
	}
	require.Eventually(t, func() bool { return b.srv.heard.at.Load() != 0 }, patience, time.Millisecond)
	require.NoError(t, os.Remove(second))
	returns(t, "all of them", left.Wait)
	assert.NotZero(t, failed.Load())
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	entries, err := b.Log(t.Context(), 0)
	require.NoError(t, err)
	for logged := map[string]bool{}; len(logged) < n; {
		logged[receive(t, "an entry", entries).ID] = true
	}
}

func TestAFullDiskFailsARejectAndTheNextOneSucceeds(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		wait.Skip(t, "%s is not there", full)
	}
	dir := t.TempDir()
	b := open(t, dir)
	second := filepath.Join(dir, "jetstream/$G/streams/dead/msgs/2.blk") // the file that follows when the first is full
	require.NoError(t, os.Symlink(full, second))
	declare(t, b, happened, "a")
	c := subscribe(t, b, "a", broker.Events)
	const most = 40
	n, failed := 0, false
	for ; n < most && !failed; n++ {
		m := event(strconv.Itoa(n), happened)
		m.Data = make([]byte, 1<<20)
		publish(t, b, m)
		failed = take(t, c).Reject("bad") != nil
	}
	require.True(t, failed)
	require.NoError(t, os.Remove(second))
	d := take(t, c) // it is back
	assert.True(t, d.Redelivered)
	assert.Equal(t, n-1, depth(t, b, "a", broker.Dead))
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	require.NoError(t, d.Reject("bad"))
	assert.Equal(t, n, depth(t, b, "a", broker.Dead))
	require.NoError(t, b.Close())
	b = open(t, dir)
	assert.Equal(t, n, depth(t, b, "a", broker.Dead))
}
