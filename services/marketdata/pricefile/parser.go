package pricefile

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"stega/events"
	"stega/fault"
)

// parser parses one file, block by block.
type parser struct {
	opts   Options
	header *header
	dates  dates
	faults faults
	spool  *Spool
	line   int
	rows   int64
	comma  byte // what separates fields
	cells  [][]byte
	quotes []byte
	marks  marks
	chain  chain

	head   []numbered  // the lines up to the header, and some after it
	size   int         // bytes of head
	footer []problemAt // lines without a date after the last row
	latin  bool        // the file is not in UTF-8
	time   []byte      // the time of the first row, in a column of its own
	later  bool        // rows have a high and a low that are not comparable yet

	name   []byte // the symbol of the row before, as it was written
	series *series
	single []*series // of each column of values in the wide form, of each group in the single form
}

// numbered is a line with its number.
type numbered struct {
	line int
	text []byte
}

// problemAt is what is wrong with a line.
type problemAt struct {
	line   int
	detail string
}

func newParser(opts Options) (*parser, error) {
	p := &parser{opts: opts, spool: newSpool(opts)}
	var format *DateFormat
	if opts.DateFormat != "" {
		var err error
		if format, err = ParseDateFormat(opts.DateFormat); err != nil {
			return nil, err
		}
	}
	var zone *time.Location
	if opts.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(opts.TimeZone); err != nil || opts.TimeZone == "Local" {
			return nil, fault.Malformed("time_zone_unknown", "there is no time zone %.40q", opts.TimeZone).
				WithHint("use a name such as America/New_York")
		}
	}
	p.dates = newDates(format, zone)
	switch opts.Decimal {
	case "":
	case ".", ",":
		p.marks.decimal = opts.Decimal[0]
	default:
		return nil, fault.Malformed("decimal_unknown", "the decimal mark cannot be %.20q", opts.Decimal).
			WithHint("it is a point or a comma: decimal=. or decimal=,")
	}
	switch opts.Returns {
	case "", Ratios, Percents, Either:
	default:
		return nil, fault.Malformed("returns_unknown", "returns cannot be %.20q", opts.Returns).
			WithHint("use returns=true, returns=ratio (0.012) or returns=percent (1.2)")
	}
	p.marks.always = opts.Returns != ""
	p.faults.list = listed
	if opts.AllErrors {
		p.faults.list = allListed
	}
	if opts.Symbol != "" {
		var err error
		if p.opts.Symbol, err = events.Symbol(opts.Symbol); err != nil {
			return nil, fault.Invalid("symbol_invalid", "%s", err)
		}
	}
	return p, nil
}

// block parses whole lines.
func (p *parser) block(b []byte) error {
	if p.line == 0 {
		if err := sniff(b); err != nil {
			return err
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	}
	b, err := p.text(b)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		p.line++
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) > maxLine {
			p.faults.add(p.line, "the line is longer than %s", size(maxLine))
			return p.faults.fault()
		}
		if len(line) == 0 || line[0] <= ' ' && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := p.record(line); err != nil {
			return err
		}
	}
	return nil
}

// record parses one line that is not blank.
func (p *parser) record(line []byte) error {
	if p.header == nil {
		if p.hold(line); len(p.head) < headLines && p.size < headBytes {
			return nil
		}
		return p.begin()
	}
	if !p.split(line) {
		p.rows++
		p.fail("a quoted field does not end on its line")
		return nil
	}
	if len(p.cells) != len(p.header.columns) && !p.fit() {
		p.rows++
		return nil
	}
	p.rows++
	return p.row()
}

// fail reports what is wrong with the line. What may be the footer of the file is no fault until a row follows.
func (p *parser) fail(detail string) {
	if len(p.footer) > 0 {
		p.flush()
	}
	p.faults.add(p.line, "%s", detail)
}

// flush reports the lines that turned out not to be at the end of the file.
func (p *parser) flush() {
	for _, f := range p.footer {
		p.faults.add(f.line, "%s", f.detail)
	}
	p.footer = p.footer[:0]
}

// maxFooter is the number of lines that a footer has at most.
const maxFooter = 20

// skipped reports whether the line has no values, or may be of a footer: a text without any price, or a sum.
func (p *parser) skipped(detail string) bool {
	var first []byte
	filled := 0
	for _, cell := range p.cells {
		if len(cell) > 0 {
			filled++
			if first == nil {
				first = cell
			}
		}
	}
	if filled == 0 {
		return true
	}
	date := first
	if i := p.header.date; i < len(p.cells) && len(p.cells[i]) > 0 {
		date = p.cells[i]
	}
	if len(p.footer) == maxFooter || !footing(date, filled) {
		return false
	}
	p.footer = append(p.footer, problemAt{p.line, detail})
	return true
}

