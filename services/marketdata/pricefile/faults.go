package pricefile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"stega/fault"
)

const (
	listed = 20    // faults that an answer lists
	most   = 1_000 // faults after which reading stops
)

// faults collects the errors of a file.
type faults struct {
	items []fault.Item
	total int
	more  bool // the file was not read to its end
}

func (f *faults) add(line int, format string, args ...any) {
	f.total++
	if len(f.items) < listed {
		f.items = append(f.items, fault.Item{Line: line, Detail: fmt.Sprintf(format, args...)})
	}
}

// full reports whether to stop reading.
func (f *faults) full() bool { return f.total >= most }

// fault returns the fault with all errors, or nil.
func (f *faults) fault() error {
	if f.total == 0 {
		return nil
	}
	slices.SortStableFunc(f.items, func(a, b fault.Item) int { return a.Line - b.Line })
	first := f.items[0]
	hint := "correct the file and send it again"
	if f.total == 1 {
		return fault.Invalid("prices_invalid", "line %d: %s; nothing was imported", first.Line, first.Detail).
			With(f.items...).WithHint("%s", hint)
	}
	count := strconv.Itoa(f.total)
	if f.more {
		count = fmt.Sprintf("%d or more", f.total)
	}
	if f.total > len(f.items) {
		hint += fmt.Sprintf("; the first %d faults are listed", len(f.items))
	}
	return fault.Invalid("prices_invalid", "the file has %s faults, the first on line %d: %s; nothing was imported",
		count, first.Line, first.Detail).With(f.items...).WithHint("%s", hint)
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
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return what("text in UTF-16", "save it as CSV in UTF-8")
	case bytes.HasPrefix(b, []byte("PAR1")):
		return what("a Parquet file", "export it as CSV")
	}
	switch text := bytes.TrimSpace(b); {
	case bytes.HasPrefix(text, []byte("<")):
		return what("HTML or XML", "look at it: a download may have saved an error page")
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return what("JSON", "send CSV with a header such as date,symbol,close")
	}
	return nil
}

// text returns a fault when a text cannot have the bytes.
func text(b []byte, line int) error {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return fault.New(fault.KindUnsupported, "prices_not_csv", "the file is not text: line %d has a zero byte",
			line+1+bytes.Count(b[:i], []byte{'\n'})).WithHint("send CSV in UTF-8")
	}
	if utf8.Valid(b) {
		return nil
	}
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return fault.New(fault.KindUnsupported, "prices_not_csv",
		"the file is not text in UTF-8: line %d has the byte 0x%02x",
		line+1+bytes.Count(b[:i], []byte{'\n'}), b[i]).WithHint("save it as CSV in UTF-8")
}
