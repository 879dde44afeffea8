package early

import (
	"syscall"
	"unsafe"
)

// columns is how wide the terminal is that a file is; 0 when it is none. A terminal that does not say has 80.
func columns(fd int) int {
	var size struct{ rows, columns, x, y uint16 }
	_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size))) //nolint:gosec // the call writes these eight bytes
	switch {
	case failed != 0:
		return 0
	case size.columns == 0:
		return 80
	}
	return int(size.columns)
}
