package quant

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func (a wide) big() *big.Int {
	v := new(big.Int).Lsh(big.NewInt(a.hi), 64)
	return v.Add(v, new(big.Int).SetUint64(a.lo))
}

func TestWideIntegersAreThoseOfBig(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	number := func() wide {
		v := wide{int64(r.Uint64()), r.Uint64()}
		v.hi >>= r.IntN(64) // of all sizes
		if r.IntN(3) == 0 {
			v = widen(int64(v.lo) >> r.IntN(64))
		}
		return v
	}
	sum := make([]wide, 1)
	want := new(big.Int)
	for range 4000 {
		x, y := number(), number()
		n, xy := int64(r.IntN(1<<20)), number()
		exact := new(big.Int).Mul(x.big(), y.big())
		exact.Sub(new(big.Int).Mul(big.NewInt(n), xy.big()), exact)
		float, _ := new(big.Float).SetInt(exact).Float64()
		got := spread(n, xy, x, y)
		assert.LessOrEqual(t, math.Abs(got-float), math.Abs(float)*1.2e-16, "%v %v %v %v", n, xy, x, y)
		a, b := int64(r.Uint64())>>r.IntN(64), int64(r.Uint64())>>r.IntN(64)
		assert.Equal(t, new(big.Int).Mul(big.NewInt(a), big.NewInt(b)), times(a, b).big())
		a, b, sign := a>>6, b>>6, 1-2*r.IntN(2)
		addProducts(sum, a, []int64{b}, sign)
		want.Add(want, new(big.Int).Mul(big.NewInt(int64(sign)*a), big.NewInt(b)))
		assert.Equal(t, 0, want.Cmp(sum[0].big()), "sums are exact, as long as they fit")
	}
	assert.Equal(t, int64(1), quanta(0x1p-53))
	assert.Equal(t, int64(-511)<<53, quanta(-511))
}
