package marketdata

import (
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
	assert.Equal(t, data, pack([]Bar{bar(1, "185.64"), bar(2, "9999999999999999999"), full, bar(31, "1.00")}), "equal bars have equal bytes")
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
