package embedded

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

const happened = "test.happened"

func read(t *testing.T, b *Broker, from uint64, n int) []broker.LogEntry {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entries, err := b.Log(ctx, from)
	require.NoError(t, err)
	var out []broker.LogEntry
	for range n {
		out = append(out, receive(t, "an entry", entries))
	}
	return out
}

func TestTheLogAndTheDeadLettersSurviveARestartAndTheQueuesAreEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	declare(t, b, happened, "a")
	command := event("4", "test.do")
	command.Service = "a"
	publish(t, b, event("1", happened), event("2", happened), event("3", happened), command)
	require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Reject("bad"))
	before := read(t, b, 0, 3)
	require.NoError(t, b.Close())

	b = open(t, dir)
	assert.Zero(t, depth(t, b, "a", broker.Events))
	assert.Zero(t, depth(t, b, "a", broker.Commands))
	assert.Equal(t, 1, depth(t, b, "a", broker.Dead))
	assert.Equal(t, "bad", take(t, subscribe(t, b, "a", broker.Dead)).Reason)
	publish(t, b, event("5", happened)) // bound to nothing yet
	assert.Zero(t, depth(t, b, "a", broker.Events))
	after := read(t, b, 0, 4)
	assert.Equal(t, before, after[:3])
	assert.Equal(t, "5", after[3].ID)
	assert.Equal(t, after[2:], read(t, b, after[2].Position, 2))
}

func TestDeletingTheFolderLosesOnlyTheLogAndTheDeadLetters(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "broker")
	b := open(t, dir)
	declare(t, b, happened, "a")
	publish(t, b, event("1", happened))
	last := read(t, b, 0, 1)[0].Position
	require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Reject("bad"))
	require.NoError(t, b.Close())
	require.NoError(t, os.RemoveAll(dir))

	b = open(t, dir)
	declare(t, b, happened, "a")
	assert.Zero(t, depth(t, b, "a", broker.Dead))
	publish(t, b, event("1", happened))
	assert.Greater(t, read(t, b, 0, 1)[0].Position, last, "a position does not come back as another")
	require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Ack())
}

func TestADamagedFileIsMovedAsideWithAWarning(t *testing.T) {
	t.Parallel()
	garbage := bytes.Repeat([]byte("garbage\x00"), 1000)
	for name, damage := range map[string]func(t *testing.T, path string){
		"it is garbage": func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, garbage, 0o600))
		},
		"all but its first page is garbage": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			info, err := f.Stat()
			require.NoError(t, err)
			const page = 4096
			_, err = f.WriteAt(bytes.Repeat([]byte("garbage\x00"), int(info.Size()-page)/8), page)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		},
		"it has other tables": func(t *testing.T, path string) {
			db, err := pool(path, 1)
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), `DROP TABLE log; CREATE TABLE log (line TEXT)`)
			require.NoError(t, err)
			require.NoError(t, db.Close())
		},
		"it is a folder": func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := open(t, dir)
			declare(t, b, happened, "a")
			publish(t, b, event("1", happened))
			last := read(t, b, 0, 1)[0].Position
			require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Reject("bad"))
			require.NoError(t, b.Close())
			damage(t, filepath.Join(dir, fileName))

			var logged bytes.Buffer
			b, err := Open(t.Context(), dir, slog.New(slog.NewTextHandler(&logged, nil)))
			require.NoError(t, err)
			publish(t, b, event("2", happened))
			second := read(t, b, 0, 1)[0]
			assert.Equal(t, "2", second.ID)
			assert.Greater(t, second.Position, last)
			require.NoError(t, b.Close())
			assert.Contains(t, logged.String(), "moved aside")
			aside, err := filepath.Glob(filepath.Join(dir, fileName+".damaged-*"))
			require.NoError(t, err)
			assert.NotEmpty(t, aside)

			b = open(t, dir) // the new one stays
			assert.Equal(t, second, read(t, b, 0, 1)[0])
		})
	}
}

