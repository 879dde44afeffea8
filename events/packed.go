package events

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"github.com/govalues/decimal"

	"stega/civil"
)

// The bulk events travel on the broker with their columns in a packed form, which is smaller than JSON arrays and is
// encoded and decoded in one pass. Their data is the JSON object {"packed":"…", …}: the packed columns in base64
// (RFC 4648), followed by the other fields. Everywhere else the columns are arrays. Both forms are decoded, and the
// encoder leaves arrays to columns that the packed form cannot carry exactly.
//
// Packed columns begin with the version, one byte, and the days: a uvarint of their number (at least one), a varint of
// the first (days since 1970-01-01) and a uvarint of the days to each further one. The columns follow.
//
// The returns of AssetUpdated are eight bytes each, IEEE 754 and little-endian; NaN is no return. PricesImported has a
// byte whose bits mark the columns that are present beside close (1 adj_close, 2 dividend, 4 split), then close, and
// these in the same order.
//
// A column of decimals begins with a byte: its low five bits are a scale, the next two are flags. With flagSparse,
// some values are missing: a uvarint has the number of the others, and a uvarint before each of these counts the days
// without a value since the one before. A value is a varint, the difference of its digits to those of the value before
// (the first: to 0), all with the scale of the column; it is read without trailing zeros. With flagScales, a value is
// its own scale, one byte, and a uvarint of its digits.
//
// The varints are those of Protocol Buffers, signed ones in zigzag form.
const (
	packedVersion = 1

	scaleMask  = 0x1f
	flagSparse = 0x20
	flagScales = 0x40
)

// packedPrefix is how the data of an event with packed columns begins.
const packedPrefix = `{"packed":"`

var errPacked = errors.New("the packed columns are damaged")

// packer is an event that can be packed.
type packer interface {
	Typed
	// pack appends the packed columns; ok is false when they do not fit the form.
	pack(out []byte) (packed []byte, ok bool)
	// fields returns the other fields, to be encoded as an object of at least one field.
	fields() any
}

// unpacker is a pointer to an event that can be packed.
type unpacker interface {
	// decode decodes JSON by the standard decoder, and returns the packed columns if there are any.
	decode(data []byte) (packed []byte, err error)
	// unpack sets the columns.
	unpack(packed []byte) error
}

// Marshal returns the data of a message as the broker carries it: bulk events packed, all others as JSON.
func Marshal(m Typed) ([]byte, error) {
	p, ok := m.(packer)
	if !ok {
		return json.Marshal(m)
	}
	columns, ok := p.pack(nil)
	if !ok {
		return json.Marshal(m)
	}
	fields, err := json.Marshal(p.fields())
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(packedPrefix)+base64.StdEncoding.EncodedLen(len(columns))+len(fields)+1)
	out = base64.StdEncoding.AppendEncode(append(out, packedPrefix...), columns)
	return append(append(out, `",`...), fields[1:]...), nil
}

// Unmarshal decodes the data of a message, in either form, into a pointer to an event or command.
func Unmarshal(data []byte, into any) error {
	u, ok := into.(unpacker)
	if !ok {
		return json.Unmarshal(data, into)
	}
	columns, fields, ok := cutPacked(data)
	if !ok {
		fields = data
	}
	more, err := u.decode(fields)
	if err != nil {
		return err
	}
	if more != nil { // the packed columns do not come first, or come twice
		columns, ok = more, true
	}
	if !ok {
		return nil
	}
	return u.unpack(columns)
}

// cutPacked divides data as Marshal returns it into the packed columns and an object with the other fields, without
// looking at the former as JSON.
func cutPacked(data []byte) (columns, fields []byte, ok bool) {
	text, ok := bytes.CutPrefix(data, []byte(packedPrefix))
	if !ok {
		return nil, nil, false
	}
	end := bytes.Index(text, []byte(`",`))
	if end < 0 {
		return nil, nil, false
	}
	columns, err := base64.StdEncoding.AppendDecode(nil, text[:end])
	rest := bytes.TrimLeft(text[end+2:], " \t\r\n")
	// The length shows line ends, which base64 has and JSON has not. A comma needs a field after it.
	if err != nil || base64.StdEncoding.EncodedLen(len(columns)) != end || !bytes.HasPrefix(rest, []byte{'"'}) {
		return nil, nil, false
	}
	return columns, append([]byte{'{'}, rest...), true
}

// IsPacked reports whether data is that of an event with packed columns, as Marshal returns it.
func IsPacked(data []byte) bool { return bytes.HasPrefix(data, []byte(packedPrefix)) }

