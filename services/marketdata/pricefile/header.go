package pricefile

import (
	"slices"
	"strings"

	"stega/events"
	"stega/fault"
)

// form is one of the three forms of a file.
type form int

const (
	formLong form = iota
	formWide
	formSingle
)

// field is the meaning of a column.
type field int8

const (
	fieldNone field = iota - 1
	fieldDate
	fieldSymbol
	fieldClose // from here on: values
	fieldOpen
	fieldHigh
	fieldLow
	fieldAdjClose
	fieldVolume
	fieldDividend
	fieldSplit
	fields
)

// values are the fields that hold numbers.
const values = int(fields - fieldClose)

func (f field) String() string {
	return [...]string{"date", "symbol", "close", "open", "high", "low", "adj_close", "volume", "dividend", "split"}[f]
}

// fieldOf returns the field of a spelling, of which only letters and digits count. A weak spelling yields to a strong
// one in the same header.
func fieldOf(name string) (f field, weak bool) {
	switch fold(name) {
	case "date", "day", "datum", "tradedate", "tradingdate", "tradingday", "asofdate":
		return fieldDate, false
	case "timestamp", "time", "datetime":
		return fieldDate, true
	case "symbol", "ticker", "code", "tickersymbol", "instrument":
		return fieldSymbol, false
	case "close", "closeprice", "closingprice", "closelast", "pxclose", "schlusskurs", "schluss":
		return fieldClose, false
	case "last", "price", "lastprice", "pxlast", "quote", "kurs":
		return fieldClose, true
	case "open", "openprice", "openingprice", "pxopen", "eröffnung", "eröffnungskurs", "erster":
		return fieldOpen, false
	case "high", "highprice", "pxhigh", "hoch", "tageshoch":
		return fieldHigh, false
	case "low", "lowprice", "pxlow", "tief", "tagestief":
		return fieldLow, false
	case "adjclose", "adjustedclose", "adjcloseprice", "adjustedcloseprice", "closeadj", "closeadjusted":
		return fieldAdjClose, false
	case "volume", "vol", "pxvolume":
		return fieldVolume, false
	case "dividend", "dividends", "divcash", "dividendamount", "cashdividend":
		return fieldDividend, false
	case "split", "splits", "stocksplit", "stocksplits", "splitfactor", "splitratio", "splitcoefficient":
		return fieldSplit, false
	}
	return fieldNone, false
}

func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r > 127:
			return r
		}
		return -1
	}, name)
}

// header is the parsed first line.
type header struct {
	form    form
	names   []string
	columns []field  // of each column; fieldNone is ignored
	date    int      // the column of the date
	symbol  int      // the column of the symbol, -1 when there is none
	values  []int    // the columns with values
	symbols []string // wide: of each column of values
}

// known lists the columns of the long form, for faults.
const known = "date, symbol, close, open, high, low, adj_close, volume, dividend, split"

// parseHeader parses the header and determines the form of a file.
func parseHeader(cells [][]byte, opts Options, faults *faults, line int) (*header, error) {
	h := &header{date: -1, symbol: -1}
	weak := make([]bool, len(cells))
	for i, cell := range cells {
		h.names = append(h.names, strings.TrimSpace(string(cell)))
		f, w := fieldOf(h.names[i])
		h.columns = append(h.columns, f)
		weak[i] = w
	}
	if !slices.Contains(h.columns, fieldDate) && h.names[0] == "" {
		h.columns[0] = fieldDate // an index without a name is how data frames are saved
	}
	h.symbol = slices.Index(h.columns, fieldSymbol)
	h.form = h.formOf(weak, opts.Symbol != "")
	if err := h.check(opts); err != nil {
		return nil, err
	}
	h.unique(weak, faults, line)
	h.date = slices.Index(h.columns, fieldDate)
	switch {
	case h.date < 0:
		detail := "the header has no date column"
		if looksLikeData(cells) {
			detail = "the file starts with data; its first line must be a header such as date,symbol,close"
		}
		faults.add(line, "%s", detail)
	case h.form == formWide:
		h.wide(faults, line)
	default:
		h.fields(faults, line)
	}
	return h, faults.fault()
}

