// Package backoff provides delays between attempts. They double up to a limit, and have jitter, so that processes
// that failed together do not retry together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Exponential returns base·2ⁿ, at most limit.
func Exponential(base, limit time.Duration, n int) time.Duration {
	d := base
	for range n {
		if d *= 2; d >= limit {
			return limit
		}
	}
	return min(d, limit)
}

// Full returns a random delay of at most d.
func Full(d time.Duration) time.Duration { return rand.N(d + 1) }

// Half returns a random delay from half of d to d, for waits that must not be skipped.
func Half(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// Sleep blocks for a time. It returns false when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Backoff counts the attempts of one operation.
type Backoff struct {
	Base, Max time.Duration

	tries int
}

// Next returns the delay before the next attempt, at least half of Base·2ⁿ.
func (b *Backoff) Next() time.Duration {
	b.tries++
	return Half(Exponential(b.Base, b.Max, b.tries-1))
}

// Sleep blocks for the delay before the next attempt. It returns false when ctx ends first.
func (b *Backoff) Sleep(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Reset restarts the delays after a success.
func (b *Backoff) Reset() { b.tries = 0 }
