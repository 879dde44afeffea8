package quant

import (
	"sync"
	"sync/atomic"
)

// parallel calls work(0) to work(n−1), on as many goroutines as there are workers.
func parallel(workers, n int, work func(i int)) {
	if workers <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(workers, n) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				work(int(i))
			}
		})
	}
	all.Wait()
}
