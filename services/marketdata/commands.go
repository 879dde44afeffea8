package marketdata

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/events"
	"stega/services/marketdata/pricefile"
	"stega/store"
)

// prices has the prices of symbols that an import reads, possibly more than once.
type prices interface {
	Symbols() []string
	// Bars returns canonical bars, ordered by day, one for each day.
	Bars(symbol string, buf []Bar) ([]Bar, error)
}

// ImportPrices imports the prices of a file that was read and checked. It runs inline, in the process that read the
// file.
type ImportPrices struct {
	ID     string
	prices prices
}

// Topic returns marketdata.import_prices.
func (ImportPrices) Topic() string { return "marketdata.import_prices" }

// Subject returns the import's id.
func (c ImportPrices) Subject() string { return c.ID }

// PullPrices pulls prices from a provider.
type PullPrices struct {
	ID      string      `json:"id"`
	Kind    string      `json:"kind"` // latest or backfill
	Symbols []string    `json:"symbols,omitempty"`
	From    *civil.Date `json:"from,omitempty"` // of a backfill
	// Provider is the name of the provider; the default when empty.
	Provider string `json:"provider,omitempty"`
}

// Topic returns marketdata.pull_prices.
func (PullPrices) Topic() string { return "marketdata.pull_prices" }

// Subject returns the pull's id.
func (c PullPrices) Subject() string { return c.ID }

// The kinds of a pull.
const (
	Latest   = "latest"
	Backfill = "backfill"
)

// The bounds of one query of an import: symbols, and bars of them.
const (
	maxSymbolsRead = 64
	maxBarsRead    = 20_000
)

func (s *Service) importPrices(ctx context.Context, tx *store.Tx, c ImportPrices) error {
	return put(ctx, tx, c.prices, s.options.MaxSymbols)
}

// put merges prices into the stored ones, and publishes the bars that are new or differ. A bar replaces the stored bar
// of its day as a whole.
func put(ctx context.Context, tx *store.Tx, src prices, maxSymbols int) error {
	if err := lockExclusive(ctx, tx, pricesLock); err != nil {
		return err
	}
	if err := checkQuota(ctx, tx, src.Symbols(), maxSymbols); err != nil {
		return err
	}
	pending := 0
	for part, err := range parts(src) {
		if err != nil {
			return err
		}
		kept, err := load(ctx, tx, part.symbols, part.first.Year(), part.last.Year())
		if err != nil {
			return err
		}
		var rows []row
		for i, symbol := range part.symbols {
			changed, touched, err := mergeYears(symbol, kept[symbol], part.bars[i])
			if err != nil {
				return fmt.Errorf("merge the prices of %s: %w", symbol, err)
			}
			rows = append(rows, touched...)
			if err := publish(tx, symbol, changed); err != nil {
				return err
			}
			pending += len(changed)
		}
		save(tx, rows)
		if pending > flushBars {
			pending = 0
			if err := tx.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// part holds some symbols with their bars, and the first and the last day of these.
type part struct {
	symbols     []string
	bars        [][]Bar
	first, last civil.Date
}

// parts divides prices into parts that are read and written at once. A part is bounded in symbols and bars, but a
// symbol is never divided.
func parts(src prices) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		var bars [][]Bar // used again
		var p part
		n := 0
		for _, symbol := range src.Symbols() {
			i := len(p.symbols)
			if i == len(bars) {
				bars = append(bars, nil)
			}
			var err error
			if bars[i], err = src.Bars(symbol, bars[i]); err != nil {
				yield(part{}, err)
				return
			}
			if len(bars[i]) == 0 {
				continue
			}
			first, last := bars[i][0].Day, bars[i][len(bars[i])-1].Day
			if i > 0 {
				first, last = min(first, p.first), max(last, p.last)
			}
			p.symbols, p.bars, p.first, p.last = append(p.symbols, symbol), bars[:i+1], first, last
			if n += len(bars[i]); len(p.symbols) < maxSymbolsRead && n < maxBarsRead {
				continue
			}
			if !yield(p, nil) {
				return
			}
			p, n = part{symbols: p.symbols[:0]}, 0
		}
		if len(p.symbols) > 0 {
			yield(p, nil)
		}
	}
}

// flushBars bounds the bars whose events an import holds in memory.
const flushBars = 100_000

// mergeYears merges bars into the packed years of a symbol. It returns the bars that changed and the rows that have
// them.
func mergeYears(symbol string, kept map[int]row, bars []Bar) (changed []Bar, rows []row, err error) {
	for len(bars) > 0 {
		year := bars[0].Day.Year()
		next := civil.Of(year+1, 1, 1)
		n, _ := slices.BinarySearchFunc(bars, next, func(b Bar, d civil.Date) int { return int(b.Day - d) })
		r := kept[year]
		if len(r.Data) > 0 && r.Data[0] == packedVersion && r.LastDay < bars[0].Day { // the usual case: a new day
			changed = append(changed, bars[:n]...)
			rows = append(rows, row{
				Symbol: symbol, Year: year, FirstDay: r.FirstDay, LastDay: bars[n-1].Day, Bars: r.Bars + n,
				Data: appendPacked(r.Data, r.LastDay, bars[:n]),
			})
			bars = bars[n:]
			continue
		}
		var old []Bar
		if r.Data != nil {
			if old, err = unpack(make([]Bar, 0, r.Bars), r.Data); err != nil {
				return nil, nil, err
			}
		}
		all, differ := merge(old, bars[:n])
		bars = bars[n:]
		if len(differ) == 0 {
			continue
		}
		changed = append(changed, differ...)
		rows = append(rows, row{
			Symbol:   symbol,
			Year:     year,
			FirstDay: all[0].Day,
			LastDay:  all[len(all)-1].Day,
			Bars:     len(all),
			Data:     pack(all),
		})
	}
	return changed, rows, nil
}

// maxEventDays bounds the days of one event. In the packed form a day takes at most 54 bytes, 72 in base64, so that
// its data is within 256 KiB.
const maxEventDays = 3600

// publish publishes bars in chunks.
func publish(tx *store.Tx, symbol string, bars []Bar) error {
	for chunk := range slices.Chunk(bars, maxEventDays) {
		if err := tx.Emit(imported(symbol, chunk)); err != nil {
			return err
		}
	}
	return nil
}

// imported returns the event of bars, with the columns that consumers use. Columns without a value are left out.
func imported(symbol string, bars []Bar) events.PricesImported {
	e := events.PricesImported{
		Symbol: symbol,
		Days:   make(events.Days, len(bars)),
		Close:  make(events.Column, len(bars)),
	}
	for i := range bars {
		b := &bars[i]
		e.Days[i] = b.Day
		e.Close[i] = decimal.NullDecimal{Decimal: b.Close, Valid: true}
		for _, v := range []struct {
			column *events.Column
			value  decimal.NullDecimal
		}{{&e.AdjClose, b.AdjClose}, {&e.Dividend, b.Dividend}, {&e.Split, b.Split}} {
			if !v.value.Valid {
				continue
			}
			if *v.column == nil {
				*v.column = make(events.Column, len(bars))
			}
			(*v.column)[i] = v.value
		}
	}
	return e
}

var (
	_ prices = fetched(nil)
	_ prices = (*pricefile.Spool)(nil)
)
