package cmd

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// memoryFloor is the memory limit of a server with little data, in bytes.
const memoryFloor = 128 << 20

// limitMemory has the garbage collector keep the process small: below memoryFloor it collects seldom, above it when
// the heap has doubled. The limit follows the live heap that each collection measures, so that it never makes the
// collector run without end. GOGC and GOMEMLIMIT take precedence.
func limitMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(200)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	afterEachCollection(func() {
		metrics.Read(live)
		debug.SetMemoryLimit(max(memoryFloor, 2*int64(live[0].Value.Uint64())))
	})
}

// afterEachCollection calls fn now and after each garbage collection: the finalizer of an object that nothing else
// refers to runs after the next one.
func afterEachCollection(fn func()) {
	fn()
	runtime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) { afterEachCollection(fn) })
}
