package portfolio

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/govalues/decimal"

	"stega/events"
	"stega/fault"
	"stega/store"
	"stega/text"
)

// Create creates a portfolio.
type Create struct {
	ID     string
	Name   string
	Assets []events.Asset
}

// Topic returns portfolio.create.
func (Create) Topic() string { return "portfolio.create" }

// Subject returns the portfolio's id.
func (c Create) Subject() string { return c.ID }

// Update gives a portfolio a new name and new assets.
type Update struct {
	ID      string
	Version int64 // the version that the portfolio must have; 0 for any
	Name    string
	Assets  []events.Asset
}

// Topic returns portfolio.update.
func (Update) Topic() string { return "portfolio.update" }

// Subject returns the portfolio's id.
func (c Update) Subject() string { return c.ID }

// Delete removes a portfolio.
type Delete struct {
	ID      string
	Version int64 // the version that the portfolio must have; 0 for any
}

// Topic returns portfolio.delete.
func (Delete) Topic() string { return "portfolio.delete" }

// Subject returns the portfolio's id.
func (c Delete) Subject() string { return c.ID }

// maxAssets bounds the assets of a portfolio.
const maxAssets = 1000

// check validates a portfolio without the database and returns one fault with every error. It returns the name
// without surrounding spaces, and normalises the symbols in place.
func check(name string, assets []events.Asset) (string, error) {
	f := fault.Invalid("portfolio_invalid", "the portfolio is not valid")
	wrong := func(pointer, format string, args ...any) {
		_ = f.With(fault.Item{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	name, err := text.CheckName(strings.TrimSpace(name), events.MaxName)
	if err != nil {
		wrong("/name", "%s", err)
	}
	switch {
	case len(assets) == 0:
		wrong("/assets", "is missing: a portfolio needs at least one asset")
	case len(assets) > maxAssets:
		wrong("/assets", "has more than %d assets", maxAssets)
	default:
		checkAssets(assets, wrong)
	}
	if len(f.Errors) > 0 {
		first := f.Errors[0]
		f.Detail = fmt.Sprintf("%s %s", strings.TrimPrefix(first.Pointer, "/"), first.Detail)
		return "", f
	}
	return name, nil
}

// checkAssets reports each invalid symbol and weight through wrong, and weights that do not sum to exactly 1.
func checkAssets(assets []events.Asset, wrong func(pointer, format string, args ...any)) {
	sum, summed := decimal.Zero, true
	seen := map[string]int{}
	for i, a := range assets {
		at := fmt.Sprintf("/assets/%d", i)
		symbol, err := events.Symbol(a.Symbol)
		a.Symbol, assets[i].Symbol = symbol, symbol
		if err != nil {
			wrong(at+"/symbol", "%s", err)
		} else if before, ok := seen[a.Symbol]; ok {
			wrong(at+"/symbol", "%s is repeated: it is at /assets/%d already", a.Symbol, before)
		}
		seen[a.Symbol] = i
		if a.Weight.IsZero() {
			wrong(at+"/weight", "is missing or zero: remove the asset, or give it a weight")
		}
		if a.Weight.CmpAbs(decimal.Hundred) > 0 {
			wrong(at+"/weight", "%s is not between -100 and 100: weights are ratios, 0.6 is 60 %%", a.Weight)
			summed = false
		}
		if total, err := sum.AddExact(a.Weight,
			min(decimal.MaxScale-3, max(sum.Scale(), a.Weight.Scale()))); err == nil {
			sum = total
		} else {
			wrong(at+"/weight", "%s has more digits than can be added exactly", a.Weight)
			summed = false
		}
	}
	if summed && sum.Cmp(decimal.One) != 0 {
		wrong("/assets", "have weights that sum to %s and not to 1", sum.Trim(0))
	}
}

func (s *Service) create(ctx context.Context, tx *store.Tx, c Create) error {
	p := events.Portfolio{
		ID:        c.ID,
		Name:      c.Name,
		Version:   1,
		Assets:    c.Assets,
		CreatedAt: tx.Now(),
		UpdatedAt: tx.Now(),
	}
	if err := insert(ctx, tx, p); err != nil {
		return err
	}
	return tx.Emit(events.PortfolioCreated{Portfolio: p})
}

func (s *Service) update(ctx context.Context, tx *store.Tx, c Update) error {
	p, err := current(ctx, tx, c.ID, c.Version)
	if err != nil {
		return err
	}
	p.Name, p.Assets, p.UpdatedAt = c.Name, c.Assets, tx.Now()
	p.Version++
	if err := change(ctx, tx, p); err != nil {
		return err
	}
	return tx.Emit(events.PortfolioUpdated{Portfolio: p})
}

func (s *Service) delete(ctx context.Context, tx *store.Tx, c Delete) error {
	p, err := current(ctx, tx, c.ID, c.Version)
	if err != nil {
		return err
	}
	p.UpdatedAt = tx.Now()
	p.Version++
	remove(tx, p.ID)
	return tx.Emit(events.PortfolioDeleted{Portfolio: p})
}

// current returns a portfolio and locks it for the unit of work. It fails unless the portfolio is at the version that
// the client expects.
func current(ctx context.Context, tx *store.Tx, id string, version int64) (events.Portfolio, error) {
	p, err := lock(ctx, tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return p, unknown(id)
	}
	if err != nil {
		return p, fmt.Errorf("load portfolio %s: %w", id, err)
	}
	if version != 0 && p.Version != version {
		return p, fault.New(
			fault.KindPrecondition, "version_mismatch", "portfolio %s is at version %d and not at %d", id, p.Version,
			version,
		).
			WithHint("read the portfolio again, and decide whether the change still makes sense")
	}
	return p, nil
}

// unknown returns the fault of a portfolio that does not exist.
func unknown(id string) error {
	return fault.NotFound("portfolio_unknown", "there is no portfolio %.64s", id).
		WithHint("list the portfolios with: GET /v1/portfolios")
}
