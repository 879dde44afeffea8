package daemon

import (
	"errors"
	"os"
	"syscall"

	"stega/fault"
)

// supported is why no daemon can run here: it cannot see which user connects to its socket.
var supported error = fault.New(fault.KindUnavailable, "daemon_unsupported", "the daemon does not run on Windows").
	WithHint("commands go straight to the server without it")

var errUnsupported = errors.New("not on Windows")

func detached() *syscall.SysProcAttr { return nil }

func become(string, []string, []string) error { return errUnsupported }

func duplicate(*os.File) (int, error) { return -1, errUnsupported }

func closeOnExec(int) {}
