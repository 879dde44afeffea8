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

// prices is prices by symbol that an import reads, more than once if need be.
type prices interface {
	Symbols() []string
	// Bars are canonical and ordered by day, each day once.
	Bars(symbol string, buf []Bar) ([]Bar, error)
}

// ImportPrices takes the prices of a file that was read and checked. It runs inline, in the process that read the file.
type ImportPrices struct {
	ID     string
	prices prices
}

// Topic is marketdata.import_prices.
func (ImportPrices) Topic() string { return "marketdata.import_prices" }

// Subject is the import's id.
func (c ImportPrices) Subject() string { return c.ID }

// PullPrices takes prices from a provider.
type PullPrices struct {
	ID      string      `json:"id"`
	Kind    string      `json:"kind"` // latest or backfill
	Symbols []string    `json:"symbols,omitempty"`
	From    *civil.Date `json:"from,omitempty"` // of a backfill
	// Provider is whom to ask; the default when empty.
	Provider string `json:"provider,omitempty"`
}

// Topic is marketdata.pull_prices.
func (PullPrices) Topic() string { return "marketdata.pull_prices" }

// Subject is the pull's id.
func (c PullPrices) Subject() string { return c.ID }

// The kinds of a pull.
const (
	Latest   = "latest"
	Backfill = "backfill"
)

// An import reads the rows of so many symbols in one query, or of those of which it has so many bars.
const (
	symbolsAtATime = 64
	barsAtATime    = 20_000
)

func (s *Service) importPrices(ctx context.Context, tx *store.Tx, c ImportPrices) error {
	return put(ctx, tx, c.prices, s.options.MaxSymbols)
}

// put merges prices into what is kept, and emits the bars that are new or differ. A bar is replaced wholly by what the
// source says of its day.
func put(ctx context.Context, tx *store.Tx, src prices, maxSymbols int) error {
	if err := takeTurns(ctx, tx, turns); err != nil {
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
			if err := announce(tx, symbol, changed); err != nil {
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

// part is some symbols with their bars, and from when to when they are.
type part struct {
	symbols     []string
	bars        [][]Bar
	first, last civil.Date
}

// parts divides prices into parts that are read and written at once: of not too many symbols, nor of bars, though a
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
			if n += len(bars[i]); len(p.symbols) < symbolsAtATime && n < barsAtATime {
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

// flushBars is how many bars' events an import holds in memory.
const flushBars = 100_000

// mergeYears merges bars into the packed years of a symbol. It returns the bars that changed and the rows that hold
// them.
func mergeYears(symbol string, kept map[int]row, fresh []Bar) (changed []Bar, rows []row, err error) {
	for len(fresh) > 0 {
		year := fresh[0].Day.Year()
		next := civil.Of(year+1, 1, 1)
		n, _ := slices.BinarySearchFunc(fresh, next, func(b Bar, d civil.Date) int { return int(b.Day - d) })
		r := kept[year]
		if len(r.Data) > 0 && r.Data[0] == packedVersion && r.LastDay < fresh[0].Day { // as a rule: a day more
			changed = append(changed, fresh[:n]...)
			rows = append(rows, row{
				Symbol: symbol, Year: year, FirstDay: r.FirstDay, LastDay: fresh[n-1].Day, Bars: r.Bars + n, Data: appendPacked(r.Data, r.LastDay, fresh[:n]),
			})
			fresh = fresh[n:]
			continue
		}
		var old []Bar
		if r.Data != nil {
			if old, err = unpack(make([]Bar, 0, r.Bars), r.Data); err != nil {
				return nil, nil, err
			}
		}
		all, differ := merge(old, fresh[:n])
		fresh = fresh[n:]
		if len(differ) == 0 {
			continue
		}
		changed = append(changed, differ...)
		rows = append(rows, row{
			Symbol: symbol, Year: year, FirstDay: all[0].Day, LastDay: all[len(all)-1].Day, Bars: len(all), Data: pack(all),
		})
	}
	return changed, rows, nil
}

// chunkBytes bounds the data of one event.
const chunkBytes = 256 << 10

// announce emits bars in chunks.
func announce(tx *store.Tx, symbol string, bars []Bar) error {
	if len(bars) == 0 {
		return nil
	}
	for chunk := range chunks(bars) {
		if err := tx.Emit(imported(symbol, chunk)); err != nil {
			return err
		}
	}
	return nil
}

// chunks divides bars, of which there is one at least, into those of one event each.
func chunks(bars []Bar) iter.Seq[[]Bar] {
	// A date takes 13 bytes, a value at most 24: 19 digits, a point, quotes, and a comma.
	columns := 1
	for bit := range valuesOf(&bars[0]) {
		if slices.ContainsFunc(bars, func(b Bar) bool { return valuesOf(&b)[bit].Valid }) {
			columns++
		}
	}
	return slices.Chunk(bars, (chunkBytes-512)/(13+24*columns))
}

// imported is bars as an event, in columns; those without a value are left out.
func imported(symbol string, bars []Bar) events.PricesImported {
	e := events.PricesImported{Symbol: symbol, Days: make(events.Days, len(bars)), Close: make(events.Column, len(bars))}
	columns := [...]*events.Column{&e.AdjClose, &e.Open, &e.High, &e.Low, &e.Volume, &e.Dividend, &e.Split}
	for i := range bars {
		e.Days[i] = bars[i].Day
		e.Close[i] = decimal.NullDecimal{Decimal: bars[i].Close, Valid: true}
		for bit, v := range valuesOf(&bars[i]) {
			if !v.Valid {
				continue
			}
			if *columns[bit] == nil {
				*columns[bit] = make(events.Column, len(bars))
			}
			(*columns[bit])[i] = *v
		}
	}
	return e
}

var (
	_ prices = fetched(nil)
	_ prices = (*pricefile.Spool)(nil)
)
