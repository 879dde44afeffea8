// Package follower keeps the copy of the portfolios in the database of a service that follows them: the tables
// portfolios, deleted_portfolios and, where the service looks portfolios up by symbol, holdings.
package follower

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"stega/bus"
	"stega/events"
	"stega/replay"
	"stega/store"
)

// Portfolios handles the events of portfolios.
type Portfolios struct {
	Views *replay.Views // of the service

	// Holdings reports that the service has the table holdings. The other functions need it. Each of them may be nil.
	Holdings bool
	// Held is called for each symbol of a portfolio whose holdings are stored.
	Held func(tx *store.Tx, symbol string)
	// Changed is called when the stored portfolio has changed.
	Changed func(tx *store.Tx, id string)
	// Deleted is called when the owner has deleted a portfolio.
	Deleted func(tx *store.Tx, id string)
}

// Register adds the handlers. They share a name, and with it their order.
func (p *Portfolios) Register(d *bus.Dispatcher) {
	name := bus.Name(p.Views.Service + ":portfolios")
	bus.Handle(d, p.created, name)
	bus.Handle(d, p.updated, name)
	bus.Handle(d, p.deleted, name)
}

func (p *Portfolios) created(ctx context.Context, tx *store.Tx, e events.PortfolioCreated) error {
	return p.store(ctx, tx, e.Portfolio)
}

func (p *Portfolios) updated(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	own, err := p.Views.Running(ctx, tx, e.Replay)
	if err != nil {
		return err
	}
	if own {
		return p.replace(ctx, tx, e)
	}
	return p.store(ctx, tx, e.Portfolio)
}

// replace replaces everything stored of a portfolio by its replayed state, whatever the stored version.
func (p *Portfolios) replace(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	if p.Holdings { // an equal portfolio stays as it is, and counts as unchanged
		assets, err := json.Marshal(e.Assets)
		if err != nil {
			return err
		}
		var equal []int
		err = tx.NewRaw("SELECT 1 FROM portfolios WHERE id = ? AND version = ? AND assets = ?",
			e.ID, e.Version, string(assets)).Scan(ctx, &equal)
		if err != nil {
			return fmt.Errorf("read portfolio %s: %w", e.ID, err)
		}
		if len(equal) > 0 {
			p.Views.Replaced(tx, e.Replay, "portfolio", e.ID)
			p.storeHoldings(tx, e.Portfolio)
			return nil
		}
	}
	p.Views.Replaced(tx, e.Replay, "portfolio", e.ID)
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
	return p.store(ctx, tx, e.Portfolio)
}

// store stores a portfolio and its holdings, unless a newer version or deletion is stored already.
func (p *Portfolios) store(ctx context.Context, tx *store.Tx, portfolio events.Portfolio) error {
	assets, err := json.Marshal(portfolio.Assets)
	if err != nil {
		return err
	}
	insert := tx.NewRaw(`INSERT INTO portfolios (id, version, assets) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM deleted_portfolios WHERE id = ? AND version > ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, assets = excluded.assets
		WHERE excluded.version > portfolios.version`,
		portfolio.ID, portfolio.Version, string(assets), portfolio.ID, portfolio.Version)
	if !p.Holdings {
		tx.Queue(insert)
		return nil
	}
	result, err := insert.Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	p.storeHoldings(tx, portfolio)
	if p.Changed != nil {
		p.Changed(tx, portfolio.ID)
	}
	return nil
}

// holding is a row of the table holdings: a portfolio has a symbol.
type holding struct {
	bun.BaseModel `bun:"table:holdings"`

	Symbol      string
	PortfolioID string
}

// storeHoldings stores the symbols of a portfolio in place of those that are stored.
func (p *Portfolios) storeHoldings(tx *store.Tx, portfolio events.Portfolio) {
	p.removeHoldings(tx, portfolio.ID)
	holdings := make([]holding, len(portfolio.Assets))
	for i, a := range portfolio.Assets {
		holdings[i] = holding{Symbol: a.Symbol, PortfolioID: portfolio.ID}
		if p.Held != nil {
			p.Held(tx, a.Symbol)
		}
	}
	if len(holdings) > 0 {
		tx.Queue(tx.NewInsert().Model(&holdings).On("CONFLICT DO NOTHING"))
	}
}

func (p *Portfolios) removeHoldings(tx *store.Tx, id string) {
	if p.Holdings {
		tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", id))
	}
}

func (p *Portfolios) deleted(ctx context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	if e.Replay != nil { // the owner no longer has it
		own, err := p.Views.Running(ctx, tx, e.Replay)
		if own {
			p.removeHoldings(tx, e.ID)
			tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
			p.Views.Replaced(tx, e.Replay, "portfolio", e.ID)
		}
		return err
	}
	p.removeHoldings(tx, e.ID)
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Queue(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`,
		e.ID, e.Version))
	if p.Deleted != nil {
		p.Deleted(tx, e.ID)
	}
	return nil
}

// Load reads the stored version and assets of a portfolio, and whether it is stored.
func Load(ctx context.Context, db bun.IDB, id string) (p events.Portfolio, found bool, err error) {
	var assets string
	p.ID = id
	err = db.NewSelect().Table("portfolios").Column("version", "assets").Where("id = ?", id).
		Scan(ctx, &p.Version, &assets)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("read portfolio %s: %w", id, err)
	}
	return p, true, json.Unmarshal([]byte(assets), &p.Assets)
}
