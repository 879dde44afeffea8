//go:build !unix

package provider

// nonblocking is the flag with which opening a file does not wait; systems other than Unix have no files that need it.
const nonblocking = 0
