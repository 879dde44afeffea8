package marketdata

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/govalues/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
)

func bar(day int, price string) Bar {
	b := Bar{Day: civil.Of(2024, 1, day), Close: decimal.MustParse(price)}
	canonical(&b)
	return b
}

func TestPackedBarsComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	full := bar(3, "0.0000000000000000001")
	for i, v := range valuesOf(&full) {
		*v = decimal.NullDecimal{Decimal: decimal.MustNew(int64(i)+1, i), Valid: true}
	}
	canonical(&full)
	bars := []Bar{bar(1, "185.640"), bar(2, "9999999999999999999"), full, bar(31, "1")}
	data := pack(bars)
	got, err := unpack(nil, data)
	require.NoError(t, err)
	assert.Equal(t, bars, got)
	assert.Equal(
		t, data, pack([]Bar{bar(1, "185.64"), bar(2, "9999999999999999999"), full, bar(31, "1.00")}),
		"equal bars have equal bytes",
	)
	for cut := range data {
		part, err := unpack(nil, data[:cut])
		assert.True(t, err != nil || len(part) < len(bars), "what is cut off is not passed over")
	}
}

func TestMergeTellsWhatDiffers(t *testing.T) {
	t.Parallel()
	old := []Bar{bar(2, "10"), bar(4, "20"), bar(6, "30")}
	all, changed := merge(old, []Bar{bar(1, "5"), bar(4, "20.0"), bar(6, "31"), bar(7, "40")})
	assert.Equal(t, []Bar{bar(1, "5"), bar(2, "10"), bar(4, "20"), bar(6, "31"), bar(7, "40")}, all)
	assert.Equal(t, []Bar{bar(1, "5"), bar(6, "31"), bar(7, "40")}, changed)
	_, changed = merge(old, old)
	assert.Empty(t, changed)
}

// However bars come, one at a time or together, late or again, the rows that they end in are the same.
func TestYearsGrowToTheSameBytes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		var bars []Bar
		for day := range 500 {
			if r.IntN(3) > 0 {
				bars = append(bars, bar(day+1, strconv.Itoa(1+r.IntN(1000))))
			}
		}
		_, rows, err := mergeYears("A", nil, bars)
		require.NoError(t, err)
		want := map[int]row{}
		for _, y := range rows {
			want[y.Year] = y
		}
		got := map[int]row{}
		put := func(some []Bar) {
			_, rows, err := mergeYears("A", got, some)
			require.NoError(t, err)
			for _, y := range rows {
				y.Data = slices.Clone(y.Data)
				got[y.Year] = y
			}
		}
		for left := slices.Clone(bars); len(left) > 0; {
			n := min(1+r.IntN(40), len(left))
			if r.IntN(4) == 0 && len(left) > 2*n { // later ones first
				put(left[n : 2*n])
			}
			put(left[:n])
			if r.IntN(4) == 0 {
				put(left[:n])
			}
			left = left[n:]
		}
		require.Equal(t, want, got)
	}
}

// Damaged bytes are an error, never a panic, and what can be read is packed to bytes that read the same.
func FuzzUnpack(f *testing.F) {
	f.Add(pack([]Bar{bar(1, "185.64"), bar(2, "1")}))
	f.Add([]byte{packedVersion, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		bars, err := unpack(nil, data)
		if err != nil {
			return
		}
		for i := range bars {
			if i > 0 && bars[i].Day < bars[i-1].Day {
				return // days that overflow the calendar
			}
			canonical(&bars[i])
		}
		again, err := unpack(nil, pack(bars))
		require.NoError(t, err)
		assert.Equal(t, bars, again)
	})
}
