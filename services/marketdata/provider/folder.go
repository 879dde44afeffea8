package provider

import (
	"context"
	"errors"
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

// Folder is a folder of CSV files in any of the forms of package pricefile; a file in the single form is named after its symbol, AAPL.csv. When
// two files have a bar of the same day, the file whose name sorts last counts.
type Folder struct{ dir string }

// NewFolder makes a provider of a folder, which is read anew each time.
func NewFolder(dir string) *Folder { return &Folder{dir: dir} }

// Latest is the last bar of each symbol in the folder.
func (f *Folder) Latest(ctx context.Context, symbols []string) (map[string][]Bar, error) {
	latest := map[string][]Bar{}
	err := f.each(ctx, symbols, func(symbol string, bars []Bar) {
		last := bars[len(bars)-1]
		if had := latest[symbol]; len(had) == 0 || had[0].Day <= last.Day {
			latest[symbol] = []Bar{last}
		}
	})
	return latest, err
}

// History is the bars of a symbol in the folder.
func (f *Folder) History(ctx context.Context, symbol string, from *civil.Date) ([]Bar, error) {
	byDay := map[civil.Date]Bar{}
	found := false
	err := f.each(ctx, []string{symbol}, func(_ string, bars []Bar) {
		found = true
		for _, b := range bars {
			if from == nil || b.Day >= *from {
				byDay[b.Day] = b
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault.NotFound("symbol_unknown", "no file in %s has prices of %s", f.dir, symbol).
			WithHint("put %s.csv there, or a file with a column of that name", symbol)
	}
	bars := make([]Bar, 0, len(byDay))
	for _, b := range byDay {
		bars = append(bars, b)
	}
	slices.SortFunc(bars, func(a, b Bar) int { return int(a.Day - b.Day) })
	return bars, nil
}

// each visits the bars of symbols, file by file.
func (f *Folder) each(ctx context.Context, symbols []string, visit func(symbol string, bars []Bar)) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fault.Unavailable("provider_unavailable", "the folder of prices %s cannot be read", f.dir).
			WithHint("check --prices-folder or STEGA_PRICES_FOLDER").Because(err)
	}
	for _, entry := range entries {
		if entry.IsDir() || !strings.EqualFold(filepath.Ext(entry.Name()), ".csv") {
			continue
		}
		if err := f.file(ctx, entry.Name(), symbols, visit); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) file(ctx context.Context, name string, symbols []string, visit func(symbol string, bars []Bar)) error {
	file, err := os.Open(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed meanwhile
	}
	if err != nil {
		return fault.Unavailable("provider_unavailable", "the file %s cannot be read", name).Because(err)
	}
	defer func() { _ = file.Close() }()
	var options pricefile.Options
	if symbol, err := events.Symbol(strings.TrimSuffix(name, filepath.Ext(name))); err == nil {
		options.FallbackSymbol = symbol
	}
	spool, err := pricefile.Read(ctx, file, options)
	if err != nil {
		if bad, ok := errors.AsType[*fault.Fault](err); ok {
			return fault.New(bad.Kind, bad.Code, "%s: %s", name, bad.Detail).With(bad.Errors...).WithHint("correct or remove the file in %s", f.dir)
		}
		return err
	}
	defer func() { _ = spool.Close() }()
	for _, symbol := range symbols {
		bars, err := spool.Bars(symbol, nil)
		if err != nil {
			return err
		}
		if len(bars) > 0 {
			visit(symbol, bars)
		}
	}
	return nil
}
