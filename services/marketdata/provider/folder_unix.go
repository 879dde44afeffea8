//go:build unix

package provider

import "syscall"

// nonblocking is the flag with which opening a named pipe does not wait for a writer.
const nonblocking = syscall.O_NONBLOCK
