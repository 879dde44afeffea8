// Package wait provides waiting for tests: until a condition holds, with a deadline, and never for a fixed time.
package wait

import (
	"context"
	"os"
	"testing"
	"time"
)

// Patience limits the wait of a test for an expected condition; machines can be slow.
const Patience = 60 * time.Second

// Until blocks until a condition holds, and ends the test after Patience.
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
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// For blocks until a condition holds, or returns the error of ctx when it ends. It serves goroutines, which cannot
// end a test.
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

// Skip skips a test for which the machine lacks something. With CI=true it fails the test instead, because CI must
// run every test.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format+", and CI=true does not allow to skip", args...)
	}
	t.Skipf(format, args...)
}
