package rest

import (
	"context"
	"runtime"
	"time"

	"stega/fault"
)

// Work bounds how many costly requests a service computes at once. Clients that ask for much, or again and again,
// cannot take all cores from the other requests of the process.
type Work struct {
	slots    chan struct{}
	patience time.Duration
}

// LightWork is how many steps of a few nanoseconds a request may take without being costly.
const LightWork = 2_000_000

// NewWork makes turns for n costly requests at once, for which others wait for at most a time. Half of the cores and
// 5 s are taken for what is zero.
func NewWork(n int, patience time.Duration) *Work {
	if n == 0 {
		n = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if patience == 0 {
		patience = 5 * time.Second
	}
	return &Work{slots: make(chan struct{}, n), patience: patience}
}

// Do runs f, which takes so many steps, when its turn comes. A fault says when it did not come in time; the cause of
// ctx is returned when that ends before.
func (w *Work) Do(ctx context.Context, steps float64, f func() error) error {
	if steps > LightWork {
		timer := time.NewTimer(w.patience)
		defer timer.Stop()
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
		case <-timer.C:
			return fault.New(fault.KindRateLimited, "estimators_busy",
				"%d costly requests are computed at present, and others wait", cap(w.slots)).
				WithHint("send it again after some seconds, or ask for fewer symbols or a shorter window")
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f()
}
