package correlations

import (
	"context"
	"encoding/json"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// assetUpdated merges returns into the series of their symbol, together with those of all messages of the unit of work.
func (s *Service) assetUpdated(_ context.Context, tx *store.Tx, e events.AssetUpdated) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("returns_invalid", "the returns of %s make no sense: %s", e.Symbol, err)
	}
	store.Collect(tx, "merge returns", e, func(ctx context.Context, tx *store.Tx, all []events.AssetUpdated) error {
		b := batch{skip: s.views.Skip}
		for _, e := range all {
			b.add(e)
		}
		changed, err := b.merge(ctx, tx)
		if err != nil || len(changed) == 0 {
			return err
		}
		return publish(ctx, tx, changed)
	})
	s.views.Replaced(tx, e.Replay, "returns", e.Symbol)
	return nil
}

// publish publishes the symbols that changed, with the number of all and the last day of any.
func publish(ctx context.Context, tx *store.Tx, changed []string) error {
	tx.Lock(nil, []string{"symbols"}) // the last to publish counts the symbols that others added
	e := events.CorrelationsUpdated{Changed: changed}
	if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(max(last_day), 0) FROM symbols").
		Scan(&e.Symbols, &e.Last); err != nil {
		return err
	}
	return tx.Emit(e)
}

func (s *Service) portfolioCreated(_ context.Context, tx *store.Tx, e events.PortfolioCreated) error {
	return storePortfolio(tx, e.Portfolio)
}

func (s *Service) portfolioUpdated(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	own, err := s.views.Running(ctx, tx, e.Replay)
	if err != nil {
		return err
	}
	if own { // replace it, whatever its version
		tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
		s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
	}
	return storePortfolio(tx, e.Portfolio)
}

// storePortfolio stores a portfolio, unless a newer version or deletion is stored already.
func storePortfolio(tx *store.Tx, p events.Portfolio) error {
	assets, err := json.Marshal(p.Assets)
	if err != nil {
		return err
	}
	tx.Queue(tx.NewRaw(`INSERT INTO portfolios (id, version, assets) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM deleted_portfolios WHERE id = ? AND version > ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, assets = excluded.assets
		WHERE excluded.version > portfolios.version`,
		p.ID, p.Version, string(assets), p.ID, p.Version))
	return nil
}

func (s *Service) portfolioDeleted(ctx context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	if e.Replay != nil { // the owner no longer has it
		own, err := s.views.Running(ctx, tx, e.Replay)
		if own {
			tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
			s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
		}
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Queue(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`, e.ID,
		e.Version))
	return nil
}
