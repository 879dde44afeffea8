package returns

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/civil"
)

func TestPackedPointsUnpackUnchanged(t *testing.T) {
	t.Parallel()
	var points []point
	for i := range 16 {
		p := newPoint(civil.Of(2023, 12, 31).AddDays(1+i*i), float64(i)+0.25)
		for bit, v := range p.extras() {
			if i>>bit&1 == 1 {
				*v = float64(10*i + bit)
			}
		}
		points = append(points, p)
	}
	data := pack(points)
	r := row{Year: 2024, Format: currentFormat, Data: data}
	got, err := r.unpack(nil)
	require.NoError(t, err)
	require.Len(t, got, len(points))
	for i := range got {
		assert.True(t, points[i].equal(got[i]), "%v %v", points[i], got[i])
	}
	assert.Equal(t, data, pack(got), "equal points have equal bytes")
	for cut := range data {
		r.Data = data[:cut]
		part, err := r.unpack(nil)
		assert.True(t, err != nil || len(part) < len(points), "truncated data is an error, or has fewer points")
	}
	r.Format = 3
	_, err = r.unpack(nil)
	require.ErrorIs(t, err, errPacked)
}

// Rows of the first format, without dividends and splits, are readable. A change stores them in the current format.
func TestTheFirstFormatIsStillRead(t *testing.T) {
	t.Parallel()
	var data []byte
	for _, p := range []struct {
		head   uint64
		prices []float64
	}{{1<<1 | 1, []float64{100, 99}}, {3 << 1, []float64{101}}} { // on the 2nd and the 5th of January
		data = binary.AppendUvarint(data, p.head)
		for _, price := range p.prices {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(price))
		}
	}
	old := &row{Symbol: "A", Year: 2024, Days: 2, Format: formatCloses, Data: data}
	got, err := old.unpack(nil)
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.Equal(t, "2024-01-02", got[0].day.String())
	assert.Equal(t, "2024-01-05", got[1].day.String())
	assert.Equal(t, []float64{100, 99, 101}, []float64{got[0].close, got[0].adjusted, got[1].close})
	assert.True(t, math.IsNaN(got[1].adjusted) && math.IsNaN(got[1].dividend))

	y := &years{rows: map[int]*row{2024: old}}
	p := newPoint(civil.Of(2024, 1, 5), 101)
	p.dividend = 1
	changed, err := y.merge([]point{p})
	require.NoError(t, err)
	require.Len(t, changed, 1)
	all, err := y.rows[2024].unpack(nil)
	require.NoError(t, err)
	assert.Equal(t, currentFormat, y.rows[2024].Format)
	assert.Len(t, all, 2)
	assert.InDelta(t, 101/(100*0.99)-1, returnBetween(all[0], all[1]), 1e-15)
}

// Any data that unpack accepts packs to data that unpacks to the same points.
func FuzzUnpack(f *testing.F) {
	p := newPoint(civil.Of(2024, 3, 1), 100)
	p.dividend = 0.5
	f.Add(pack([]point{p, newPoint(civil.Of(2024, 3, 4), 101)}), currentFormat)
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0}, formatCloses)
	f.Fuzz(func(t *testing.T, data []byte, form int) {
		points, err := (&row{Year: 2024, Format: form, Data: data}).unpack(nil)
		for i := range points {
			for _, v := range append([]*float64{&points[i].close}, extrasOf(&points[i])...) {
				if math.IsNaN(*v) {
					*v = 1
				}
			}
		}
		if err != nil || len(points) == 0 || points[len(points)-1].day > civil.Of(2025, 1, 1) {
			return
		}
		again, err := (&row{Year: 2024, Format: currentFormat, Data: pack(points)}).unpack(nil)
		require.NoError(t, err)
		require.Len(t, again, len(points))
		for i := range again {
			require.True(t, again[i].equal(points[i]))
		}
	})
}

func extrasOf(p *point) []*float64 {
	all := p.extras()
	return all[:]
}
