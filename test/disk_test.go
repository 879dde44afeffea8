package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
)

// smallDisk returns a folder on a separate small disk. Without the right to mount, the test is skipped.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV,
		fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		t.Skipf("NO SMALL DISK: this test mounts a tmpfs, which only root may: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill uses all free space of a disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			block = block[:len(block)/2]
		}
	}
}

// The disk of the data folder fills up during imports. Writes are refused with a hint, reads continue, no write is
// partial, and with free space everything continues by itself.
func TestAFullDisk(t *testing.T) {
	disk := smallDisk(t, 24)
	data := filepath.Join(disk, "data")
	p, ok := stegatest.Launch(t, nil, "up", "--data", data, "--addr", "127.0.0.1:0", "--log-level", "error")
	require.True(t, ok, "%s", p.Output())
	s := p.Server()
	s.Import("date,KEEP\n2024-01-02,1\n2024-01-03,2\n", "")
	id := s.Portfolio(`{"name":"core","assets":[{"symbol":"KEEP","weight":"1"}]}`)
	s.Found("/v1/returns/portfolios/"+id, &struct{}{})

	taken := 0 // successful imports
	file := func(n int) string {
		var b strings.Builder
		b.WriteString("date,symbol,close\n")
		for year := 1990; year < 2024; year++ {
			for day := 1; day <= 28; day++ {
				for month := 1; month <= 12; month++ {
					_, _ = fmt.Fprintf(&b, "%d-%02d-%02d,S%d,%d.%d\n", year, month, day, n, 1+day, month)
				}
			}
		}
		return b.String()
	}
	const days = 34 * 12 * 28
	for round := range 2 {
		var refused stegatest.Answer
		for full := false; !full; {
			if round > 0 {
				fill(t, filepath.Join(disk, "ballast"))
			}
			a := s.Do(http.MethodPost, "/v1/prices", file(taken), "Content-Type", "text/csv", "Prefer", "wait=30")
			switch a.Status {
			case http.StatusOK, http.StatusAccepted:
				taken++
				require.Less(t, taken, 1000)
			default:
				refused, full = a, true
			}
		}
		t.Logf("round %d: %d imports were taken, then: %s", round, taken, refused.Body)
		require.Equal(t, http.StatusServiceUnavailable, refused.Status, "%s", refused.Body)
		assert.Equal(t, "disk_full", refused.Problem().Code)
		assert.Contains(t, refused.Problem().Hint, "make room on the disk that holds "+data)
		assert.NotEmpty(t, refused.Header.Get("Retry-After"))

		var prices struct{ Prices []any }
		s.Get("/v1/prices/KEEP", &prices)
		assert.Len(t, prices.Prices, 2, "reads continue")
		s.Get("/v1/returns/portfolios/"+id, &struct{}{})
		s.Get("/v1/portfolios/"+id, &struct{}{})
		assert.Equal(t, http.StatusNotFound, s.Do(http.MethodGet, fmt.Sprintf("/v1/prices/S%d", taken), "").Status,
			"the refused import does not exist")

		if round == 0 { // now stega itself fills the disk, so only more space helps
			require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dm", 200)))
		} else {
			require.NoError(t, os.Remove(filepath.Join(disk, "ballast")))
		}
		s.Eventually("it is ready again", func() bool {
			return s.Do(http.MethodGet, "/readyz", "").Status == http.StatusOK
		})
		s.Eventually("writes are accepted again", func() bool {
			a := s.Do(http.MethodPost, "/v1/prices", file(taken), "Content-Type", "text/csv", "Prefer", "wait=30")
			return a.Status == http.StatusOK
		})
		taken++
	}
	for n := range taken {
		var a struct{ Observations int }
		s.Found(fmt.Sprintf("/v1/returns/assets/S%d", n), &a)
		s.Eventually("all imports are visible", func() bool {
			s.Get(fmt.Sprintf("/v1/returns/assets/S%d", n), &a)
			return a.Observations == days-1
		})
	}
	var dead struct{ Items []any }
	s.Get("/v1/dead", &dead)
	assert.Empty(t, dead.Items)
	s.Rebuilt("sqlite://" + filepath.Join(data, "returns.db"))
	assert.Zero(t, p.Stop(), "%s", p.Output())
}
