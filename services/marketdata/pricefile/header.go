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
	fieldOther // known, and not needed
)

// values are the fields that hold numbers.
const values = int(fields - fieldClose)

func (f field) String() string {
	return [...]string{"date", "symbol", "close", "open", "high", "low", "adj_close", "volume", "dividend", "split", "",
		"other"}[f]
}

// header is the parsed header.
type header struct {
	form    form
	names   []string
	columns []field  // of each column; fieldNone is ignored
	weak    []bool   // of each column: the spelling is weak
	date    int      // the column of the date
	symbol  int      // the column of the symbol, -1 when there is none
	time    int      // the column of a time beside the date, -1 when there is none
	values  []int    // wide: the columns with values
	symbols []string // wide: of each column of values
	groups  []group  // of the other forms
}

// group holds the columns of one symbol.
type group struct {
	symbol  string // empty: the symbol of the row or of the file
	columns []int
}

// parseHeader parses the header and determines the form of a file. The date is in the first column when index is set
// and no column has a name for it.
func parseHeader(cells [][]byte, index bool, opts Options, faults *faults, line int) (*header, error) {
	h := &header{date: -1, symbol: -1, time: -1}
	for _, cell := range cells {
		name := strings.TrimSpace(string(cell))
		f, w := fieldOf(name)
		if opts.Returns != "" && f == fieldOther && strings.Contains(fold(name), "return") {
			f = fieldClose
		}
		h.names, h.columns, h.weak = append(h.names, name), append(h.columns, f), append(h.weak, w)
	}
	if !slices.Contains(h.columns, fieldDate) && (index || h.names[0] == "") {
		h.columns[0] = fieldDate // an index without a name is how data frames are saved
	}
	h.symbol = slices.Index(h.columns, fieldSymbol)
	h.chooseDate()
	if err := h.formOf(opts); err != nil {
		return nil, err
	}
	h.unique(faults, line)
	switch {
	case h.date < 0:
		detail := "the header has no date column"
		if looksLikeData(cells) {
			detail = "the file starts with data; its first line must be a header such as date,symbol,close"
		}
		faults.add(line, "%s", detail)
	case h.form == formWide:
		h.wide(opts, faults, line)
	default:
		h.fields(opts, faults, line)
	}
	return h, faults.fault()
}

// chooseDate chooses the column of the date. A column of times beside it shows intraday data.
func (h *header) chooseDate() {
	strong := false
	for i, f := range h.columns {
		if f != fieldDate {
			continue
		}
		switch {
		case h.date < 0:
			h.date, strong = i, !h.weak[i]
		case h.weak[i] && strong:
			h.columns[i] = fieldNone
			h.time = i
		case !h.weak[i] && !strong:
			h.columns[h.date] = fieldNone
			h.date, h.time, strong = i, h.date, true
		}
	}
}

// formOf determines the form.
func (h *header) formOf(opts Options) error {
	if h.symbol >= 0 {
		h.form = formLong
		if opts.Symbol != "" {
			return fault.Invalid("symbol_unexpected",
				"the file has a symbol column (%q), so ?symbol=%s cannot hold for it", h.names[h.symbol], opts.Symbol).
				WithHint("leave out ?symbol=")
		}
		return nil
	}
	if h.form = formWide; opts.Wide {
		return nil
	}
	if h.joined() {
		return h.oneSymbol(opts)
	}
	single, err := h.isSingle(opts)
	if err != nil || !single {
		return err
	}
	h.form = formSingle
	if opts.Symbol == "" && opts.FallbackSymbol == "" {
		return fault.Invalid("symbol_missing", "the file has the prices of one symbol and does not name it").
			WithHint("add ?symbol=, for example ?symbol=AAPL, or a symbol column")
	}
	return nil
}

// isSingle reports whether the columns are those of one symbol. Names of columns such as Settle or NAV are no symbols,
// even where they could be. OPEN and LOW alone can be symbols; a close, or a high with them, cannot.
func (h *header) isSingle(opts Options) (bool, error) {
	if opts.Symbol != "" {
		return true, nil
	}
	var named, other, ticker string
	lone := true // OPEN and LOW alone
	for i, f := range h.columns {
		name := h.names[i]
		switch {
		case f == fieldDate || i == h.time || name == "":
		case (f == fieldClose || f == fieldAdjClose) && !h.weak[i]:
			return true, nil
		case f == fieldOther && isTicker(name):
			other = name
		case f != fieldNone:
			named = name
			lone = lone && (name == "OPEN" || name == "LOW")
		case isTicker(name):
			ticker = name
		}
	}
	if ticker == "" && other != "" {
		named, lone = other, false
	}
	switch {
	case named == "" || lone:
		return false, nil
	case opts.Returns != "" && ticker == "":
		return h.only(fieldClose) >= 0, nil
	case ticker != "":
		return false, fault.Invalid("columns_ambiguous",
			"the column %q is one of a price table, and %q can be a symbol;"+
				" nothing was imported", named, ticker).
			WithHint("add ?symbol= when the file has the prices of one symbol," +
				" or ?form=wide when each column is a symbol")
	}
	return true, nil
}

