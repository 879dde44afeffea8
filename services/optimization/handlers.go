package optimization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/govalues/decimal"
	"github.com/uptrace/bun"

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
	if e.Replay != nil {
		return s.replace(ctx, tx, e, points)
	}
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
		err = fmt.Errorf("merge the returns of %s: %w", e.Symbol, err)
		if bus.IsPermanent(err) {
			err = s.views.Skip(ctx, tx, err)
		}
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	saveSeries(tx, e.Symbol, rows)
	apartOf(tx).moved(e.Symbol)
	tx.Once("followers", s.symbolsMoved)
	return nil
}

// replace puts the returns of a replay in the place of what there is of their days, whatever that is.
func (s *Service) replace(ctx context.Context, tx *store.Tx, e events.AssetUpdated, points []series.Point) error {
	years, err := yearsOf(ctx, tx, e)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", e.Symbol, err)
	}
	from, to := e.Replay.Span()
	rows, gone := replaceSeries(years, e.Symbol, points, from, to)
	if len(gone) > 0 {
		if err := tx.Flush(ctx); err != nil { // what is removed stays so
			return err
		}
		tx.Queue(tx.NewRaw("DELETE FROM series WHERE symbol = ? AND year IN (?)", e.Symbol, bun.List(gone)))
	}
	if len(rows)+len(gone) > 0 {
		saveSeries(tx, e.Symbol, rows)
		tx.Once("followers", s.symbolsMoved)
	}
	s.views.Replaced(tx, e.Replay, "returns", e.Symbol)
	return nil
}

// pricesImported keeps the last close.
func (s *Service) pricesImported(ctx context.Context, tx *store.Tx, e events.PricesImported) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("bars_invalid", "the bars of %s make no sense: %s", e.Symbol, err)
	}
	own, err := s.views.Running(ctx, tx, e.Replay)
	if err != nil || own && !e.Replay.Last() {
		return err
	}
	if own {
		if err := tx.Flush(ctx); err != nil { // what is removed stays so
			return err
		}
		tx.Queue(tx.NewRaw("DELETE FROM closes WHERE symbol = ?", e.Symbol))
		s.views.Replaced(tx, e.Replay, "marketdata", e.Symbol)
	}
	if len(e.Days) == 0 {
		return nil
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
	if own, err := s.views.Running(ctx, tx, e.Replay); err != nil {
		return err
	} else if own {
		return s.replacePortfolio(ctx, tx, e)
	}
	return s.keep(ctx, tx, e.Portfolio)
}

// replacePortfolio puts a portfolio in the place of what there is of it, whatever that is.
func (s *Service) replacePortfolio(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	assets, err := json.Marshal(e.Assets)
	if err != nil {
		return err
	}
	var kept []int
	err = tx.NewRaw("SELECT 1 FROM portfolios WHERE id = ? AND version = ? AND assets = ?", e.ID, e.Version, string(assets)).Scan(ctx, &kept)
	if err != nil {
		return fmt.Errorf("read portfolio %s: %w", e.ID, err)
	}
	s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
	if len(kept) > 0 {
		tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
		hold(tx, e.Portfolio)
		return nil
	}
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
	return s.keep(ctx, tx, e.Portfolio)
}

// hold notes which symbols a portfolio has.
func hold(tx *store.Tx, p events.Portfolio) {
	holdings := make([]holding, len(p.Assets))
	for i, a := range p.Assets {
		holdings[i] = holding{Symbol: a.Symbol, PortfolioID: p.ID}
		apartOf(tx).held(a.Symbol)
	}
	if len(holdings) > 0 {
		tx.Queue(tx.NewInsert().Model(&holdings).On("CONFLICT DO NOTHING"))
	}
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
	tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", p.ID))
	hold(tx, p)
	apartOf(tx).held("portfolio " + p.ID)
	tx.Once("followers of "+p.ID, func(ctx context.Context, tx *store.Tx) error { return s.portfolioMoved(ctx, tx, p.ID) })
	return nil
}

func (s *Service) portfolioDeleted(ctx context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	if e.Replay != nil { // its owner does not have it
		own, err := s.views.Running(ctx, tx, e.Replay)
		if own {
			tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
			tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
			s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
		}
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Queue(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`, e.ID, e.Version))
	tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 0 WHERE portfolio_id = ?", e.ID))
	return nil
}
