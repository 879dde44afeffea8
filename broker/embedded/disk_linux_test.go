package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

// smallDisk is a folder on a disk of its own with little room. It takes the right to mount; without, the test is
// skipped.
func smallDisk(t *testing.T) (dir string, grow func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV,
		"size=6m,mode=0700"); err != nil {
		t.Skipf("NO SMALL DISK: this test mounts a tmpfs, which only root may: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, func() { require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m")) }
}

func TestAFullDiskIsReportedAndTheLogIsWrittenAgainWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	dir, grow := smallDisk(t)
	b := open(t, filepath.Join(dir, "broker"))
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
				assert.ErrorIs(t, err, broker.ErrNacked)
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
	require.Eventually(t, func() bool {
		return failed.Load() > 0 && b.State().Blocked != ""
	}, patience, time.Millisecond)
	grow()
	returns(t, "all of them", left.Wait)
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	entries, err := b.Log(t.Context(), 0)
	require.NoError(t, err)
	for logged := map[string]bool{}; len(logged) < n; {
		logged[receive(t, "an entry", entries).ID] = true
	}
}

func TestAFullDiskFailsARejectAndTheNextOneSucceeds(t *testing.T) {
	t.Parallel()
	dir, grow := smallDisk(t)
	data := filepath.Join(dir, "broker")
	b := open(t, data)
	declare(t, b, happened, "a")
	c := subscribe(t, b, "a", broker.Events)
	large := event("1", happened)
	large.Data = make([]byte, 1<<20)
	publish(t, b, large)
	d := take(t, c)
	require.NoError(t, fill(filepath.Join(dir, "ballast")))
	require.Error(t, d.Reject("bad"))
	grow()
	d = take(t, c) // it is back
	assert.True(t, d.Redelivered)
	assert.Zero(t, depth(t, b, "a", broker.Dead))
	require.NoError(t, d.Reject("bad"))
	assert.Equal(t, 1, depth(t, b, "a", broker.Dead))
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	require.NoError(t, b.Close())
	b = open(t, data)
	assert.Equal(t, 1, depth(t, b, "a", broker.Dead))
}

// fill takes all the room that is left on a disk.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return f.Close()
}
