package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIDsOfClientsAreOfNow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	of := func(at time.Time) string {
		ms := fmt.Sprintf("%012x", at.UnixMilli())
		return ms[:8] + "-" + ms[8:] + "-7000-8000-000000000001"
	}
	for id, good := range map[string]bool{
		NewID(): true, of(now): true, of(now.Add(-29 * 24 * time.Hour)): true, of(now.Add(9 * time.Minute)): true,
		of(now.Add(-31 * 24 * time.Hour)): false, of(now.Add(11 * time.Minute)): false,
		"ffffffff-ffff-7fff-bfff-ffffffffffff": false, "ffffffff-ffff-4fff-bfff-ffffffffffff": false,
		"00000000-0000-0000-0000-000000000000": false, "00000000-0000-7000-8000-000000000000": false,
		"7b3e1c1a-6a5e-4d38-9c0f-0f6a1b2c3d4e": false, "mine": false, "": false,
		"urn:uuid:" + NewID(): false, "{" + NewID() + "}": false, strings.ReplaceAll(NewID(), "-", ""): false,
		of(now)[:19] + "0000-000000000001": false,
	} {
		_, err := CheckID(id, now)
		assert.Equal(t, good, err == nil, "%s: %v", id, err)
	}
	upper := strings.ToUpper(NewID())
	id, err := CheckID(upper, now)
	require.NoError(t, err)
	assert.Equal(t, strings.ToLower(upper), id)
}