// fit makes the row as long as the header when only empty fields are too many. Otherwise it reports a fault.
func (p *parser) fit() bool {
	n := len(p.header.columns)
	for len(p.cells) > n && len(p.cells[len(p.cells)-1]) == 0 {
		p.cells = p.cells[:len(p.cells)-1]
	}
	if len(p.cells) == n {
		return true
	}
	detail := fmt.Sprintf("the row has %d fields and the header %d", len(p.cells), n)
	if !p.skipped(detail) {
		p.fail(detail)
	}
	return false
}

// row parses the cells of a row.
func (p *parser) row() error {
	h := p.header
	cell := p.cells[h.date]
	if len(cell) == 0 {
		if !p.skipped("the date is missing") {
			p.fail("the date is missing")
		}
		return nil
	}
	key, wrong := p.dates.key(cell, p.line)
	if wrong != "" {
		if !p.skipped(wrong) {
			p.fail(wrong)
		}
		return nil
	}
	if len(p.footer) > 0 {
		p.flush()
	}
	if h.time >= 0 && !p.dates.varied {
		if p.time == nil {
			p.time = append([]byte{}, p.cells[h.time]...)
		}
		p.dates.varied = !bytes.Equal(p.time, p.cells[h.time])
	}
	switch h.form {
	case formWide:
		return p.wide(key)
	case formSingle:
		for i := range h.groups {
			if err := p.bar(p.single[i], key, h.groups[i].columns); err != nil {
				return err
			}
		}
		return nil
	default:
		s := p.symbol(p.cells[h.symbol])
		if s == nil {
			return nil
		}
		return p.bar(s, key, h.groups[0].columns)
	}
}

// symbol returns the series of a symbol, or reports a fault and returns nil.
func (p *parser) symbol(name []byte) *series {
	if p.series != nil && bytes.Equal(name, p.name) {
		return p.series
	}
	s := p.spool.series[string(name)]
	if s == nil {
		symbol, err := events.Symbol(string(name))
		if err != nil {
			p.faults.add(p.line, "%s", err)
			return nil
		}
		if s = p.spool.of(symbol); len(p.spool.series) > maxSymbols {
			p.faults.add(p.line, "the file has more than %d symbols", maxSymbols)
			return nil
		}
	}
	p.name, p.series = append(p.name[:0], name...), s
	return s
}

func (p *parser) wide(key int32) error {
	var row row
	for i, column := range p.header.values {
		cell := p.cells[column]
		s := p.single[i]
		if len(cell) == 0 || null(cell) {
			s.gap(p.line)
			continue
		}
		n, wrong := p.close(s, cell)
		if wrong != "" {
			p.faults.add(p.line, "the %s of %s is %s, %s", p.called(fieldClose), s.symbol, quote(cell), wrong)
			continue
		}
		row.values[0] = n
		row.mask = 1
		if err := p.spool.add(s, key, p.line, &row); err != nil {
			return err
		}
	}
	return nil
}

// close parses a close, or the growth of one when the file has returns.
func (p *parser) close(s *series, cell []byte) (number, problem) {
	if p.opts.Returns != "" {
		return p.growth(s, cell)
	}
	n, wrong := p.price(s, cell)
	switch {
	case wrong != "":
	case n.neg:
		p.faults.negative = true
		wrong = "which is below zero"
	case n.coef == 0:
		wrong = "which is not above zero"
	}
	return n, wrong
}

// price parses a price. All prices of a symbol are in one currency, when they have one.
func (p *parser) price(s *series, cell []byte) (number, problem) {
	n, dot, ok := plain(cell)
	if ok && (!dot || p.marks.decimal == '.') {
		return n, ""
	}
	n, wrong := p.marks.slow(cell, p.line, false)
	if wrong == "" && p.marks.sign != "" {
		if s.currency == "" {
			s.currency = p.marks.sign
		} else if s.currency != p.marks.sign {
			wrong = otherSign
		}
	}
	return n, wrong
}

// called returns the name of a field in faults.
func (p *parser) called(f field) string {
	if f == fieldClose && p.opts.Returns != "" {
		return "return"
	}
	return strings.ReplaceAll(f.String(), "_", " ")
}

