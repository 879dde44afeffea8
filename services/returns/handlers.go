package returns

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// pricesImported merges bars into the series of their symbol.
func (s *Service) pricesImported(ctx context.Context, tx *store.Tx, e events.PricesImported) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("bars_invalid", "the bars of %s make no sense: %s", e.Symbol, err)
	}
	fresh := pointsOf(e)
	besides(tx)
	apartOf(tx).priced(e.Symbol)
	years, err := yearsOf(ctx, tx, e)
	if err != nil {
		return err
	}
	changed, err := years.merge(fresh)
	if err != nil { // what is kept is damaged, and stays so until somebody rebuilds it
		return bus.Permanent(fmt.Errorf("merge the prices of %s: %w", e.Symbol, err))
	}
	if len(changed) == 0 {
		return nil
	}
	years.save(tx, e.Symbol)
	if err := years.announce(tx, e.Symbol, changed[0].day, changed[len(changed)-1].day); err != nil {
		return err
	}
	tx.Once("holders of "+e.Symbol, func(ctx context.Context, tx *store.Tx) error {
		ids, err := holders(ctx, tx, e.Symbol)
		for _, id := range ids {
			portfolioChanged(tx, id)
		}
		return err
	})
	return nil
}

// yearsOf are the years of the symbol of an event, as this unit of work has them. What all its events need is read at once.
func yearsOf(ctx context.Context, tx *store.Tx, e events.PricesImported) (*years, error) {
	all, err := store.Shared(tx, "years", func() (map[string]*years, error) {
		from, to := e.Days[0], e.Days[len(e.Days)-1]
		symbols := []string{e.Symbol}
		for _, other := range store.Expected[events.PricesImported](tx) {
			if n := len(other.Days); n > 0 { // whether it makes sense is seen when its turn comes
				symbols, from, to = append(symbols, other.Symbol), min(from, other.Days[0]), max(to, other.Days[n-1])
			}
		}
		return loadYears(ctx, tx, symbols, from, to)
	})
	if err != nil {
		return nil, err
	}
	if y := all[e.Symbol]; y != nil {
		return y, nil
	}
	alone, err := loadYears(ctx, tx, []string{e.Symbol}, e.Days[0], e.Days[len(e.Days)-1])
	return alone[e.Symbol], err
}

// announced is how many days one event tells at most.
const announced = 4096

// announce tells the returns from one day to another, and that of the day after, which is made of the last of them too.
func (y *years) announce(tx *store.Tx, symbol string, from, to civil.Date) error {
	points, before, err := y.around(from, to)
	if err != nil {
		return bus.Permanent(fmt.Errorf("read the returns of %s: %w", symbol, err))
	}
	first, last, days := y.extent()
	for chunk := range slices.Chunk(points, announced) {
		e := events.AssetUpdated{
			Symbol: symbol, ChangedFrom: chunk[0].day, ChangedTo: chunk[len(chunk)-1].day, First: first, Last: last, Observations: days,
			Days: daysOf(chunk), Returns: make(events.Floats, len(chunk)),
		}
		for i, p := range chunk {
			e.Returns[i] = math.NaN()
			if before != nil {
				e.Returns[i] = between(*before, p)
			}
			before = &p
		}
		if err := tx.Emit(e); err != nil {
			return err
		}
	}
	return nil
}

// portfolioChanged announces, once in a unit of work, that a portfolio's returns may read differently.
func portfolioChanged(tx *store.Tx, id string) {
	all := apartOf(tx)
	all.announces(id)
	tx.Once("portfolio "+id, func(ctx context.Context, tx *store.Tx) error {
		all.lockPortfolios(tx)
		p, found, err := loadPortfolio(ctx, tx, id)
		if err != nil || !found {
			return err
		}
		missing, err := unpriced(ctx, tx, p.Assets)
		if err != nil {
			return err
		}
		return tx.Emit(events.PortfolioReturnsUpdated{PortfolioID: id, Version: p.Version, Missing: missing})
	})
}

func (s *Service) portfolioCreated(ctx context.Context, tx *store.Tx, e events.PortfolioCreated) error {
	return follow(ctx, tx, e.Portfolio)
}

func (s *Service) portfolioUpdated(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	return follow(ctx, tx, e.Portfolio)
}

// follow keeps a portfolio as it is now, unless something newer of it is known.
func follow(ctx context.Context, tx *store.Tx, p events.Portfolio) error {
	assets, err := json.Marshal(p.Assets)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO portfolios (id, version, assets) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM deleted_portfolios WHERE id = ? AND version > ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, assets = excluded.assets WHERE excluded.version > portfolios.version`,
		p.ID, p.Version, string(assets), p.ID, p.Version)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	tx.Later(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", p.ID))
	holdings := make([]holding, len(p.Assets))
	for i, a := range p.Assets {
		holdings[i] = holding{Symbol: a.Symbol, PortfolioID: p.ID}
		apartOf(tx).held(a.Symbol)
	}
	if len(holdings) > 0 {
		tx.Later(tx.NewInsert().Model(&holdings).On("CONFLICT DO NOTHING"))
	}
	// Once everything is known that moves portfolios in this unit, they are announced.
	tx.Once("portfolio "+p.ID+" moved", func(_ context.Context, tx *store.Tx) error {
		portfolioChanged(tx, p.ID)
		return nil
	})
	return nil
}

func (s *Service) portfolioDeleted(_ context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	tx.Later(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
	tx.Later(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Later(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`, e.ID, e.Version))
	return nil
}
