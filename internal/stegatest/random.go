package stegatest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rand returns random numbers from a seed that the test logs. STEGA_TEST_SEED repeats a seed.
func Rand(t testing.TB, stream uint64) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("STEGA_TEST_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err, "STEGA_TEST_SEED")
	}
	t.Logf("random numbers: STEGA_TEST_SEED=%d repeats them", seed)
	return rand.New(rand.NewPCG(seed, stream))
}
