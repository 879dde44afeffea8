package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"stega/internal/backoff"
)

func TestExponentialDoublesUpToItsLimit(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 20*time.Millisecond, backoff.Exponential(20*time.Millisecond, time.Minute, 0))
	assert.Equal(t, 160*time.Millisecond, backoff.Exponential(20*time.Millisecond, time.Minute, 3))
	assert.Equal(t, time.Minute, backoff.Exponential(time.Second, time.Minute, 60))
	assert.Equal(t, time.Minute, backoff.Exponential(time.Second, time.Minute, 1000))
}

func TestJitterStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	for range 1000 {
		full, half := backoff.Full(time.Second), backoff.Half(time.Second)
		assert.True(t, full >= 0 && full <= time.Second, full)
		assert.True(t, half >= time.Second/2 && half <= time.Second, half)
	}
}

func TestABackoffGrowsUntilItIsReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{Base: time.Second, Max: 4 * time.Second}
		for _, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			began := time.Now()
			assert.True(t, b.Sleep(t.Context()))
			assert.GreaterOrEqual(t, time.Since(began), most/2)
			assert.LessOrEqual(t, time.Since(began), most)
		}
		b.Reset()
		assert.LessOrEqual(t, b.Next(), time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.False(t, b.Sleep(ctx))
	})
}
