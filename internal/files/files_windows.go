package files

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// TryLock locks a file for this process alone, until it is closed, and reports whether it did: it does not wait for
// others. A shared lock is there beside other shared ones.
func TryLock(f *os.File, shared bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := lock(f, flags)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

// Lock waits until the file is locked for this process alone.
func Lock(f *os.File) error { return lock(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// lock locks a byte far behind what the file has, for a lock keeps others from reading what it covers.
func lock(f *os.File, flags uint32) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: math.MaxInt32})
}

// Owner returns the id of the user that a file belongs to, which has no number here.
func Owner(os.FileInfo) int { return -1 }

// Inode returns the number that tells one file from another that has its name later, of which there is none here.
func Inode(os.FileInfo) uint64 { return 0 }

// Private reports whether nobody but its owner may use a file.
func Private(os.FileInfo) bool { return true }

// OwnByDefault does nothing: what a file's folder allows holds for the file.
func OwnByDefault() {}

// Room returns how many bytes are free in a folder.
func Room(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return int64(min(free, math.MaxInt64)), err
}
