package pricefile

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/govalues/decimal"

	"stega/civil"
)

// Bar is the prices of one symbol on one day. A value that the file does not have is not Valid.
type Bar struct {
	Day      civil.Date
	Close    decimal.Decimal
	AdjClose decimal.NullDecimal
	Open     decimal.NullDecimal
	High     decimal.NullDecimal
	Low      decimal.NullDecimal
	Volume   decimal.NullDecimal
	Dividend decimal.NullDecimal // cash per share
	Split    decimal.NullDecimal // new shares for one old
}

// Spool stores the prices of a file by symbol, in packed form: in memory, and beyond its budget in a temporary file
// without a name.
type Spool struct {
	series  map[string]*series
	symbols []string // sorted, of those that have prices
	rows    int64
	bytes   int64
	digest  [sha256.Size]byte
	columns uint16 // bit f: the file has the column fieldClose+f

	open     uint8 // how dates that can be read in two ways were meant
	decimal  byte  // how numbers that can be read in two ways were meant
	growth   bool  // closes are 1 + r of returns r
	intraday bool

	held   int // bytes in memory
	budget int
	dir    string
	file   *os.File
	size   int64 // of the file
	buf    []byte
}

// series holds the rows of one symbol, in the order of the file.
type series struct {
	symbol   string
	data     []byte
	segments []segment // what went to the temporary file before
	rows     int
	twice    int   // rows that are there already
	key      int32 // of the row before
	line     int
	currency string // of its prices; empty without one
	hole     int    // the line of the first missing value after others; 0 without one
	rises    bool   // so far, every row is after the one before
	falls    bool
}

type segment struct {
	offset int64
	length int
}

// row holds the values of a row; bit f of the mask marks value f as present.
type row struct {
	mask   uint16
	values [values]number
}

func newSpool(opts Options) *Spool {
	return &Spool{series: map[string]*series{}, budget: opts.MemoryBudget, dir: opts.TempDir}
}

// of returns the series of a symbol, which it creates if needed.
func (s *Spool) of(symbol string) *series {
	r := s.series[symbol]
	if r == nil {
		r = &series{symbol: symbol, rises: true, falls: true}
		s.series[symbol] = r
	}
	return r
}

// add appends a row: its day and line as differences from the row before, a mask when there is more than a close, and
// each value as its scale and digits.
func (s *Spool) add(r *series, key int32, line int, row *row) error {
	before := cap(r.data)
	if n := len(r.data); before-n < 16*values {
		r.data = slices.Grow(r.data, max(64, min(n, 64<<10))+16*values)
	}
	b := binary.AppendVarint(r.data, int64(key-r.key)<<1|int64(b2i(row.mask != 1)))
	b = binary.AppendUvarint(b, uint64(line-r.line))
	if row.mask != 1 {
		b = binary.AppendUvarint(b, uint64(row.mask))
	}
	for f := range values {
		if row.mask>>f&1 == 1 {
			b = append(b, row.values[f].scale|openBit(row.values[f].open))
			b = binary.AppendUvarint(b, row.values[f].coef)
		}
	}
	if r.rows > 0 {
		r.rises = r.rises && key > r.key && key < undecided
		r.falls = r.falls && key < r.key && r.key < undecided
	} else if key >= undecided {
		r.rises, r.falls = false, false
	}
	r.data, r.key, r.line = b, key, line
	r.rows++
	s.rows++
	if s.held += cap(b) - before; s.held > s.budget {
		return s.spill()
	}
	return nil
}

// The bits beside a scale that mark a number which can be read in two ways.
const (
	openComma = 0x40
	openPoint = 0x80
)

func openBit(mark byte) uint8 {
	switch mark {
	case ',':
		return openComma
	case '.':
		return openPoint
	}
	return 0
}

// gap records that a value is missing.
func (r *series) gap(line int) {
	if r.rows > 0 && r.hole == 0 {
		r.hole = line
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// spill moves the data in memory to the temporary file.
func (s *Spool) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "stega-prices-*")
		if err != nil {
			return fmt.Errorf("make a temporary file for prices: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open
			return fmt.Errorf("make a temporary file for prices: %w", err)
		}
	}
	var buf []byte
	for _, r := range s.series {
		if len(r.data) == 0 {
			continue
		}
		r.segments = append(r.segments, segment{s.size + int64(len(buf)), len(r.data)})
		buf = append(buf, r.data...)
		r.data = nil
		if len(buf) > 1<<20 {
			if err := s.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	s.held = 0
	return s.write(buf)
}

func (s *Spool) write(b []byte) error {
	n, err := s.file.WriteAt(b, s.size)
	s.size += int64(n)
	if err != nil {
		return fmt.Errorf("write prices to a temporary file: %w", err)
	}
	return nil
}

// finish ends the rows: it resolves the days and reports repeated ones. A row that is there twice counts once. Days
// with several prices at different times are intraday data.
func (s *Spool) finish(open uint8, varied bool, faults *faults) error {
	s.open = open
	for symbol, r := range s.series {
		if r.rows > 0 {
			s.symbols = append(s.symbols, symbol)
		}
	}
	slices.Sort(s.symbols)
	for _, symbol := range s.symbols {
		r := s.series[symbol]
		if r.rises || r.falls {
			continue
		}
		rows, err := s.lines(r)
		if err != nil {
			return err
		}
		for i := 1; i < len(rows); i++ {
			a, b := &rows[i-1], &rows[i]
			switch {
			case a.day != b.day:
			case a.row.equal(&b.row):
				r.twice++
				s.rows--
			case varied:
				s.intraday = true
				faults.add(b.line, "%s of %s has several prices, on line %d and here: this is intraday data, and stega"+
					" keeps one close a day; export daily prices", b.day, symbol, a.line)
				return nil
			default:
				faults.add(b.line, "%s of %s is there already, on line %d, with other values", b.day, symbol, a.line)
			}
		}
	}
	return nil
}

// equal reports whether rows have the same values.
func (r *row) equal(o *row) bool {
	if r.mask != o.mask {
		return false
	}
	for f := range values {
		if r.mask>>f&1 == 1 && r.values[f] != o.values[f] {
			return false
		}
	}
	return true
}

// order reports the days whose high is below the low.
func (s *Spool) order(faults *faults) error {
	const high, low = fieldHigh - fieldClose, fieldLow - fieldClose
	for _, symbol := range s.symbols {
		rows, err := s.lines(s.series[symbol])
		if err != nil {
			return err
		}
		for _, d := range rows {
			if d.row.mask>>high&1 == 1 && d.row.mask>>low&1 == 1 && d.row.values[high].less(d.row.values[low]) {
				faults.add(d.line, "the high of %s is below its low", symbol)
			}
		}
	}
	return nil
}

type dayLine struct {
	day  civil.Date
	line int
	row  row
}

// lines lists the rows of a symbol with their days and lines, by day and line.
func (s *Spool) lines(r *series) ([]dayLine, error) {
	data, err := s.data(r)
	if err != nil {
		return nil, err
	}
	rows := make([]dayLine, 0, r.rows)
	c := cursor{data: data, open: s.open, decimal: s.decimal}
	for c.next() {
		rows = append(rows, dayLine{c.day, c.line, c.row})
	}
	slices.SortFunc(rows, func(a, b dayLine) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.line, b.line))
	})
	return rows, nil
}

