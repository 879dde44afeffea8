//go:build unix

package daemon

import (
	"os"
	"syscall"
)

// supported is nil where a daemon can run.
var supported error

// detached has a process outlive the terminal that it was started from.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// become has this process go on as another program.
func become(program string, args, env []string) error {
	return syscall.Exec(program, args, env) //nolint:gosec // its user named it
}

// duplicate is a copy of a file that stays open when this process becomes another program.
func duplicate(f *os.File) (fd int, err error) { return syscall.Dup(int(f.Fd())) }

// closeOnExec has a file that was handed over end with this program.
func closeOnExec(fd int) { syscall.CloseOnExec(fd) }
