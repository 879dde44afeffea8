package files

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// TryLock locks a file for this process until it is closed, without waiting, and reports whether it did. A shared
// lock coexists with other shared locks.
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

// Lock blocks until the file is locked for this process.
func Lock(f *os.File) error { return lock(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// lock locks a byte far beyond the content, because a lock keeps others from reading its range.
func lock(f *os.File, flags uint32) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: math.MaxInt32})
}

// Owner returns −1: the owner of a file has no number here.
func Owner(os.FileInfo) int { return -1 }

// Inode returns 0: files have no number here.
func Inode(os.FileInfo) uint64 { return 0 }

// Private reports whether only its owner may use a file.
func Private(os.FileInfo) bool { return true }

// OwnByDefault does nothing: a file inherits the access list of its folder.
func OwnByDefault() {}

// Room returns the free bytes of a folder.
func Room(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return int64(min(free, math.MaxInt64)), err
}
