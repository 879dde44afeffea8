package pricefile

import (
	"bytes"
	"strings"

	"stega/events"
	"stega/fault"
)

// The lines in which the header is searched.
const (
	headLines = 40
	headBytes = 64 << 10
)

// hold keeps a line until the header is found.
func (p *parser) hold(line []byte) {
	p.head = append(p.head, numbered{p.line, bytes.Clone(line)})
	if p.size += len(line); len(p.head) < 5 { // so many lines at least, however long
		p.size = min(p.size, headBytes-1)
	}
}

// begin finds the header among the first lines, and parses the lines after it.
func (p *parser) begin() error {
	lines := p.head
	p.head = nil
	last := p.line
	if n := len(lines[0].text); n == len("sep=,") && bytes.EqualFold(lines[0].text[:n-1], []byte("sep=")) {
		if lines = lines[1:]; len(lines) == 0 {
			return nil // the header shows the separator, too
		}
	}
	at, err := p.find(lines)
	if err != nil {
		return err
	}
	for _, l := range lines[at:] {
		p.line = l.line
		if err := p.record(l.text); err != nil {
			return err
		}
	}
	p.line = last
	return nil
}

// find finds and parses the header. It returns the index of the first line after it.
func (p *parser) find(lines []numbered) (int, error) {
	at, levels, index := p.locate(lines)
	p.line = lines[at].line
	p.comma = separator(lines[at].text)
	if !p.split(lines[at].text) {
		p.faults.add(p.line, "a quoted field does not end on its line")
		return 0, p.faults.fault()
	}
	var err error
	if levels > 1 {
		p.header, err = p.levels(lines[at : at+levels])
	} else {
		p.header, err = parseHeader(p.cells, index, p.opts, &p.faults, p.line)
	}
	if err != nil {
		return 0, err
	}
	return at + levels, p.prepare()
}

// prepare prepares the series and columns of a header.
func (p *parser) prepare() error {
	h := p.header
	switch h.form {
	case formWide:
		for _, symbol := range h.symbols {
			p.single = append(p.single, p.spool.of(symbol))
		}
	case formLong: // each row names its symbol
	case formSingle:
		for _, g := range h.groups {
			symbol := g.symbol
			if symbol == "" {
				symbol = p.opts.Symbol
			}
			var err error
			if symbol == "" {
				if symbol, err = events.Symbol(p.opts.FallbackSymbol); err != nil {
					return fault.Invalid("symbol_invalid", "%s", err).WithHint("add ?symbol=, for example ?symbol=AAPL")
				}
			}
			p.single = append(p.single, p.spool.of(symbol))
		}
	}
	for _, g := range h.groups {
		for _, i := range g.columns {
			p.spool.columns |= 1 << (h.columns[i] - fieldClose)
		}
	}
	p.spool.columns |= 1
	return nil
}

// separator returns what separates the fields of a line.
func separator(line []byte) byte {
	comma := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if bytes.Count(line, []byte{c}) > bytes.Count(line, []byte{comma}) {
			comma = c
		}
	}
	return comma
}

// locate returns the index of the first line of the header, the number of its lines, and whether its first column has
// dates without having a name for it. Lines before the header say what a file is about.
func (p *parser) locate(lines []numbered) (at, levels int, index bool) {
	named := -1
	for i := range lines {
		cells := p.cut(lines[i].text)
		if len(cells) < 2 {
			continue
		}
		if n := p.countLevels(lines[i:]); n > 0 {
			return i, n, false
		}
		date := dateColumn(cells)
		follows := false
		if i+1 < len(lines) {
			next := p.cut(lines[i+1].text)
			column := max(date, 0)
			follows = column < len(next) && p.date(next[column]) &&
				separator(lines[i+1].text) == separator(lines[i].text)
		}
		switch {
		case date >= 0 && follows:
			return i, 1, false
		case date >= 0 && named < 0:
			named = i
		case date < 0 && follows && named < 0 && !p.date(cells[0]) && nameless(cells):
			return i, 1, true
		}
	}
	return max(named, 0), 1, false
}

