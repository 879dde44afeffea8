package daemon

import (
	"syscall"

	"stega/fault"
)

// supported is why no daemon can run here: it cannot see which user connects to its socket.
var supported error = fault.New(fault.KindUnavailable, "daemon_unsupported", "the daemon does not run on Windows").
	WithHint("commands go straight to the server without it")

func detached() *syscall.SysProcAttr { return nil }

func closeOnExec(int) {}