func TestDamageThatIsNoticedLateEndsTheReadersAndBeginsANewLog(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a")
	publish(t, b, event("1", happened))
	c := subscribe(t, b, "a", broker.Events)
	require.NoError(t, take(t, c).Reject("bad"))
	before, err := b.LogBounds(t.Context())
	require.NoError(t, err)
	entries, err := b.Log(t.Context(), broker.LogEnd)
	require.NoError(t, err)
	b.record(errDamaged)
	returns(t, "the end of the reader", func() {
		for range entries {
		}
	})
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	publish(t, b, event("2", happened))
	after, err := b.LogBounds(t.Context())
	require.NoError(t, err)
	assert.Greater(t, after.Origin, before.Recent.Position)
	assert.Equal(t, "2", after.Recent.ID)
	require.NoError(t, take(t, c).Reject("bad as well"))
	dead := subscribe(t, b, "a", broker.Dead)
	assert.Equal(t, "1", take(t, dead).ID, "it stays in memory")
	assert.Equal(t, "2", take(t, dead).ID)
}

func TestTheLogOfAnEarlierVersionIsLeftAloneWithAWarning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	former := filepath.Join(dir, formerStore, "$G/streams/log/msgs/1.blk")
	require.NoError(t, os.MkdirAll(filepath.Dir(former), 0o700))
	require.NoError(t, os.WriteFile(former, []byte("entries"), 0o600))
	var logged bytes.Buffer
	for _, warns := range []bool{true, false} {
		logged.Reset()
		b, err := Open(t.Context(), dir, slog.New(slog.NewTextHandler(&logged, nil)))
		require.NoError(t, err)
		publish(t, b, event("1", happened))
		require.NoError(t, b.Close())
		assert.Equal(t, warns, strings.Contains(logged.String(), formerStore), "%s", logged.String())
	}
	assert.FileExists(t, former)
}

func TestAFolderThatCannotBeMadeIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(t.Context(), filepath.Join(file, "broker"), slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, file)
}

func TestARestartInTheMiddleLosesNothingThatTheOutboxKeeps(t *testing.T) {
	t.Parallel()
	const n = 10_000
	dir := t.TempDir()
	var mu sync.Mutex
	outbox, inbox := map[string]bool{}, map[string]bool{} // ids that are not handled; ids that took effect
	for i := range n {
		outbox[strconv.Itoa(i)] = true
	}
	for run := range 4 {
		if run == 2 {
			require.NoError(t, os.RemoveAll(dir))
		}
		b := open(t, dir)
		declare(t, b, happened, "a")
		stop := b.OnHandled(func(id string) {
			mu.Lock()
			defer mu.Unlock()
			delete(outbox, id)
		})
		end := (run + 1) * n / 4 // how many took effect when it ends
		c, err := b.Subscribe(t.Context(), "a", broker.Events, 50)
		require.NoError(t, err)
		var consuming sync.WaitGroup
		consuming.Go(func() {
			for d := range c.Deliveries() {
				inbox[d.ID] = true
				if len(inbox) == end && end < n {
					return // it is not acked
				}
				_ = d.Ack()
			}
		})
		mu.Lock()
		pending := make([]string, 0, len(outbox))
		for id := range outbox {
			pending = append(pending, id)
		}
		mu.Unlock()
		for _, id := range pending {
			require.NoError(t, b.Publish(t.Context(), event(id, happened), func(error) {}))
		}
		if end == n {
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(outbox) == 0
			}, patience, time.Millisecond)
			require.NoError(t, c.Close())
		}
		returns(t, fmt.Sprintf("run %d", run), consuming.Wait)
		stop()
		require.NoError(t, b.Close())
	}
	assert.Len(t, inbox, n)
	assert.Empty(t, outbox)
}

func TestOpensQuickly(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		started := time.Now()
		b := open(t, dir)
		assert.Less(t, time.Since(started), 300*time.Millisecond)
		publish(t, b, event("1", happened))
		require.NoError(t, b.Close())
	}
}
