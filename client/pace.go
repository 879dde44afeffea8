package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace is how fast something is tried again: full jitter over an exponentially growing span, so that many clients
// that were cut off at once do not come back at once.
type pace struct{ first, most time.Duration }

var usual = pace{first: 200 * time.Millisecond, most: 15 * time.Second}

// wait is how long to wait before a try, after so many that failed.
func (p pace) wait(failed int) time.Duration {
	span := p.most
	if failed < 16 {
		span = min(span, p.first<<failed)
	}
	return time.Duration(rand.Int64N(int64(span) + 1))
}

// sleep waits for a time, or until it is woken; false means that the context ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