// cut returns the cells of a line, which do not share memory with those of the parser.
func (p *parser) cut(line []byte) [][]byte {
	other := parser{comma: separator(line)}
	if !other.split(line) {
		return nil
	}
	return other.cells
}

// dateColumn returns the column that is named a date, or -1.
func dateColumn(cells [][]byte) int {
	weak := -1
	for i, cell := range cells {
		f, w := fieldOf(string(cell))
		if f == fieldDate && !w {
			return i
		}
		if f == fieldDate && weak < 0 {
			weak = i
		}
	}
	return weak
}

// date reports whether a cell has a date.
func (p *parser) date(cell []byte) bool {
	d := newDates(p.dates.format, p.dates.zone)
	_, wrong := d.key(cell, 1)
	return len(cell) > 0 && wrong == ""
}

// nameless reports whether cells can be names of columns: none but the first is empty or a number.
func nameless(cells [][]byte) bool {
	for i, cell := range cells {
		if _, _, number := plain(cell); number || len(cell) == 0 && i > 0 && i < len(cells)-1 {
			return false
		}
	}
	return true
}

// countLevels returns the number of lines of a header that has fields on one line and symbols on another, or 0.
func (p *parser) countLevels(lines []numbered) int {
	if len(lines) < 3 {
		return 0
	}
	a, b := p.cut(lines[0].text), p.cut(lines[1].text)
	if len(a) != len(b) || p.date(a[0]) || p.date(b[0]) {
		return 0
	}
	if (!allFields(a) || !allSymbols(b)) && (!allSymbols(a) || !allFields(b)) {
		return 0
	}
	n := 2
	if c := p.cut(lines[2].text); len(c) == len(a) && len(bytes.Join(c[1:], nil)) == 0 && !p.date(c[0]) {
		n = 3 // Date,,,
	}
	if n == len(lines) {
		return n
	}
	if first := p.cut(lines[n].text); len(first) != len(a) || !p.date(first[0]) {
		return 0
	}
	return n
}

func allFields(cells [][]byte) bool {
	for _, cell := range cells[1:] {
		if f, _ := fieldOf(string(cell)); f < fieldClose || f == fieldNone {
			return false
		}
	}
	return true
}

// allSymbols reports whether the cells but the first are symbols. An empty one repeats the one before.
func allSymbols(cells [][]byte) bool {
	for i, cell := range cells[1:] {
		if len(cell) == 0 && i > 0 {
			continue
		}
		_, err := events.Symbol(string(cell))
		_, _, number := plain(cell)
		if f, _ := fieldOf(string(cell)); err != nil || number || f != fieldNone {
			return false
		}
	}
	return true
}

// levels parses a header of fields on one line and symbols on another, as scripts that download many symbols write it.
func (p *parser) levels(lines []numbered) (*header, error) {
	names, symbols := p.cut(lines[0].text), p.cut(lines[1].text)
	if !allFields(names) {
		names, symbols = symbols, names
	}
	h := &header{
		date:    0,
		symbol:  -1,
		time:    -1,
		names:   []string{"date"},
		columns: []field{fieldDate},
		weak:    []bool{false},
	}
	groups := map[string]int{}
	symbol := ""
	for i := 1; i < len(names); i++ {
		if len(symbols[i]) > 0 {
			symbol = strings.ToUpper(string(symbols[i]))
		}
		f, weak := fieldOf(string(names[i]))
		h.names, h.columns, h.weak = append(h.names, string(names[i])), append(h.columns, f), append(h.weak, weak)
		g, ok := groups[symbol]
		if !ok {
			g = len(h.groups)
			groups[symbol] = g
			h.groups = append(h.groups, group{symbol: symbol})
		}
		if f >= fieldClose && f < fields {
			h.groups[g].columns = append(h.groups[g].columns, i)
		}
	}
	if err := h.oneSymbol(p.opts); err != nil {
		return nil, err
	}
	h.unique(&p.faults, p.line)
	h.fields(p.opts, &p.faults, p.line)
	return h, p.faults.fault()
}
