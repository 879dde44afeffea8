package quant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// ErrEncoding reports bytes that are not the state of a Running in a version that this code reads.
var ErrEncoding = errors.New("not encoded co-moments")

// runningHeader begins the encoding; its last byte is the version. Then come the number of symbols, a list of
// integers, and a CRC-32C of everything before it in 4 bytes.
//
// The list holds counts, sums, products by rows of the upper triangle, and the counts, sums and squares of the gaps
// by rows of the missing symbol. A run of zeros is a byte 0 and its length. Any other integer is a byte, twice the
// number of bytes of its magnitude plus one if it is negative, and these bytes, highest first. Lengths are varints.
const runningHeader = "com\x01"

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// MarshalBinary returns the encoded state. The same counted days give the same bytes, in whatever order and by
// whatever corrections they were counted. 500 symbols without gaps take 1.8 MB after ten years. The error is always
// nil.
func (m *Running) MarshalBinary() ([]byte, error) {
	e := encoder{b: make([]byte, 0, 64+15*len(m.products))}
	e.b = append(e.b, runningHeader...)
	e.b = binary.AppendUvarint(e.b, uint64(m.n))
	for _, c := range m.count {
		e.put(widen(c))
	}
	for _, s := range m.sums {
		e.put(s)
	}
	for _, p := range m.products {
		e.put(p)
	}
	if m.gaps == nil {
		e.zeros += 3 * m.n * m.n
	}
	for _, g := range m.gaps {
		e.put(widen(g.count))
	}
	for _, g := range m.gaps {
		e.put(g.sum)
	}
	for _, g := range m.gaps {
		e.put(g.squares)
	}
	e.flush()
	return binary.BigEndian.AppendUint32(e.b, checksum(e.b)), nil
}

// UnmarshalBinary replaces the state by one that MarshalBinary encoded. Errors: ErrEncoding for any other bytes,
// which leave the state unchanged.
func (m *Running) UnmarshalBinary(data []byte) error {
	body := len(data) - crc32.Size
	if body < len(runningHeader) || string(data[:len(runningHeader)]) != runningHeader {
		return fmt.Errorf("%w: another header or version", ErrEncoding)
	}
	if checksum(data[:body]) != binary.BigEndian.Uint32(data[body:]) {
		return fmt.Errorf("%w: the checksum differs", ErrEncoding)
	}
	n, size := binary.Uvarint(data[len(runningHeader):body])
	if size <= 0 || n > MaxSymbols {
		return fmt.Errorf("%w: %d symbols", ErrEncoding, n)
	}
	d := decoder{b: data[len(runningHeader)+size : body]}
	decoded := newRunning(int(n))
	for i := range decoded.count {
		decoded.count[i] = int64(d.next().lo)
	}
	for i := range decoded.sums {
		decoded.sums[i] = d.next()
	}
	for i := range decoded.products {
		decoded.products[i] = d.next()
	}
	if gaps := decoded.n * decoded.n; !d.skip(3*gaps) && !d.fault {
		decoded.gaps = make([]gap, gaps)
		for i := range decoded.gaps {
			decoded.gaps[i].count = int64(d.next().lo)
		}
		for i := range decoded.gaps {
			decoded.gaps[i].sum = d.next()
		}
		for i := range decoded.gaps {
			decoded.gaps[i].squares = d.next()
		}
	}
	if d.fault || d.zeros > 0 || len(d.b) > 0 {
		return fmt.Errorf("%w: wrong number of integers", ErrEncoding)
	}
	*m = *decoded
	return nil
}

// encoder writes integers.
type encoder struct {
	b     []byte
	zeros int // zeros counted and not yet written
}

func (e *encoder) put(v wide) {
	if v == (wide{}) {
		e.zeros++
		return
	}
	e.flush()
	hi, lo := v.magnitude()
	size := 16 - bits.LeadingZeros64(hi)/8
	if hi == 0 {
		size = 8 - bits.LeadingZeros64(lo)/8
	}
	sign := byte(0)
	if v.negative() {
		sign = 1
	}
	var all [16]byte
	binary.BigEndian.PutUint64(all[:8], hi)
	binary.BigEndian.PutUint64(all[8:], lo)
	e.b = append(append(e.b, byte(2*size)|sign), all[16-size:]...)
}

func (e *encoder) flush() {
	if e.zeros > 0 {
		e.b = binary.AppendUvarint(append(e.b, 0), uint64(e.zeros))
		e.zeros = 0
	}
}

// decoder reads the output of encoder and nothing else: each list of integers has one encoding. After a fault it
// returns zeros.
type decoder struct {
	b     []byte
	zeros uint64 // zeros of the run that remain
	run   bool   // the last item was a run of zeros, so that no other run may follow
	fault bool
}

// load reads the length of a run of zeros, if one is next.
func (d *decoder) load() {
	if d.zeros > 0 || len(d.b) == 0 || d.b[0] != 0 {
		return
	}
	zeros, size := binary.Uvarint(d.b[1:])
	if size <= 0 || zeros == 0 || d.run || size > 1 && d.b[size] == 0 {
		d.fail()
		return
	}
	d.zeros, d.run, d.b = zeros, true, d.b[1+size:]
}

func (d *decoder) fail() { d.fault, d.zeros, d.b = true, 0, nil }

// skip reads n zeros if one run contains them all.
func (d *decoder) skip(n int) bool {
	d.load()
	if n == 0 || d.zeros < uint64(n) {
		return n == 0
	}
	d.zeros -= uint64(n)
	return true
}

func (d *decoder) next() wide {
	d.load()
	if d.zeros > 0 {
		d.zeros--
		return wide{}
	}
	if len(d.b) == 0 {
		d.fail()
		return wide{}
	}
	size := int(d.b[0] / 2)
	if size < 1 || size > 16 || size >= len(d.b) || d.b[1] == 0 || size == 16 && d.b[1] > 127 {
		d.fail()
		return wide{}
	}
	var all [16]byte
	copy(all[16-size:], d.b[1:1+size])
	v := wide{int64(binary.BigEndian.Uint64(all[:8])), binary.BigEndian.Uint64(all[8:])}
	if d.b[0]%2 == 1 {
		v = wide{}.minus(v)
	}
	d.b, d.run = d.b[1+size:], false
	return v
}
