// Package test holds the tests of the whole program: its processes are started as their users start them, and then
// killed, stopped, cut off from their servers, and left without disk space.
package test