// only returns the only column of a field, or -1.
func (h *header) only(f field) int {
	i := slices.Index(h.columns, f)
	if i >= 0 && slices.Contains(h.columns[i+1:], f) {
		return -1
	}
	return i
}

// joined parses names that have both a symbol and a field, such as AAPL.Close or Close_AAPL, and reports whether all
// names do and one is a close.
func (h *header) joined() bool {
	groups := map[string]int{}
	columns := slices.Clone(h.columns)
	weak := slices.Clone(h.weak)
	closes := false
	var all []group
	for i, name := range h.names {
		if columns[i] == fieldDate || i == h.time || name == "" {
			continue
		}
		symbol, f, w := cutName(name)
		if symbol == "" {
			return false
		}
		columns[i], weak[i] = f, w
		closes = closes || f == fieldClose || f == fieldAdjClose
		g, ok := groups[symbol]
		if !ok {
			g = len(all)
			groups[symbol] = g
			all = append(all, group{symbol: symbol})
		}
		if f >= fieldClose && f < fields {
			all[g].columns = append(all[g].columns, i)
		}
	}
	if !closes {
		return false
	}
	h.columns, h.weak, h.groups = columns, weak, all
	return true
}

// oneSymbol compares the symbols in the names of columns with the symbol of the client.
func (h *header) oneSymbol(opts Options) error {
	h.form = formSingle
	if opts.Symbol == "" {
		return nil
	}
	if len(h.groups) > 1 {
		return fault.Invalid("symbol_unexpected",
			"the file has the columns of %d symbols, so ?symbol=%s cannot hold for"+
				" it", len(h.groups), opts.Symbol).WithHint("leave out ?symbol=")
	}
	h.groups[0].symbol = opts.Symbol
	return nil
}

// unique reports columns with the same meaning. A weak spelling is ignored beside a strong one.
func (h *header) unique(faults *faults, line int) {
	if len(h.groups) == 0 {
		h.uniqueIn(slices.Collect(span(len(h.columns))), faults, line)
	}
	for i := range h.groups {
		h.uniqueIn(h.groups[i].columns, faults, line)
		h.groups[i].columns = slices.DeleteFunc(h.groups[i].columns, func(c int) bool {
			return h.columns[c] == fieldNone
		})
	}
}

func span(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func (h *header) uniqueIn(columns []int, faults *faults, line int) {
	seen := make(map[field]int, len(columns)) // column, from 1
	for _, i := range columns {
		f := h.columns[i]
		if f == fieldNone || f >= fields || h.form == formWide && f != fieldDate {
			continue
		}
		j := seen[f] - 1
		switch {
		case j < 0:
			seen[f] = i + 1
		case h.weak[i] && !h.weak[j]:
			h.columns[i] = fieldNone
		case h.weak[j] && !h.weak[i]:
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
func (h *header) wide(opts Options, faults *faults, line int) {
	seen := make(map[string]int, len(h.names))
	for i, name := range h.names {
		if i == h.date || i == 0 && name == "" { // an index beside the date
			continue
		}
		if opts.Returns != "" {
			name = symbolOf(name)
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

// fields checks the columns of the long and the single form. Columns that nobody needs are ignored.
func (h *header) fields(opts Options, faults *faults, line int) {
	if len(h.groups) == 0 {
		var g group
		for i, f := range h.columns {
			if f >= fieldClose && f < fields {
				g.columns = append(g.columns, i)
			}
		}
		if len(g.columns) == 0 && h.form == formSingle { // Date,SP500 with ?symbol=
			if i := h.lone(); i >= 0 {
				h.columns[i] = fieldClose
				g.columns = []int{i}
			}
		}
		h.groups = []group{g}
	}
	for i := range h.groups {
		g := &h.groups[i]
		has := func(f field) bool {
			return slices.ContainsFunc(g.columns, func(c int) bool { return h.columns[c] == f })
		}
		if !has(fieldClose) {
			detail := "the header has no close column"
			if g.symbol != "" && len(h.groups) > 1 {
				detail += " of " + g.symbol
			}
			if has(fieldAdjClose) {
				detail += "; an adjusted close does not stand for it"
			}
			faults.add(line, "%s", detail)
		}
		if opts.Returns != "" {
			g.columns = slices.DeleteFunc(g.columns, func(c int) bool { return h.columns[c] != fieldClose })
		}
		// The close comes first, so that high and low are both there when they are compared.
		slices.SortFunc(g.columns, func(a, b int) int { return int(h.columns[a]) - int(h.columns[b]) })
	}
}

// lone returns the only column beside the date, or -1.
func (h *header) lone() int {
	column := -1
	for i, name := range h.names {
		if i == h.date || i == h.time || name == "" {
			continue
		}
		if column >= 0 {
			return -1
		}
		column = i
	}
	return column
}

func looksLikeData(cells [][]byte) bool {
	return slices.ContainsFunc(cells, isDate)
}

// isDate reports whether a cell has a date in one of the forms that are recognized.
func isDate(cell []byte) bool {
	d := newDates(nil, nil)
	_, wrong := d.key(cell, 1)
	return wrong == ""
}
