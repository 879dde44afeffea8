package optimization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/govalues/decimal"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/series"
	"stega/store"
)

// assetUpdated merges returns into the series of their symbol.
func (s *Service) assetUpdated(ctx context.Context, tx *store.Tx, e events.AssetUpdated) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("returns_invalid", "the returns of %s make no sense: %s", e.Symbol, err)
	}
	points := series.Of(e.Days, e.Returns)
	if len(points) == 0 {
		return nil
	}
	years, err := yearsOf(ctx, tx, e)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", e.Symbol, err)
	}
	rows, err := mergeSeries(years, e.Symbol, points)
	if errors.Is(err, series.ErrPacked) { // what is kept stays damaged until somebody rebuilds it
		err = bus.Permanent(err)
	}
	if err != nil {
		return fmt.Errorf("merge the returns of %s: %w", e.Symbol, err)
	}
	if len(rows) == 0 {
		return nil
	}
	saveSeries(tx, e.Symbol, rows)
	apartOf(tx).moved(e.Symbol)
	tx.Once("followers", s.symbolsMoved)
	return nil
}

// pricesImported keeps the last close.
func (s *Service) pricesImported(_ context.Context, tx *store.Tx, e events.PricesImported) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("bars_invalid", "the bars of %s make no sense: %s", e.Symbol, err)
	}
	last := len(e.Days) - 1
	saveClose(tx, e.Symbol, e.Days[last], e.Close[last].Decimal)
	return nil
}

var keepClose = store.NewUpsert("closes", 1, "symbol", "day", "close").
	Setting("day = excluded.day, close = excluded.close WHERE excluded.day >= closes.day")

func saveClose(tx *store.Tx, symbol string, day civil.Date, price decimal.Decimal) {
	tx.Put(keepClose, symbol, int32(day), price.String())
}

func (s *Service) portfolioCreated(ctx context.Context, tx *store.Tx, e events.PortfolioCreated) error {
	return s.keep(ctx, tx, e.Portfolio)
}

func (s *Service) portfolioUpdated(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	return s.keep(ctx, tx, e.Portfolio)
}

// keep keeps a portfolio as it is now, unless something newer of it is known.
func (s *Service) keep(ctx context.Context, tx *store.Tx, p events.Portfolio) error {
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
	apartOf(tx).held("portfolio " + p.ID)
	if len(holdings) > 0 {
		tx.Later(tx.NewInsert().Model(&holdings).On("CONFLICT DO NOTHING"))
	}
	tx.Once("followers of "+p.ID, func(ctx context.Context, tx *store.Tx) error { return s.portfolioMoved(ctx, tx, p.ID) })
	return nil
}

func (s *Service) portfolioDeleted(_ context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	tx.Later(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
	tx.Later(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Later(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`, e.ID, e.Version))
	tx.Later(tx.NewRaw("UPDATE optimizations SET follow = 0 WHERE portfolio_id = ?", e.ID))
	return nil
}
