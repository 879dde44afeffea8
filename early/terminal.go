package early

import (
	"syscall"
	"unsafe"
)

// columns is how wide the terminal is that a file is; 0 when it is none. Of one that does not say it is 1, which stands for any.
func columns(fd int) int {
	var size struct{ rows, columns, x, y uint16 }
	_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size))) //nolint:gosec // the call writes these eight bytes
	switch {
	case failed != 0:
		return 0
	case size.columns == 0:
		return 1
	}
	return int(size.columns)
}
