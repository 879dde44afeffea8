package pricefile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"stega/fault"
)

const (
	listed    = 20     // faults that an answer lists
	allListed = 10_000 // faults that it lists when all are requested
)

// faults collects the errors of a file.
type faults struct {
	items []fault.Item
	total int
	list  int // how many are listed

	negative bool // a close is below zero
}

func (f *faults) add(line int, format string, args ...any) {
	f.total++
	if len(f.items) < f.list {
		f.items = append(f.items, fault.Item{Line: line, Detail: fmt.Sprintf(format, args...)})
	}
}

// fault returns the fault with the errors, or nil.
func (f *faults) fault() error {
	if f.total == 0 {
		return nil
	}
	slices.SortStableFunc(f.items, func(a, b fault.Item) int { return a.Line - b.Line })
	first := f.items[0]
	hint := "correct the file and send it again"
	if f.negative {
		hint += "; if it has returns in place of prices, add ?returns=true"
	}
	if f.total > len(f.items) {
		hint += fmt.Sprintf("; the first %d faults are listed, more with ?errors=all", len(f.items))
	}
	found := fault.Invalid("prices_invalid", "line %d: %s; nothing was imported", first.Line, first.Detail)
	if f.total > 1 {
		found = fault.Invalid("prices_invalid",
			"the file has %d faults, the first on line %d: %s; nothing was imported",
			f.total, first.Line, first.Detail)
	}
	found.Errors = f.items // more than With keeps
	return found.WithHint("%s", hint)
}

// quote quotes a piece of the file, shortened.
func quote(b []byte) string {
	const long = 40
	if len(b) <= long {
		return fmt.Sprintf("%q", b)
	}
	cut := long
	for cut > 0 && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", b[:cut])
}

// sniff returns a fault when the first bytes are those of a known format other than CSV.
func sniff(b []byte) error {
	what := func(name, hint string) error {
		return fault.New(fault.KindUnsupported, "prices_not_csv", "the file is %s, not CSV", name).WithHint("%s", hint)
	}
	switch {
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return what("a zip archive or an Excel workbook", "save the sheet as CSV (UTF-8) and send that")
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return what("compressed with gzip", "unpack it first: gunzip -c prices.csv.gz")
	case bytes.HasPrefix(b, []byte("PAR1")):
		return what("a Parquet file", "export it as CSV")
	}
	switch text := bytes.TrimSpace(b); {
	case bytes.HasPrefix(text, []byte("<")) && !bracketed(text):
		return what("HTML or XML", "look at it: a download may have saved an error page")
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return what("JSON", "send CSV with a header such as date,symbol,close")
	}
	return nil
}

// bracketed reports whether a text begins with a header such as <TICKER>,<DATE>.
func bracketed(text []byte) bool {
	i := bytes.IndexByte(text, '>') + 1
	return i > 0 && i < len(text) && strings.IndexByte(",;\t|", text[i]) >= 0
}

// text returns a part of the file in UTF-8. A file that is not is in Windows-1252, of which Latin-1 is a part: its
// letters beyond ASCII matter in names of columns and currencies only.
func (p *parser) text(b []byte) ([]byte, error) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return nil, fault.New(fault.KindUnsupported, "prices_not_csv", "the file is not text: line %d has a zero byte",
			p.line+1+bytes.Count(b[:i], []byte{'\n'})).WithHint("send CSV in UTF-8")
	}
	if !p.latin && utf8.Valid(b) {
		return b, nil
	}
	p.latin = true
	decoded, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return nil, fmt.Errorf("decode the file: %w", err)
	}
	return decoded, nil
}
