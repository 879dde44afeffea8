package pricefile

import (
	"bytes"
	"strings"
)

// footing reports whether the first cell of a line is of a footer.
func footing(cell []byte, filled int) bool {
	n := 0
	for n < len(cell) && (letter(cell[n]) || cell[n] >= 0x80) {
		n++
	}
	word := strings.ToLower(string(cell[:n]))
	switch word {
	case "total", "totals", "sum", "summe", "gesamt", "average", "avg", "mean", "median", "mittelwert", "durchschnitt",
		"min", "max", "minimum", "maximum", "count", "std", "highest", "lowest", "difference":
		return true
	}
	marked := len(cell) > 0 && strings.IndexByte("*#(", cell[0]) >= 0
	return filled == 1 && (marked || n >= 3 && monthOf(cell[:n]) == 0 && bytes.ContainsAny(cell, " :.,")) ||
		filled <= 2 && n >= 3 && bytes.HasSuffix(cell, []byte(":"))
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

// null reports whether a cell is a text for no value.
func null(cell []byte) bool {
	switch c := cell[0]; {
	case c >= '0' && c <= '9' || len(cell) > 8:
		return false
	case len(cell) == 1:
		return c == '-' || c == '.'
	}
	switch strings.ToLower(string(cell)) {
	case "null", "none", "nil", "na", "n/a", "nan", "#n/a", "#na", "#n/a n/a", "n.a.", "n.a", "n/v", "--", "---", "–",
		"—",
		"nd", "n/d", "-nan", "#nv", "<na>", "nat", "k.a.":
		return true
	}
	return false
}
