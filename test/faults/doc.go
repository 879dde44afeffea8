// Package faults breaks the dependencies of the composed stack, one at a time and under a small load. Each fault must
// be reported while it lasts, and leave nothing behind.
//
// It needs Docker and takes half an hour: STEGA_FAULTS=1 go test -timeout 90m ./test/faults
package faults
