package provider

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Either bound of the waits between tries can be set alone.
func TestTheWaitsBetweenTries(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, c := range []struct{ least, most, wantLeast, wantMost time.Duration }{
		{0, 0, second / 2, 20 * second}, {0, 5 * second, second / 2, 5 * second},
		{0, second / 4, second / 4, second / 4},
		{2 * second, 0, 2 * second, 20 * second}, {30 * second, 0, 30 * second, 30 * second},
		{second, 3 * second, second, 3 * second},
	} {
		w := newWeb(site{}, Limits{MinWait: c.least, MaxWait: c.most})
		assert.Equal(t, c.wantLeast, w.http.RetryWaitMin, "%v to %v", c.least, c.most)
		assert.Equal(t, c.wantMost, w.http.RetryWaitMax, "%v to %v", c.least, c.most)
	}
}