// bar parses the values of a row in the long or the single form.
func (p *parser) bar(s *series, key int32, columns []int) error {
	var row row
	nothing := false // the close is there, as a text for no value
	for _, column := range columns {
		f := p.header.columns[column]
		cell := p.cells[column]
		if len(cell) == 0 || null(cell) {
			nothing = nothing || f == fieldClose && len(cell) > 0
			continue
		}
		var n number
		var wrong problem
		switch f {
		case fieldVolume:
			var dot, ok bool
			if n, dot, ok = plain(cell); !ok || dot || n.neg {
				if n, ok = p.marks.volume(cell, p.line); !ok {
					continue
				}
			}
		case fieldClose:
			n, wrong = p.close(s, cell)
		default:
			n, wrong = p.price(s, cell)
			switch {
			case wrong != "":
			case n.neg:
				wrong = "which is below zero"
			case n.coef == 0 && f == fieldAdjClose:
				wrong = "which is not above zero"
			case n.coef == 0:
				continue // how vendors write that there was none
			}
		}
		if wrong != "" {
			p.faults.add(p.line, "the %s of %s is %s, %s", p.called(f), s.symbol, quote(cell), wrong)
			return nil
		}
		row.values[f-fieldClose] = n
		row.mask |= 1 << (f - fieldClose)
	}
	if row.mask&1 == 0 {
		p.closeless(s, row.mask, nothing)
		return nil
	}
	const high, low = fieldHigh - fieldClose, fieldLow - fieldClose
	if row.mask>>high&1 == 1 && row.mask>>low&1 == 1 {
		h, l := row.values[high], row.values[low]
		switch {
		case h.open != l.open:
			p.later = true
		case h.less(l):
			p.faults.add(p.line, "the high of %s is below its low", s.symbol)
			return nil
		}
	}
	return p.spool.add(s, key, p.line, &row)
}

// closeless reports a row without a close, unless it is a day without a price.
func (p *parser) closeless(s *series, mask uint16, nothing bool) {
	const paid = 1<<(fieldDividend-fieldClose) | 1<<(fieldSplit-fieldClose)
	switch {
	case mask&paid != 0:
		p.faults.add(p.line, "the close of %s is missing on a day with a dividend or a split", s.symbol)
	case nothing, p.header.form == formSingle && mask&^(1<<(fieldVolume-fieldClose)) == 0:
		s.gap(p.line)
	default:
		p.faults.add(p.line, "the %s of %s is missing", p.called(fieldClose), s.symbol)
	}
}

// finish checks the file as a whole.
func (p *parser) finish() error {
	if p.header == nil && len(p.head) > 0 {
		if err := p.begin(); err != nil {
			return err
		}
	}
	if p.header == nil {
		return fault.Invalid("prices_empty", "the file is empty; nothing was imported").
			WithHint("send CSV with a header such as date,symbol,close")
	}
	if err := p.spool.finish(p.dates.open, p.dates.varied, &p.faults); err != nil {
		return err
	}
	if p.spool.intraday {
		return p.faults.fault()
	}
	if s, detail, doubtful := p.dates.ambiguous(); doubtful {
		p.faults.add(s.line, "%s", detail)
		return p.faults.fault()
	}
	if s := p.dates.utc; s.line > 0 {
		p.faults.add(s.line,
			"the time %q is of UTC and in the middle of a day, so that it does not show the local day;"+
				" add ?time_zone=, the zone of the exchange, as in ?time_zone=America/New_York", s.text)
		return p.faults.fault()
	}
	mark, doubt := p.marks.settle(p.dates.dotted && p.comma == ';')
	if doubt.line > 0 {
		p.faults.add(doubt.line,
			"the mark in %q may stand before a fraction or between thousands, and no number of the"+
				" file shows which; name the decimal mark with ?decimal= as a point or a comma", doubt.text)
		return p.faults.fault()
	}
	p.spool.decimal = mark
	if p.later {
		if err := p.spool.order(&p.faults); err != nil {
			return err
		}
	}
	if err := p.finishReturns(); err != nil {
		return err
	}
	if err := p.faults.fault(); err != nil {
		return err
	}
	if p.spool.rows == 0 {
		return fault.Invalid("prices_empty", "the file has a header and no price; nothing was imported").
			WithHint("send rows below the header %s",
				fmt.Sprintf("%.80s", strings.Join(p.header.names, string(p.comma))))
	}
	return nil
}
