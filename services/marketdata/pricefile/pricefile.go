// Package pricefile reads files of daily prices: CSV as people and vendors write it, streamed in bounded memory and
// validated wholly before anybody sees a price of it.
//
// The header shows one of three forms:
//
//   - long: date,symbol,close and optionally open, high, low, adj_close, volume, dividend and split, in any
//     order and in the common spellings of some languages;
//   - wide: date,AAPL,MSFT,… with one column of closes per symbol;
//   - single: what vendors serve for one symbol, Date,Open,High,Low,Close,Adj Close,Volume, whose symbol comes
//     from Options, or from names of columns such as AAPL.Close, or from a second line of the header.
//
// A column that nobody needs is ignored, whatever it has. Names that price tables use, such as Settle or NAV, are never
// symbols unless Options.Wide is set. Lines before the header and after the last row may have texts. A row that is
// there twice counts once. An empty cell, or NA, NaN, null, "-" or ".", is a day without a price.
//
// A file is text in UTF-8, UTF-16 or Windows-1252. Fields are separated by commas, semicolons, tabs or bars, whichever
// the header shows, and may be quoted. Lines end in LF or CRLF; a byte order mark, blank lines and Excel's line "sep=;"
// are passed over.
//
// Numbers have up to 19 digits, and may have a currency, marks between thousands and an exponent. They are kept
// exactly; trailing zeros of a fraction are dropped, so that 2.20 and 2.2 are one price. Only a price below 0.001 with
// more than 19 decimals is rounded to 19. The decimal mark is the same in the whole file; what 1,234 is follows from
// the other numbers, and a file that leaves it open is refused until Options.Decimal names the mark.
//
// Dates are YYYY-MM-DD, or any form that can mean one day only, or seconds since 1970. Whether 03/04/2024 is in March
// or in April is decided over the whole file, and a file that leaves it open is refused until Options.DateFormat names
// the form. A time of day is ignored when it is local. A time of UTC in the middle of a day is refused until
// Options.TimeZone names the zone, and so is a file with several prices a day.
//
// A file of returns becomes closes that begin at 100 on the day before the first return.
//
// What is read stays in a Spool, compact and per symbol, in memory at first and beyond a budget in a temporary file
// that has no name.
package pricefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"stega/fault"
)

// Limits that no option changes.
const (
	maxLine    = 1 << 20 // bytes of one record
	maxSymbols = 100_000 // per file
	firstYear  = 1800    // a day outside of these 400 years is a typing error
	lastYear   = 2199
	maxDays    = 146_097 // days in those years: more rows than that repeat a day
)

// The defaults of Options.
const (
	DefaultMaxBytes     = 512 << 20
	DefaultMemoryBudget = 32 << 20
)

// Options are the settings of a file; the zero value reads long and wide files.
type Options struct {
	// Symbol is the symbol of a file with the prices of one symbol (the single form).
	Symbol string
	// FallbackSymbol is the symbol of a file in the single form when Symbol is empty; other forms ignore it.
	FallbackSymbol string
	// Wide makes each column a symbol, whatever its name.
	Wide bool
	// Decimal is the decimal mark, a point or a comma. Empty: what the numbers of the file show.
	Decimal string
	// TimeZone names the zone of the exchange, for times of UTC and seconds since 1970.
	TimeZone string
	// Returns names the unit of a file of returns: Ratios, Percents, or Either for what the file shows. Empty: the file
	// has prices.
	Returns string
	// AllErrors lists 10,000 errors in place of 20.
	AllErrors bool
	// DateFormat names the form of the dates, as DD/MM/YYYY; see ParseDateFormat. Empty: see the file.
	DateFormat string
	// MaxBytes bounds the body; 0 is DefaultMaxBytes.
	MaxBytes int64
	// MemoryBudget is what the spool holds before it moves to a file; 0 is DefaultMemoryBudget.
	MemoryBudget int
	// TempDir is where that file goes; empty is the system's folder.
	TempDir string
	// Progress is told about every MiB, and once at the end.
	Progress func(bytes, rows int64)
}

// Read reads a whole file. It returns a spool, which the caller closes, or a *fault.Fault that counts all errors
// and lists the first 20, or the error of ctx or r.
func Read(ctx context.Context, r io.Reader, opts Options) (*Spool, error) {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.MemoryBudget <= 0 {
		opts.MemoryBudget = DefaultMemoryBudget
	}
	p, err := newParser(opts)
	if err != nil {
		return nil, err
	}
	spool, err := p.read(newSource(ctx, r, opts.MaxBytes))
	if err != nil {
		_ = p.spool.Close() // the fault matters, not the temporary file
		return nil, err
	}
	return spool, nil
}

func (p *parser) read(src *source) (*Spool, error) {
	var told int64
	for {
		block, err := src.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errLongLine) {
			p.faults.add(p.line+1, "the line is longer than %s", size(maxLine))
			return nil, p.faults.fault()
		}
		if err != nil {
			return nil, readFault(err, src.limit)
		}
		if err := p.block(block); err != nil {
			return nil, err
		}
		if p.opts.Progress != nil && src.bytes-told >= 1<<20 {
			told = src.bytes
			p.opts.Progress(src.bytes, p.rows)
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	p.spool.bytes = src.bytes
	src.hash.Sum(p.spool.digest[:0])
	if p.opts.Progress != nil {
		p.opts.Progress(src.bytes, p.rows)
	}
	return p.spool, nil
}

// readFault returns the fault of a body that could not be read to its end.
func readFault(err error, limit int64) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, errTooLarge):
		return bodyTooLarge(limit)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Malformed("body_incomplete", "the body ended before it was complete; nothing was imported").
			WithHint("send the file again").Because(err)
	}
	return fmt.Errorf("read prices: %w", err)
}

func bodyTooLarge(limit int64) error {
	return fault.New(
		fault.KindTooLarge, "body_too_large", "the file is larger than %s; nothing was imported", size(limit),
	).
		WithHint("cut the file into parts and send them one after the other")
}

func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
