package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFloor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var f floor
	assert.Zero(t, f.next(now), "the first scan is of all")
	f.seen(100, now)
	now = now.Add(floorAfter / 2)
	assert.Zero(t, f.next(now), "what was seen a moment ago may have lower neighbours that are not committed")
	f.seen(200, now)
	now = now.Add(floorAfter / 2)
	assert.EqualValues(t, 100, f.next(now))
	now = now.Add(floorAfter / 2)
	assert.EqualValues(t, 200, f.next(now))
	now = now.Add(floorFull)
	assert.Zero(t, f.next(now), "now and then a scan is of all")
	assert.EqualValues(t, 200, f.next(now))
	for range 1000 {
		now = now.Add(time.Millisecond)
		f.seen(300, now)
		f.next(now)
	}
	assert.Less(t, len(f.marks), 20)
}
