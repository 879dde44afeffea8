//go:build unix

package provider

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

const oneClose = "date,close\n2024-01-02,2.5\n"

func write(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(oneClose), 0o600))
}

func TestWhatIsNoRegularFileIsRefused(t *testing.T) {
	t.Parallel()
	elsewhere := filepath.Join(t.TempDir(), "secret.csv")
	write(t, elsewhere)
	for _, c := range []struct {
		name string
		make func(path string) error
		says string
	}{
		{"a named pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is a named pipe"},
		{"a socket", func(path string) error {
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		}, "is a socket"},
		{"a link to a device", func(path string) error {
			return os.Symlink("/dev/zero", path)
		}, "leads to no file of the folder"},
		{"a link to a file elsewhere", func(path string) error {
			return os.Symlink(elsewhere, path)
		}, "leads to no file of the folder"},
		{"a link that climbs out", func(path string) error {
			return os.Symlink("../../etc/hostname", path)
		}, "leads to no file of the folder"},
		{"a link to nothing", func(path string) error {
			return os.Symlink("gone.csv", path)
		}, "leads to no file of the folder"},
		{"a link to a pipe inside", func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(filepath.Base(path)+".pipe", path))
		}, "is a named pipe"},
		{"a link to a folder inside", func(path string) error {
			return errors.Join(os.Mkdir(path+".d", 0o700), os.Symlink(filepath.Base(path)+".d", path))
		}, "is a folder"},
	} {
		dir, err := os.MkdirTemp("", "p") // short: a socket's path is
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		write(t, filepath.Join(dir, "A.csv"))
		require.NoError(t, c.make(filepath.Join(dir, "x.csv")))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err = NewFolder(dir).Latest(ctx, []string{"A"})
		cancel()
		bad, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%s: %v", c.name, err)
		assert.Equal(t, "file_refused", bad.Code, c.name)
		assert.Contains(t, bad.Detail, `"x.csv"`, c.name)
		assert.Contains(t, bad.Detail, c.says, c.name)
		_, err = NewFolder(dir).History(t.Context(), "A", nil)
		assert.Equal(t, "file_refused", fault.Of(err).Code, c.name)
	}
}

// A folder that is mounted from a map of files, as in a pod, consists of links within it.
func TestLinksWithinTheFolderAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..2024"), 0o700))
	write(t, filepath.Join(dir, "..2024", "A.csv"))
	require.NoError(t, os.Symlink("..2024", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink("..data/A.csv", filepath.Join(dir, "A.csv")))
	latest, err := NewFolder(dir).Latest(t.Context(), []string{"A"})
	require.NoError(t, err)
	require.Len(t, latest["A"], 1)
	assert.Equal(t, "2.5", latest["A"][0].Close.String())
}

// A file system that does not answer holds a read for ever; the job that reads ends nevertheless.
func TestAReadThatBlocksEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "A.csv"))
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = writer.Close() }() // and so the read ends
	f := NewFolder(dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the job is over")
	f.open = func(string, string) (*os.File, error) {
		cancel(gone) // the read that follows finds nothing
		return reader, nil
	}
	_, err = f.Latest(ctx, []string{"A"})
	assert.ErrorIs(t, err, gone)
}
