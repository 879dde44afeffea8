package marketdata

import (
	"context"
	"fmt"
	"slices"

	"github.com/govalues/decimal"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/services/marketdata/pricefile"
	"stega/store"
)

// source is prices by symbol that an import reads, more than once if need be.
type source interface {
	Symbols() []string
	// Bars are canonical and ordered by day, each day once.
	Bars(symbol string, buf []Bar) ([]Bar, error)
}

// ImportPrices takes the prices of a file that was read and checked. It runs inline, in the process that read the file.
type ImportPrices struct {
	ID     string
	source source
}

// Topic is marketdata.import_prices.
func (ImportPrices) Topic() string { return "marketdata.import_prices" }

// Subject is the import's id.
func (c ImportPrices) Subject() string { return c.ID }

// PullPrices takes prices from the provider.
type PullPrices struct {
	ID      string      `json:"id"`
	Kind    string      `json:"kind"` // latest or backfill
	Symbols []string    `json:"symbols,omitempty"`
	From    *civil.Date `json:"from,omitempty"` // of a backfill
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

// symbolsAtATime is how many symbols' rows an import reads in one query.
const symbolsAtATime = 64

func (s *Service) importPrices(ctx context.Context, tx *store.Tx, c ImportPrices) error {
	return put(ctx, tx, c.source)
}

// put merges prices into what is kept, and emits the bars that are new or differ. A bar is replaced wholly by what the
// source says of its day.
func put(ctx context.Context, tx *store.Tx, src source) error {
	if err := takeTurns(ctx, tx); err != nil {
		return err
	}
	var fresh []Bar
	pending := 0
	for symbols := range slices.Chunk(src.Symbols(), symbolsAtATime) {
		kept, err := load(ctx, tx, symbols)
		if err != nil {
			return err
		}
		var rows []row
		for _, symbol := range symbols {
			if fresh, err = src.Bars(symbol, fresh); err != nil {
				return err
			}
			changed, touched, err := mergeYears(symbol, kept[symbol], fresh)
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

// flushBars is how many bars' events an import holds in memory.
const flushBars = 100_000

// mergeYears merges bars into the packed years of a symbol. It returns the bars that changed and the rows that hold them.
func mergeYears(symbol string, kept map[int][]byte, fresh []Bar) (changed []Bar, rows []row, err error) {
	for len(fresh) > 0 {
		year := fresh[0].Day.Year()
		next := civil.Of(year+1, 1, 1)
		n, _ := slices.BinarySearchFunc(fresh, next, func(b Bar, d civil.Date) int { return int(b.Day - d) })
		var old []Bar
		if data := kept[year]; data != nil {
			if old, err = unpack(nil, data); err != nil {
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
	// A date takes 13 bytes, a value at most 24: 19 digits, a point, quotes, and a comma.
	columns := 1
	for bit := range valuesOf(&bars[0]) {
		if slices.ContainsFunc(bars, func(b Bar) bool { return valuesOf(&b)[bit].Valid }) {
			columns++
		}
	}
	for chunk := range slices.Chunk(bars, (chunkBytes-512)/(13+24*columns)) {
		if err := tx.Emit(imported(symbol, chunk)); err != nil {
			return err
		}
	}
	return nil
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

// noProvider is the fault that there is nothing to pull from.
func noProvider() error {
	return fault.Conflict("provider_missing", "no provider of prices is set").
		WithHint("start stega with --prices-folder (STEGA_PRICES_FOLDER), or with STEGA_EODHD_URL and STEGA_EODHD_KEY")
}

// pullPrices fetches outside of any unit of work, and commits all of it in one.
func (s *Service) pullPrices(ctx context.Context, run *bus.Run, c PullPrices) error {
	if s.provider == nil {
		return noProvider()
	}
	symbols := c.Symbols
	if len(symbols) == 0 {
		var err error
		if symbols, err = known(ctx, s.db.Read()); err != nil {
			return err
		}
		if len(symbols) == 0 {
			return fault.Conflict("symbols_missing", "there is no symbol to pull prices of").
				WithHint(`name some: {"kind":%q,"symbols":["AAPL"]}`, c.Kind)
		}
	}
	pulled := fetched{}
	if c.Kind == Latest {
		all, err := s.provider.Latest(ctx, symbols)
		if err != nil {
			return err
		}
		for symbol, bars := range all {
			pulled.put(symbol, bars)
		}
	} else {
		for _, symbol := range symbols {
			bars, err := s.provider.History(ctx, symbol, c.From)
			if err != nil {
				return err
			}
			pulled.put(symbol, bars)
		}
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error { return put(ctx, tx, pulled) })
}

// fetched is what a provider answered, packed.
type fetched map[string][]byte

func (f fetched) put(symbol string, bars []Bar) {
	if len(bars) == 0 {
		return
	}
	for i := range bars {
		canonical(&bars[i])
	}
	slices.SortStableFunc(bars, func(a, b Bar) int { return int(a.Day - b.Day) })
	// Of two bars of a day, the later counts.
	kept := bars[:0]
	for i, b := range bars {
		if i+1 == len(bars) || bars[i+1].Day != b.Day {
			kept = append(kept, b)
		}
	}
	f[symbol] = pack(kept)
}

func (f fetched) Symbols() []string {
	symbols := make([]string, 0, len(f))
	for s := range f {
		symbols = append(symbols, s)
	}
	slices.Sort(symbols)
	return symbols
}

func (f fetched) Bars(symbol string, buf []Bar) ([]Bar, error) { return unpack(buf[:0], f[symbol]) }

var (
	_ source = fetched(nil)
	_ source = (*pricefile.Spool)(nil)
)
