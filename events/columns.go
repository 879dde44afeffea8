package events

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/govalues/decimal"

	"stega/civil"
)

// Days is a column of calendar days, on the wire an array of YYYY-MM-DD.
type Days []civil.Date

// MarshalJSON encodes the whole array in one pass.
func (d Days) MarshalJSON() ([]byte, error) {
	b := make([]byte, 1, 2+13*len(d))
	b[0] = '['
	for i, day := range d {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = day.Append(b)
		b = append(b, '"')
	}
	return append(b, ']'), nil
}

// UnmarshalJSON decodes the whole array in one pass.
func (d *Days) UnmarshalJSON(b []byte) error {
	out := make(Days, 0, len(b)/13+1)
	err := eachElement(b, func(v []byte, quoted bool) error {
		if !quoted {
			return fmt.Errorf("%s is not a date in quotes", v)
		}
		day, err := civil.ParseBytes(v)
		out = append(out, day)
		return err
	})
	if err == nil {
		*d = out
	}
	return err
}

// Column is a column of exact decimals, on the wire an array of decimal strings or nulls. Numbers are accepted too.
type Column []decimal.NullDecimal

// MarshalJSON encodes the whole array in one pass.
func (c Column) MarshalJSON() ([]byte, error) {
	b := make([]byte, 1, 2+12*len(c))
	b[0] = '['
	var text []byte
	for i := range c {
		if i > 0 {
			b = append(b, ',')
		}
		if !c[i].Valid {
			b = append(b, "null"...)
			continue
		}
		var err error
		if text, err = c[i].Decimal.AppendText(text[:0]); err != nil {
			return nil, err
		}
		b = append(b, '"')
		b = append(b, text...)
		b = append(b, '"')
	}
	return append(b, ']'), nil
}

// UnmarshalJSON decodes the whole array in one pass.
func (c *Column) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		*c = nil
		return nil
	}
	out := make(Column, 0, len(b)/10+1)
	err := eachElement(b, func(v []byte, quoted bool) error {
		if !quoted && string(v) == "null" {
			out = append(out, decimal.NullDecimal{})
			return nil
		}
		d, err := decimal.Parse(string(v))
		if err != nil {
			return fmt.Errorf("%q is not a decimal number", v)
		}
		out = append(out, decimal.NullDecimal{Decimal: d, Valid: true})
		return nil
	})
	if err == nil {
		*c = out
	}
	return err
}

// Floats is a column of floating-point numbers, on the wire an array of the shortest numbers that decode to the same
// bits. NaN is null.
type Floats []float64

// MarshalJSON encodes the whole array in one pass. Infinities are an error.
func (f Floats) MarshalJSON() ([]byte, error) {
	b := make([]byte, 1, 2+22*len(f))
	b[0] = '['
	for i, v := range f {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case math.IsNaN(v):
			b = append(b, "null"...)
		case math.IsInf(v, 0):
			return nil, fmt.Errorf("element %d is not finite", i)
		default:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		}
	}
	return append(b, ']'), nil
}

// UnmarshalJSON decodes the whole array in one pass.
func (f *Floats) UnmarshalJSON(b []byte) error {
	out := make(Floats, 0, len(b)/20+1)
	err := eachElement(b, func(v []byte, quoted bool) error {
		if !quoted && string(v) == "null" {
			out = append(out, math.NaN())
			return nil
		}
		number, err := strconv.ParseFloat(string(v), 64)
		if quoted || err != nil {
			return fmt.Errorf("%q is not a number that fits", v)
		}
		out = append(out, number)
		return nil
	})
	if err == nil {
		*f = out
	}
	return err
}

// eachElement calls visit for each element of a flat JSON array of strings without escapes, numbers or nulls. The
// decoder has already checked the syntax.
func eachElement(b []byte, visit func(v []byte, quoted bool) error) error {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '[' || b[len(b)-1] != ']' {
		return errors.New("not an array")
	}
	b = b[1 : len(b)-1]
	for i := 0; i < len(b); {
		switch b[i] {
		case ' ', ',', '\n', '\t', '\r':
			i++
		case '"':
			end := bytes.IndexByte(b[i+1:], '"')
			if end < 0 {
				return errors.New("a string does not end")
			}
			if err := visit(b[i+1:i+1+end], true); err != nil {
				return err
			}
			i += end + 2
		case '[', '{':
			return errors.New("an array of plain values has a nested one")
		default:
			end := i
			for end < len(b) && b[end] != ',' && b[end] > ' ' {
				end++
			}
			if err := visit(b[i:end], false); err != nil {
				return err
			}
			i = end
		}
	}
	return nil
}