// Arrays returns the data of a message in the form that people and programs outside read, with all columns as arrays.
// Data that cannot be decoded stays as it is.
func Arrays(topic string, data []byte) []byte {
	if !bytes.Contains(data, []byte(`"packed"`)) {
		return data
	}
	t, ok := Lookup(topic)
	if !ok {
		return data
	}
	if _, ok := t.New().(unpacker); !ok {
		return data
	}
	v, err := t.Decode(data)
	if err != nil {
		return data
	}
	arrays, err := json.Marshal(v)
	if err != nil {
		return data
	}
	return arrays
}

func (e PricesImported) fields() any {
	return struct {
		Symbol string  `json:"symbol"`
		Replay *Replay `json:"replay,omitempty"`
	}{e.Symbol, e.Replay}
}

func (e PricesImported) pack(out []byte) ([]byte, bool) {
	if len(e.Open)+len(e.High)+len(e.Low)+len(e.Volume) > 0 {
		return nil, false
	}
	out, ok := packDays(out, e.Days, 1+8*len(e.Days))
	if !ok {
		return nil, false
	}
	mask, columns := byte(0), []Column{e.Close}
	for bit, c := range []Column{e.AdjClose, e.Dividend, e.Split} {
		if len(c) > 0 {
			mask |= 1 << bit
			columns = append(columns, c)
		}
	}
	out = append(out, mask)
	for _, c := range columns {
		if len(c) != len(e.Days) {
			return nil, false
		}
		if out, ok = c.pack(out); !ok {
			return nil, false
		}
	}
	return out, true
}

func (e *PricesImported) decode(data []byte) ([]byte, error) {
	v := struct {
		*PricesImported
		Packed []byte `json:"packed"`
	}{PricesImported: e}
	err := json.Unmarshal(data, &v)
	return v.Packed, err
}

func (e *PricesImported) unpack(packed []byte) error {
	r := packedReader{data: packed}
	e.Days = r.days()
	mask := r.byte()
	e.Close, e.AdjClose, e.Dividend, e.Split = r.column(len(e.Days)), nil, nil, nil
	for bit, c := range []*Column{&e.AdjClose, &e.Dividend, &e.Split} {
		if mask>>bit&1 == 1 {
			*c = r.column(len(e.Days))
		}
	}
	if mask>>3 != 0 {
		r.failed = true
	}
	return r.end()
}

func (e AssetUpdated) fields() any {
	return struct { // the outer fields hide the columns
		AssetUpdated
		Days    any `json:"dates,omitempty"`
		Returns any `json:"returns,omitempty"`
	}{AssetUpdated: e}
}

