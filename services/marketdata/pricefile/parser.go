package pricefile

import (
	"bytes"
	"fmt"
	"strings"

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
	local  fractions

	name   []byte // the symbol of the row before, as it was written
	series *series
	single []*series // of each column of values in the wide form, of the file in the single form
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
	p.dates = newDates(format)
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
	if err := text(b, p.line); err != nil {
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
		return p.first(line)
	}
	p.rows++
	if !p.split(line) {
		p.faults.add(p.line, "a quoted field does not end on its line")
	} else if len(p.cells) != len(p.header.columns) {
		p.faults.add(p.line, "the row has %d fields and the header %d", len(p.cells), len(p.header.columns))
	} else if err := p.row(); err != nil {
		return err
	}
	if p.faults.full() {
		p.faults.more = true
		return p.faults.fault()
	}
	return nil
}

// first parses the header, and skips the line before it that gives Excel the separator.
func (p *parser) first(line []byte) error {
	if n := len(line); p.line == 1 && n == len("sep=,") && bytes.EqualFold(line[:n-1], []byte("sep=")) {
		return nil // the header shows it too
	}
	p.comma = ','
	for _, c := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{c}) > bytes.Count(line, []byte{p.comma}) {
			p.comma = c
		}
	}
	if !p.split(line) {
		p.faults.add(p.line, "a quoted field does not end on its line")
		return p.faults.fault()
	}
	var err error
	if p.header, err = parseHeader(p.cells, p.opts, &p.faults, p.line); err != nil {
		return err
	}
	switch p.header.form {
	case formWide:
		for _, symbol := range p.header.symbols {
			p.single = append(p.single, p.spool.of(symbol))
		}
	case formLong: // each row names its symbol
	case formSingle:
		symbol := p.opts.Symbol
		if symbol == "" {
			if symbol, err = events.Symbol(p.opts.FallbackSymbol); err != nil {
				return fault.Invalid("symbol_invalid", "%s", err).WithHint("add ?symbol=, for example ?symbol=AAPL")
			}
		}
		p.single = []*series{p.spool.of(symbol)}
	}
	for _, i := range p.header.values {
		if p.header.form != formWide {
			p.spool.columns |= 1 << (p.header.columns[i] - fieldClose)
		}
	}
	p.spool.columns |= 1
	return nil
}

// split splits a line into cells. It returns false when a quote does not end.
func (p *parser) split(line []byte) bool {
	p.cells = p.cells[:0]
	if bytes.IndexByte(line, '"') >= 0 {
		return p.splitQuoted(line)
	}
	for {
		i := bytes.IndexByte(line, p.comma)
		if i < 0 {
			p.cells = append(p.cells, trim(line))
			return true
		}
		p.cells = append(p.cells, trim(line[:i]))
		line = line[i+1:]
	}
}

func trim(b []byte) []byte {
	if len(b) > 0 && (b[0] <= ' ' || b[len(b)-1] <= ' ') {
		return bytes.TrimSpace(b)
	}
	return b
}

func (p *parser) splitQuoted(line []byte) bool {
	p.quotes = p.quotes[:0]
	for {
		rest := bytes.TrimLeft(line, " ")
		if len(rest) == 0 || rest[0] != '"' {
			i := bytes.IndexByte(line, p.comma)
			if i < 0 {
				p.cells = append(p.cells, trim(line))
				return true
			}
			p.cells = append(p.cells, trim(line[:i]))
			line = line[i+1:]
			continue
		}
		rest = rest[1:]
		start := len(p.quotes)
		for {
			i := bytes.IndexByte(rest, '"')
			if i < 0 {
				return false
			}
			p.quotes = append(p.quotes, rest[:i]...)
			rest = rest[i+1:]
			if len(rest) == 0 || rest[0] != '"' {
				break
			}
			p.quotes = append(p.quotes, '"')
			rest = rest[1:]
		}
		p.cells = append(p.cells, trim(p.quotes[start:len(p.quotes):len(p.quotes)]))
		rest = bytes.TrimLeft(rest, " ")
		if len(rest) == 0 {
			return true
		}
		if rest[0] != p.comma {
			return false
		}
		line = rest[1:]
	}
}

