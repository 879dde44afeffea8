//go:build unix

package daemon

import "syscall"

// supported is the fault of systems on which no daemon can run; nil here.
var supported error

// detached returns attributes of a process that outlives the terminal that it was started from.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// closeOnExec keeps an inherited file from the programs that this one starts.
func closeOnExec(fd int) { syscall.CloseOnExec(fd) }