func (e AssetUpdated) pack(out []byte) ([]byte, bool) {
	out, ok := packDays(out, e.Days, 9*len(e.Days))
	if !ok || len(e.Returns) != len(e.Days) {
		return nil, false
	}
	for _, v := range e.Returns {
		if math.IsInf(v, 0) {
			return nil, false
		}
		if v != v {
			v = math.NaN() // one NaN for all
		}
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out, true
}

func (e *AssetUpdated) decode(data []byte) ([]byte, error) {
	v := struct {
		*AssetUpdated
		Packed []byte `json:"packed"`
	}{AssetUpdated: e}
	err := json.Unmarshal(data, &v)
	return v.Packed, err
}

func (e *AssetUpdated) unpack(packed []byte) error {
	r := packedReader{data: packed}
	e.Days = r.days()
	e.Returns = make(Floats, len(e.Days))
	for i := range e.Returns {
		b := r.take(8)
		if r.failed {
			break
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(b))
		if math.IsInf(v, 0) {
			r.failed = true
		}
		e.Returns[i] = v
	}
	return r.end()
}

// packDays begins packed columns, of about size bytes, with the days. They do not fit unless there are some and they
// rise.
func packDays(out []byte, days Days, size int) ([]byte, bool) {
	if len(days) == 0 || int64(days[0]) < firstDay || int64(days[len(days)-1]) > lastDay {
		return nil, false
	}
	out = append(slices.Grow(out, size+16), packedVersion)
	out = binary.AppendUvarint(out, uint64(len(days)))
	out = binary.AppendVarint(out, int64(days[0]))
	for i, day := range days[1:] {
		if day <= days[i] {
			return nil, false
		}
		out = binary.AppendUvarint(out, uint64(day-days[i]))
	}
	return out, true
}

// powers10 are the powers of ten that fit a uint64.
var powers10 = func() (p [20]uint64) {
	p[0] = 1
	for i := range p[1:] {
		p[i+1] = 10 * p[i]
	}
	return p
}()

// maxDigits bounds the digits of a value, so that the difference of any two fits an int64.
const maxDigits = 1e18 - 1

// pack appends a column. Negative numbers and those of 19 digits do not fit.
func (c Column) pack(out []byte) ([]byte, bool) {
	scale, present, exact := 0, 0, true
	for i := range c {
		if !c[i].Valid {
			continue
		}
		present++
		d := c[i].Decimal
		if d.IsNeg() || d.Coef() > maxDigits {
			return nil, false
		}
		scale = max(scale, d.Scale())
		exact = exact && (d.Scale() == 0 || d.Coef()%10 != 0) // else a zero is lost
	}
	for i := range c {
		d := c[i].Decimal
		exact = exact && (!c[i].Valid || d.Coef() <= maxDigits/powers10[scale-d.Scale()])
	}
	head := byte(scale)
	if !exact {
		head = flagScales
	}
	if present < len(c) {
		out = binary.AppendUvarint(append(out, head|flagSparse), uint64(present))
	} else {
		out = append(out, head)
	}
	last, gap := int64(0), uint64(0)
	for i := range c {
		if !c[i].Valid {
			gap++
			continue
		}
		if present < len(c) {
			out, gap = binary.AppendUvarint(out, gap), 0
		}
		d := c[i].Decimal
		if exact {
			digits := int64(d.Coef() * powers10[scale-d.Scale()])
			out, last = binary.AppendVarint(out, digits-last), digits
		} else {
			out = binary.AppendUvarint(append(out, byte(d.Scale())), d.Coef())
		}
	}
	return out, true
}

// packedReader decodes packed columns. It fails for good at the first thing that is not in their form.
type packedReader struct {
	data   []byte
	failed bool
}

// end returns an error unless everything was read and was in order.
func (r *packedReader) end() error {
	if r.failed || len(r.data) > 0 {
		return errPacked
	}
	return nil
}

// take returns the next n bytes.
func (r *packedReader) take(n int) []byte {
	if r.failed || len(r.data) < n {
		r.failed = true
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *packedReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *packedReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || r.failed {
		r.failed = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *packedReader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// The days that a date can have on the wire.
var firstDay, lastDay = int64(civil.Of(1, 1, 1)), int64(civil.Of(9999, 12, 31))

func (r *packedReader) days() Days {
	if r.byte() != packedVersion {
		r.failed = true
	}
	n := r.uvarint()
	if r.failed || n == 0 || n > uint64(len(r.data)) {
		r.failed = true
		return nil
	}
	out := make(Days, n)
	day := r.varint()
	for i := range out {
		if i > 0 {
			gap := r.uvarint()
			if gap == 0 || gap > uint64(lastDay-firstDay) {
				r.failed = true
			}
			day += int64(gap)
		}
		if r.failed || day < firstDay || day > lastDay {
			r.failed = true
			return nil
		}
		out[i] = civil.Date(day)
	}
	return out
}

// column returns a column of n values.
func (r *packedReader) column(n int) Column {
	head := r.byte()
	scale := int(head & scaleMask)
	if head&^(scaleMask|flagSparse|flagScales) != 0 || scale >= len(powers10) || head&flagScales != 0 && scale != 0 {
		r.failed = true
	}
	present, sparse := uint64(n), head&flagSparse != 0
	if sparse {
		present = r.uvarint()
	}
	if r.failed || present > uint64(n) {
		r.failed = true
		return nil
	}
	out := make(Column, n)
	at, last := uint64(0), int64(0)
	for range present {
		if sparse {
			gap := r.uvarint()
			if gap >= uint64(n)-at {
				r.failed = true
				return nil
			}
			at += gap
		}
		var d decimal.Decimal
		if head&flagScales != 0 {
			own := int(r.byte())
			d = r.decimal(r.uvarint(), own)
		} else {
			last += r.varint()
			digits, own := uint64(last), scale
			for own > 0 && digits%10 == 0 {
				digits /= 10
				own--
			}
			d = r.decimal(digits, own)
		}
		if r.failed {
			return nil
		}
		out[at] = decimal.NullDecimal{Decimal: d, Valid: true}
		at++
	}
	return out
}

func (r *packedReader) decimal(digits uint64, scale int) decimal.Decimal {
	if digits > maxDigits {
		r.failed = true
		return decimal.Decimal{}
	}
	d, err := decimal.New(int64(digits), scale)
	if err != nil {
		r.failed = true
	}
	return d
}