// formOf determines the form. OPEN and LOW alone can be symbols; a close, or a high with them, cannot.
func (h *header) formOf(weak []bool, symbol bool) form {
	if h.symbol >= 0 {
		return formLong
	}
	if symbol {
		return formSingle
	}
	named, all := 0, true
	for i, f := range h.columns {
		switch {
		case f == fieldNone:
			all = false
		case f == fieldDate:
		case (f == fieldClose || f == fieldAdjClose) && !weak[i]:
			return formSingle
		case f != fieldOpen && f != fieldLow:
			named++
		}
	}
	if all && named > 0 {
		return formSingle
	}
	return formWide
}

// check compares the form with the options of the client.
func (h *header) check(opts Options) error {
	switch {
	case h.form == formLong && opts.Symbol != "":
		return fault.Invalid("symbol_unexpected", "the file has a symbol column (%q), so ?symbol=%s cannot hold for it",
			h.names[h.symbol], opts.Symbol).WithHint("leave out ?symbol=")
	case h.form == formSingle && opts.Symbol == "" && opts.FallbackSymbol == "":
		return fault.Invalid("symbol_missing", "the file has the prices of one symbol and does not say of which").
			WithHint("add ?symbol=, for example ?symbol=AAPL, or a symbol column")
	}
	return nil
}

// unique reports columns with the same meaning. In the single form a weak spelling is ignored beside a strong one.
func (h *header) unique(weak []bool, faults *faults, line int) {
	var seen [fields]int // column, from 1
	for i, f := range h.columns {
		if f == fieldNone || h.form == formWide && f != fieldDate {
			continue
		}
		j := seen[f] - 1
		switch {
		case j < 0:
			seen[f] = i + 1
		case h.form != formLong && weak[i] && !weak[j]:
			h.columns[i] = fieldNone
		case h.form != formLong && weak[j] && !weak[i]:
			h.columns[j] = fieldNone
			seen[f] = i + 1
		case fold(h.names[i]) == fold(h.names[j]):
			faults.add(line, "the column %q is there twice, as columns %d and %d", h.names[i], j+1, i+1)
		default:
			faults.add(line, "the columns %q and %q (%d and %d) both mean %s", h.names[j], h.names[i], j+1, i+1, f)
		}
	}
}

// wide parses the symbols of a wide header.
func (h *header) wide(faults *faults, line int) {
	seen := make(map[string]int, len(h.names))
	for i, name := range h.names {
		if i == h.date {
			continue
		}
		symbol, err := events.Symbol(name)
		if name == "" {
			faults.add(line, "column %d has no name; a wide file names a symbol over each column of prices", i+1)
			continue
		} else if err != nil {
			faults.add(line, "column %d: %s", i+1, err)
			continue
		}
		if j, ok := seen[symbol]; ok {
			faults.add(line, "the symbol %s is there twice, as columns %d and %d", symbol, j+1, i+1)
			continue
		}
		seen[symbol] = i
		h.values = append(h.values, i)
		h.symbols = append(h.symbols, symbol)
	}
	if len(h.values) == 0 && faults.total == 0 {
		faults.add(line, "the header has no column of prices beside %q", h.names[h.date])
	}
	if len(h.symbols) > maxSymbols {
		faults.add(line, "the header has %d symbols; a file may have %d", len(h.symbols), maxSymbols)
	}
}

// fields checks the columns of the long and the single form.
func (h *header) fields(faults *faults, line int) {
	for i, f := range h.columns {
		switch {
		case f >= fieldClose:
			h.values = append(h.values, i)
		case f == fieldNone && h.form == formLong && h.names[i] == "":
			faults.add(
				line, "column %d has no name; leave it out (pandas: to_csv(index=False)) or name it; known are %s", i+1,
				known,
			)
		case f == fieldNone && h.form == formLong:
			faults.add(line, "the column %s is not known; known are %s", quote([]byte(h.names[i])), known)
		}
	}
	if !slices.Contains(h.columns, fieldClose) {
		detail := "the header has no close column"
		if slices.Contains(h.columns, fieldAdjClose) {
			detail += "; an adjusted close does not stand for it"
		}
		faults.add(line, "%s", detail)
	}
	// The close comes first, so that high and low are both there when they are compared.
	slices.SortFunc(h.values, func(a, b int) int { return int(h.columns[a]) - int(h.columns[b]) })
}

func looksLikeData(cells [][]byte) bool {
	d := newDates(nil)
	for _, cell := range cells {
		if _, wrong := d.key(cell, 1); wrong == "" {
			return true
		}
	}
	return false
}
