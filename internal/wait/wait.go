// Package wait is how tests wait: for the thing itself, with a deadline, and never for a time.
package wait

import (
	"context"
	"os"
	"testing"
	"time"
)

// Patience is how long a test waits for a thing that must happen; machines can be slow.
const Patience = 60 * time.Second

// Until waits until a thing is so, and ends the test when that takes too long.
func Until(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// For waits until a thing is so, or ctx ends, which is its error then: for goroutines, which cannot end a test.
func For(ctx context.Context, so func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Skip skips a test for want of something that the machine lacks, or fails it where CI=true: there everything must be
// shown.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format+", and CI=true does not allow to skip", args...)
	}
	t.Skipf(format, args...)
}
