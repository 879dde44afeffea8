package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/services/marketdata/pricefile"
)

// Folder is a folder of CSV files in any form of package pricefile. A file in the single form is named after its
// symbol, such as AAPL.csv. When two files have a bar of the same day, the file whose name sorts last counts. Links are
// followed within the folder; a file that is not regular is refused.
type Folder struct {
	dir  string
	open func(dir, name string) (*os.File, error)
}

// NewFolder returns the provider of a folder, which is read at each request.
func NewFolder(dir string) *Folder { return &Folder{dir: dir, open: openRegular} }

// Latest returns the last bar of each symbol in the folder.
func (f *Folder) Latest(ctx context.Context, symbols []string) (map[string][]Bar, error) {
	latest := map[string][]Bar{}
	err := f.each(ctx, symbols, func(symbol string, bars []Bar) error {
		last := bars[len(bars)-1]
		if had := latest[symbol]; len(had) == 0 || had[0].Day <= last.Day {
			latest[symbol] = []Bar{last}
		}
		return nil
	})
	return latest, err
}

// History returns the bars of a symbol in the folder.
func (f *Folder) History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	byDay := map[civil.Date]Bar{}
	err := f.Histories(ctx, []string{symbol}, from, func(_ string, bars []Bar) error {
		for _, b := range bars {
			byDay[b.Day] = b
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	bars := make([]Bar, 0, len(byDay))
	for _, b := range byDay {
		bars = append(bars, b)
	}
	slices.SortFunc(bars, func(a, b Bar) int { return int(a.Day - b.Day) })
	return bars, nil
}

// Histories visits the bars of symbols file by file, so that each file is read once.
func (f *Folder) Histories(
	ctx context.Context, symbols []string, from *civil.Date, visit func(symbol string, bars []Bar) error,
) error {
	found := make(map[string]bool, len(symbols))
	err := f.each(ctx, symbols, func(symbol string, bars []Bar) error {
		found[symbol] = true
		if from != nil {
			if bars = since(bars, *from); len(bars) == 0 {
				return nil
			}
		}
		return visit(symbol, bars)
	})
	if err != nil {
		return err
	}
	for _, symbol := range symbols {
		if !found[symbol] {
			return fault.NotFound("symbol_unknown", "no file in %s has prices of %s", f.dir, symbol).
				WithHint("put %s.csv there, or a file with a column of that name", symbol)
		}
	}
	return nil
}

// each visits the bars of symbols, file by file.
func (f *Folder) each(ctx context.Context, symbols []string, visit func(symbol string, bars []Bar) error) error {
	entries, err := await(ctx, func() ([]fs.DirEntry, error) { return os.ReadDir(f.dir) }, nil)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fault.Unavailable("provider_unavailable", "the folder of prices %s cannot be read", f.dir).
			WithHint("check --prices-folder or STEGA_PRICES_FOLDER").Because(err)
	}
	wanted := make(map[string]bool, len(symbols))
	for _, symbol := range symbols {
		wanted[symbol] = true
	}
	for _, entry := range entries {
		if entry.IsDir() || !strings.EqualFold(filepath.Ext(entry.Name()), ".csv") {
			continue
		}
		if err := f.file(ctx, entry.Name(), wanted, visit); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) file(
	ctx context.Context, name string, wanted map[string]bool, visit func(symbol string, bars []Bar) error,
) error {
	read := func() (*pricefile.Spool, error) { return f.read(ctx, name) }
	spool, err := await(ctx, read, func(late *pricefile.Spool) { _ = late.Close() })
	if err != nil || spool == nil {
		return err
	}
	defer func() { _ = spool.Close() }()
	for _, symbol := range spool.Symbols() {
		if !wanted[symbol] {
			continue
		}
		bars, err := spool.Bars(symbol, nil)
		if err != nil {
			return err
		}
		if len(bars) == 0 {
			continue
		}
		if err := visit(symbol, bars); err != nil {
			return err
		}
	}
	return nil
}

// read reads a file, and returns nil when it was removed meanwhile.
func (f *Folder) read(ctx context.Context, name string) (*pricefile.Spool, error) {
	file, err := f.open(f.dir, name)
	if bad, ok := errors.AsType[*fault.Fault](err); ok {
		return nil, bad
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // the file was removed
	}
	if err != nil {
		return nil, fault.Unavailable("provider_unavailable", "the file %q cannot be read", name).Because(err)
	}
	defer func() { _ = file.Close() }()
	var options pricefile.Options
	if symbol, err := events.Symbol(strings.TrimSuffix(name, filepath.Ext(name))); err == nil {
		options.FallbackSymbol = symbol
	}
	spool, err := pricefile.Read(ctx, file, options)
	if bad, ok := errors.AsType[*fault.Fault](err); ok {
		return nil, fault.New(bad.Kind, bad.Code, "%s: %s", name, bad.Detail).With(bad.Errors...).
			WithHint("correct or remove the file in %s", f.dir)
	}
	return spool, err
}

// openRegular opens a regular file of a folder, or a link to one within it. Reading anything else, such as a named pipe
// or a device, may block forever, and a link may lead to a file outside.
func openRegular(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	before, err := root.Stat(name)
	if err != nil {
		if link, lost := root.Lstat(name); lost == nil && link.Mode()&fs.ModeSymlink != 0 {
			return nil, fault.Invalid("file_refused", "the file %q is a link that leads to no file of the folder",
				name).
				WithHint("put the file itself into %s, or remove the link", dir).Because(err)
		}
		return nil, err
	}
	if err := regular(dir, name, before.Mode()); err != nil {
		return nil, err // opening it may block or have effects
	}
	file, err := root.OpenFile(name, os.O_RDONLY|nonblocking, 0)
	if err != nil {
		return nil, err
	}
	after, err := file.Stat()
	if err == nil {
		err = regular(dir, name, after.Mode()) // the name may have another file by now
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func regular(dir, name string, mode fs.FileMode) error {
	kind := "no regular file"
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return fault.Invalid("file_refused", "the file %q is %s", name, kind).
		WithHint("remove it from %s, or give it a name that does not end in .csv", dir)
}

// await runs f and returns its result, or the cause of ctx when that ends first, since no call to a file system can be
// cancelled. A later result goes to discard, unless that is nil.
func await[T any](ctx context.Context, f func() (T, error), discard func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { // a panic of this goroutine would end the process
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic: %v", v)
			}
			done <- r
		}()
		r.value, r.err = f()
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil && discard != nil {
				discard(r.value)
			}
		}()
		var none T
		return none, context.Cause(ctx)
	}
}

var _ Bulk = (*Folder)(nil)
