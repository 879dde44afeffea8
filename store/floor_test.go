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
	assert.Zero(t, f.begin(now, 0, 50, 50), "the first scan is of all")
	f.end()
	assert.Zero(t, f.begin(now, 100, 55, 60), "transactions below 60 may hold lower ids than 100")
	f.end()
	assert.Zero(t, f.begin(now, 200, 59, 90))
	f.end()
	assert.Zero(t, f.begin(now, 300, 60, 95), "they are over, and what they left is read by this scan")
	assert.Zero(t, f.from(now))
	f.end()
	assert.EqualValues(t, 100, f.from(now), "it was")
	assert.EqualValues(t, 100, f.begin(now, 300, 97, 97), "what was seen since awaits its own transactions")
	f.end()
	assert.EqualValues(t, 100, f.begin(now, 300, 97, 97))
	f.end()
	assert.EqualValues(t, 300, f.begin(now, 300, 97, 97))
	f.end()
	now = now.Add(floorFull)
	assert.Zero(t, f.from(now), "now and then a scan is of all")
	assert.EqualValues(t, 300, f.from(now))
}
