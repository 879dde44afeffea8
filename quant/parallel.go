package quant

import (
	"context"
	"sync"
	"sync/atomic"
)

// parallel calls work(0) to work(n−1) on as many goroutines as workers. After ctx ends it starts no further call and
// returns the error of ctx.
func parallel(ctx context.Context, workers, n int, work func(i int)) error {
	if workers <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			work(i)
		}
		return nil
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(workers, n) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				work(int(i))
			}
		})
	}
	all.Wait()
	return ctx.Err()
}
