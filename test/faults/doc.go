// Package faults breaks what the composed stack rests on, one thing at a time and under a small load, and requires
// that each fault is reported while it lasts and that nothing of it is left afterwards.
//
// It needs Docker and takes half an hour: STEGA_FAULTS=1 go test -timeout 90m ./test/faults
package faults