// row parses the cells of a row.
func (p *parser) row() error {
	h := p.header
	cell := p.cells[h.date]
	if len(cell) == 0 {
		p.faults.add(p.line, "the date is missing")
		return nil
	}
	key, wrong := p.dates.key(cell, p.line)
	if wrong != "" {
		p.faults.add(p.line, "%s", wrong)
		return nil
	}
	switch h.form {
	case formWide:
		return p.wide(key)
	case formSingle:
		return p.bar(p.single[0], key)
	default:
		s := p.symbol(p.cells[h.symbol])
		if s == nil {
			return nil
		}
		return p.bar(s, key)
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
		if len(cell) == 0 {
			continue
		}
		n, wrong := p.number(cell)
		if wrong == "" && (n.coef == 0 || n.neg) {
			wrong = "which is not above zero"
		}
		if wrong != "" {
			p.faults.add(p.line, "the close of %s is %s, %s", p.header.symbols[i], quote(cell), wrong)
			continue
		}
		row.values[0] = n
		row.mask = 1
		if err := p.spool.add(p.single[i], key, p.line, &row); err != nil {
			return err
		}
	}
	return nil
}

// bar parses the values of a row in the long or the single form.
func (p *parser) bar(s *series, key int32) error {
	var row row
	for _, column := range p.header.values {
		f := p.header.columns[column]
		cell := p.cells[column]
		if len(cell) == 0 || p.header.form == formSingle && null(cell) {
			continue
		}
		n, wrong := p.number(cell)
		zero := n.coef == 0
		switch {
		case wrong != "":
		case n.neg:
			wrong = "which is below zero"
		case zero && (f == fieldClose || f == fieldAdjClose):
			wrong = "which is not above zero"
		case zero && f != fieldVolume:
			continue // how vendors write that there was none
		}
		if wrong != "" {
			p.faults.add(
				p.line, "the %s of %s is %s, %s", strings.ReplaceAll(f.String(), "_", " "), s.symbol, quote(cell),
				wrong,
			)
			return nil
		}
		row.values[f-fieldClose] = n
		row.mask |= 1 << (f - fieldClose)
	}
	if row.mask&1 == 0 {
		if p.header.form == formSingle && row.mask&^(1<<(fieldVolume-fieldClose)) == 0 {
			return nil // a row of nulls is a day without a price
		}
		p.faults.add(p.line, "the close of %s is missing", s.symbol)
		return nil
	}
	const high, low = fieldHigh - fieldClose, fieldLow - fieldClose
	if row.mask>>high&1 == 1 && row.mask>>low&1 == 1 && row.values[high].less(row.values[low]) {
		p.faults.add(p.line, "the high of %s is below its low", s.symbol)
		return nil
	}
	return p.spool.add(s, key, p.line, &row)
}

// number parses a cell. A comma can mark the fraction where it does not separate fields.
func (p *parser) number(cell []byte) (number, problem) {
	if p.comma == ',' {
		return parseNumber(cell)
	}
	return p.local.parse(cell, p.line)
}

// null reports whether a cell is a vendor's text for no value.
func null(cell []byte) bool {
	return string(cell) == "null" || string(cell) == "-" || string(cell) == "N/A" || string(cell) == "NULL"
}

// finish checks the file as a whole.
func (p *parser) finish() error {
	if p.header == nil {
		return fault.Invalid("prices_empty", "the file is empty; nothing was imported").
			WithHint("send CSV with a header such as date,symbol,close")
	}
	if s, detail, doubtful := p.dates.ambiguous(); doubtful {
		p.faults.add(s.line, "%s", detail)
		return p.faults.fault()
	}
	if line := p.local.doubtful(); line > 0 {
		p.faults.add(
			line,
			"a comma may stand before a fraction or between thousands, and no number of the file shows which; write "+
				"decimal points",
		)
		return p.faults.fault()
	}
	if err := p.spool.finish(p.dates.open, &p.faults); err != nil {
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
