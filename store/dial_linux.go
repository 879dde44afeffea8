package store

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout bounds how long sent data may stay unacknowledged.
func userTimeout(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	if errors.Is(failed, unix.ENOPROTOOPT) || errors.Is(failed, unix.EOPNOTSUPP) { // a Unix socket has no other host
		failed = nil
	}
	return errors.Join(err, failed)
}
