package store

import (
	"net"
	"time"
)

// deadAfter is how long a connection may receive nothing from the other host until it counts as lost.
const deadAfter = 15 * time.Second

// dialer returns the dialer of connections to a server. A connection whose other end vanished fails within deadAfter,
// whether something is on its way or not.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadAfter / 3, Interval: deadAfter / 3, Count: 2},
		Control:         userTimeout,
	}
}
