package marketdata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/services/marketdata/pricefile"
)

// Bar is the prices of one symbol on one day.
type Bar = pricefile.Bar

// A packed series is a version byte and the bars in the order of days. A bar is a uvarint of the days since the bar
// before (the first: since 1800-01-01), a byte whose bit i marks value i as present, and the values. A value is its
// scale as a byte and its digits as a uvarint. Numbers have no trailing zeros, so equal bars have equal bytes.
const packedVersion = 1

var packedFrom = civil.Of(1800, 1, 1)

var errPacked = errors.New("packed prices are damaged")

// valuesOf returns the values of a bar beside its close, in the order of their bits.
func valuesOf(b *Bar) [7]*decimal.NullDecimal {
	return [...]*decimal.NullDecimal{&b.AdjClose, &b.Open, &b.High, &b.Low, &b.Volume, &b.Dividend, &b.Split}
}

// canonical drops trailing zeros, so that equal prices are equal values.
func canonical(b *Bar) {
	b.Close = b.Close.Trim(0)
	for _, v := range valuesOf(b) {
		if v.Valid {
			v.Decimal = v.Decimal.Trim(0)
		} else {
			v.Decimal = decimal.Decimal{}
		}
	}
}

// pack returns the packed form of bars, which are canonical, ordered by day and not negative.
func pack(bars []Bar) []byte {
	return appendPacked(append(make([]byte, 0, 8*len(bars)+1), packedVersion), packedFrom, bars)
}

// appendPacked appends bars to a packed series that ends before the first of them.
func appendPacked(out []byte, last civil.Date, bars []Bar) []byte {
	for i := range bars {
		b := &bars[i]
		out = binary.AppendUvarint(out, uint64(b.Day-last))
		last = b.Day
		mask := byte(0)
		values := valuesOf(b)
		for bit, v := range values {
			if v.Valid {
				mask |= 1 << bit
			}
		}
		out = packDecimal(append(out, mask), b.Close)
		for _, v := range values {
			if v.Valid {
				out = packDecimal(out, v.Decimal)
			}
		}
	}
	return out
}

func packDecimal(out []byte, d decimal.Decimal) []byte {
	return binary.AppendUvarint(append(out, byte(d.Scale())), d.Coef())
}

// unpack appends the bars of a packed series to out.
func unpack(out []Bar, data []byte) ([]Bar, error) {
	if len(data) == 0 || data[0] != packedVersion {
		return out, fmt.Errorf("%w: version", errPacked)
	}
	data = data[1:]
	day := packedFrom
	for len(data) > 0 {
		delta, n := binary.Uvarint(data)
		if n <= 0 || len(data) < n+1 {
			return out, errPacked
		}
		mask := data[n]
		data = data[n+1:]
		day += civil.Date(delta)
		b := Bar{Day: day}
		var err error
		if b.Close, data, err = unpackDecimal(data); err != nil {
			return out, err
		}
		for bit, v := range valuesOf(&b) {
			if mask>>bit&1 == 1 {
				v.Valid = true
				if v.Decimal, data, err = unpackDecimal(data); err != nil {
					return out, err
				}
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func unpackDecimal(data []byte) (decimal.Decimal, []byte, error) {
	if len(data) < 2 {
		return decimal.Decimal{}, nil, errPacked
	}
	scale := int(data[0])
	coef, n := binary.Uvarint(data[1:])
	if n <= 0 {
		return decimal.Decimal{}, nil, errPacked
	}
	d, err := pricefile.Exact(coef, scale)
	if err != nil {
		return d, nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	return d, data[1+n:], nil
}

// merge merges bars into old ones, both ordered by day; of one day, the new bar wins. It returns all bars, and those
// that are new or differ.
func merge(old, bars []Bar) (all, changed []Bar) {
	if len(old) == 0 || len(bars) == 0 || old[len(old)-1].Day < bars[0].Day {
		return append(slices.Clone(old), bars...), bars
	}
	all = make([]Bar, 0, len(old)+len(bars))
	for len(old) > 0 || len(bars) > 0 {
		switch {
		case len(bars) == 0 || len(old) > 0 && old[0].Day < bars[0].Day:
			all, old = append(all, old[0]), old[1:]
			continue
		case len(old) > 0 && old[0].Day == bars[0].Day:
			if old[0] != bars[0] {
				changed = append(changed, bars[0])
			}
			old = old[1:]
		default:
			changed = append(changed, bars[0])
		}
		all, bars = append(all, bars[0]), bars[1:]
	}
	return all, changed
}
