package marketdata

import (
	"context"
	"slices"
	"strings"

	"stega/bus"
	"stega/fault"
	"stega/services/marketdata/provider"
	"stega/store"
)

// pullPrices fetches prices outside of any unit of work, and commits all of them in one.
func (s *Service) pullPrices(ctx context.Context, run *bus.Run, c PullPrices) error {
	p, err := s.provider(c.Provider)
	if err != nil {
		return err
	}
	symbols := c.Symbols
	if len(symbols) == 0 {
		if symbols, err = known(ctx, s.db.Read()); err != nil {
			return err
		}
		if len(symbols) == 0 {
			return fault.Conflict("symbols_missing", "there are no symbols to pull prices of").
				WithHint(`give symbols: {"kind":%q,"symbols":["AAPL"]}`, c.Kind)
		}
	}
	pulled, err := fetch(ctx, p, c, symbols, func(done int) error {
		return run.Progress(ctx, int64(done), int64(len(symbols)), "symbols")
	})
	if err != nil {
		return err
	}
	if err := s.checkPulled(ctx, c, pulled); err != nil {
		return err
	}
	return run.Commit(ctx, func(ctx context.Context, tx *store.Tx) error {
		return put(ctx, tx, pulled, s.options.MaxSymbols)
	})
}

// checkPulled returns a fault that names the symbols of a pull of the latest prices that neither the provider nor the
// store has.
func (s *Service) checkPulled(ctx context.Context, c PullPrices, pulled fetched) error {
	var missing []string
	for _, symbol := range c.Symbols {
		if _, ok := pulled[symbol]; ok || c.Kind != Latest {
			continue
		}
		stored, err := summaries(ctx, s.db.Read(), 1, symbolQuery{only: symbol})
		if err != nil {
			return err
		}
		if len(stored) == 0 {
			missing = append(missing, symbol)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fault.NotFound("symbol_unknown", "the provider has no prices of %s; nothing was imported",
		strings.Join(missing[:min(len(missing), maxNamed)], ", ")).
		WithHint("check the symbols, or choose another provider: GET /v1/prices/providers")
}

// maxNamed is the number of symbols that a fault names.
const maxNamed = 20

// fetch requests prices from a provider. It reports the number of symbols that are done, where the provider serves one
// at a time.
func fetch(
	ctx context.Context, p provider.Provider, c PullPrices, symbols []string, progress func(done int) error,
) (fetched, error) {
	pulled := fetched{}
	one := func(symbol string) ([]Bar, error) { return p.History(ctx, symbol, c.From) }
	if c.Kind == Latest {
		single, ok := p.(provider.Single)
		if !ok {
			all, err := p.Latest(ctx, symbols)
			for symbol, bars := range all {
				pulled.put(symbol, bars)
			}
			return pulled, err
		}
		one = func(symbol string) ([]Bar, error) { return single.Recent(ctx, symbol) }
	}
	if bulk, ok := p.(provider.Bulk); ok && c.Kind == Backfill {
		return pulled, bulk.Histories(ctx, symbols, c.From, func(symbol string, bars []Bar) error {
			if err := pulled.add(symbol, bars); err != nil {
				return err
			}
			return progress(len(pulled))
		})
	}
	for i, symbol := range symbols {
		bars, err := one(symbol)
		if err != nil {
			return nil, err
		}
		pulled.put(symbol, bars)
		if err := progress(i + 1); err != nil {
			return nil, err
		}
	}
	return pulled, nil
}

// fetched has the bars that a provider returned, packed, by symbol.
type fetched map[string][]byte

// add merges bars into those that a symbol has.
func (f fetched) add(symbol string, bars []Bar) error {
	before, had := f[symbol]
	f.put(symbol, bars)
	if !had || len(bars) == 0 {
		return nil
	}
	old, err := unpack(nil, before)
	if err != nil {
		return err
	}
	fresh, err := unpack(nil, f[symbol])
	if err != nil {
		return err
	}
	all, _ := merge(old, fresh)
	f[symbol] = pack(all)
	return nil
}

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
