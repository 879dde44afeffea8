package marketdata

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"stega/services/marketdata/provider"
)

// opens counts how often files of a folder were opened since the call, by the kernel's own account.
func opens(t *testing.T, dir string) func() map[string]int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_OPEN)
	require.NoError(t, err)
	return func() map[string]int {
		counts := map[string]int{}
		buf := make([]byte, 1<<20)
		for {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EAGAIN) {
				return counts
			}
			require.NoError(t, err)
			for at := 0; at < n; {
				size := int(binary.NativeEndian.Uint32(buf[at+12:]))
				name := string(bytes.TrimRight(buf[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+size], "\x00"))
				if strings.HasSuffix(name, ".csv") {
					counts[name]++
				}
				at += unix.SizeofInotifyEvent + size
			}
		}
	}
}

func TestABackfillReadsEachFileOfAFolderOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var symbols []string
	for i := range 30 {
		symbol := fmt.Sprintf("S%02d", i)
		symbols = append(symbols, symbol)
		file := filepath.Join(dir, symbol+".csv")
		require.NoError(t, os.WriteFile(file, []byte("date,close\n2024-01-02,1\n2024-01-03,2\n"), 0o600))
	}
	// A second file corrects a day of two symbols, and adds one.
	more := "date,S00,S29\n2024-01-03,7,8\n2024-01-04,9,10\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.csv"), []byte(more), 0o600))
	for _, kind := range []string{Backfill, Latest} {
		counted := opens(t, dir)
		done := 0
		progress := func(n int) error { done = n; return nil }
		pulled, err := fetch(context.Background(), provider.NewFolder(dir), PullPrices{Kind: kind}, symbols, progress)
		require.NoError(t, err)
		for name, n := range counted() {
			assert.Equal(t, 1, n, "%s: %s was opened %d times", kind, name, n)
		}
		if kind == Latest {
			continue
		}
		assert.Equal(t, 30, done)
		bars, err := pulled.Bars("S29", nil)
		require.NoError(t, err)
		closes := make([]string, len(bars))
		for i, b := range bars {
			closes[i] = b.Day.String() + " " + b.Close.String()
		}
		assert.Equal(t, []string{"2024-01-02 1", "2024-01-03 8", "2024-01-04 10"}, closes)
	}
}