// data returns all data of a series, in the order of the file.
func (s *Spool) data(r *series) ([]byte, error) {
	if len(r.segments) == 0 {
		return r.data, nil
	}
	s.buf = s.buf[:0]
	for _, g := range r.segments {
		at := len(s.buf)
		s.buf = slices.Grow(s.buf, g.length)[:at+g.length]
		if _, err := s.file.ReadAt(s.buf[at:], g.offset); err != nil {
			return nil, fmt.Errorf("read prices from a temporary file: %w", err)
		}
	}
	s.buf = append(s.buf, r.data...)
	return s.buf, nil
}

// cursor iterates over the rows of a series.
type cursor struct {
	data    []byte
	open    uint8
	decimal byte // 0: numbers stay as they are
	key     int32
	line    int
	day     civil.Date
	row     row
}

func (c *cursor) next() bool {
	if len(c.data) == 0 {
		return false
	}
	v, n := binary.Varint(c.data)
	c.data = c.data[n:]
	c.key += int32(v >> 1)
	line := c.uvarint()
	c.line += int(line)
	c.day = resolve(c.key, c.open)
	c.row.mask = 1
	if v&1 == 1 {
		c.row.mask = uint16(c.uvarint())
	}
	for f := range values {
		if c.row.mask>>f&1 == 1 {
			scale := c.data[0]
			c.data = c.data[1:]
			n := number{coef: c.uvarint(), scale: scale &^ (openComma | openPoint)}
			if scale >= openComma {
				if n.open = '.'; scale&openComma != 0 {
					n.open = ','
				}
				if c.decimal != 0 {
					n = n.settled(c.decimal)
				}
			}
			c.row.values[f] = n
		}
	}
	return true
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.data)
	c.data = c.data[n:]
	return v
}

// Symbols lists the symbols that have prices, sorted.
func (s *Spool) Symbols() []string { return s.symbols }

// Rows returns the number of prices.
func (s *Spool) Rows() int64 { return s.rows }

// Bytes returns the length of the body.
func (s *Spool) Bytes() int64 { return s.bytes }

// Digest returns the SHA-256 of the body, in hexadecimal.
func (s *Spool) Digest() string { return hex.EncodeToString(s.digest[:]) }

// Bars appends the bars of a symbol to buf[:0], ordered by day, each day once.
func (s *Spool) Bars(symbol string, buf []Bar) ([]Bar, error) {
	buf = buf[:0]
	r := s.series[symbol]
	if r == nil {
		return buf, nil
	}
	data, err := s.data(r)
	if err != nil {
		return nil, err
	}
	c := cursor{data: data, open: s.open, decimal: s.decimal}
	for c.next() {
		b := Bar{Day: c.day}
		for f, to := range [...]*decimal.NullDecimal{
			fieldOpen:     &b.Open,
			fieldHigh:     &b.High,
			fieldLow:      &b.Low,
			fieldAdjClose: &b.AdjClose,
			fieldVolume:   &b.Volume,
			fieldDividend: &b.Dividend,
			fieldSplit:    &b.Split,
		} {
			if f < int(fieldClose) || f > int(fieldClose) && (c.row.mask>>(f-int(fieldClose))&1 == 0) {
				continue
			}
			n := c.row.values[f-int(fieldClose)]
			d, err := exact(n.coef, n.scale)
			if err != nil {
				return nil, err
			}
			if to == nil {
				b.Close = d
			} else {
				*to = decimal.NullDecimal{Decimal: d, Valid: true}
			}
		}
		buf = append(buf, b)
	}
	switch {
	case r.rises:
	case r.falls:
		slices.Reverse(buf)
	default:
		slices.SortFunc(buf, func(a, b Bar) int { return cmp.Compare(a.Day, b.Day) })
	}
	if r.twice > 0 {
		buf = slices.CompactFunc(buf, func(a, b Bar) bool { return a.Day == b.Day })
	}
	if s.growth {
		return closesOf(buf)
	}
	return buf, nil
}

// Close removes the temporary file.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close the temporary file of prices: %w", err)
	}
	return nil
}
