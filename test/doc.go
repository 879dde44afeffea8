// Package test holds the tests of the whole program. They start its processes as users do, then kill them, stop them,
// cut them off from their servers, and fill their disks.
package test
