//go:build !linux && !darwin

package daemon

import (
	"errors"
	"net"
)

// peer is not known here, so nobody is let in.
func peer(*net.UnixConn) (uid int, err error) {
	return -1, errors.New("this system does not say who connects")
}
