package optimization

import (
	"context"

	"stega/fault"
	"stega/store"
)

// Run makes an optimization.
type Run struct {
	ID      string  `json:"id"`
	Request Request `json:"request"`
}

// Topic is optimization.run.
func (Run) Topic() string { return "optimization.run" }

// Subject is the optimization's id.
func (c Run) Subject() string { return c.ID }

// Recompute makes an optimization that follows its portfolio anew. Nobody submits it: it is sent when something moved.
type Recompute struct {
	ID string `json:"id"`
}

// Topic is optimization.recompute.
func (Recompute) Topic() string { return "optimization.recompute" }

// Subject is the optimization's id.
func (c Recompute) Subject() string { return c.ID }

// Follow has an optimization follow its portfolio, or not any more.
type Follow struct {
	ID     string
	Follow bool
}

// Topic is optimization.follow.
func (Follow) Topic() string { return "optimization.follow" }

// Subject is the optimization's id.
func (c Follow) Subject() string { return c.ID }

// Delete removes an optimization.
type Delete struct{ ID string }

// Topic is optimization.delete.
func (Delete) Topic() string { return "optimization.delete" }

// Subject is the optimization's id.
func (c Delete) Subject() string { return c.ID }

// Rebuild replaces the read views, entity by entity, by what their owners replay. Optimizations stay.
type Rebuild struct{}

// Topic is optimization.rebuild.
func (Rebuild) Topic() string { return "optimization.rebuild" }

// Subject is the service.
func (Rebuild) Subject() string { return "optimization" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}

// unfollow ends the following of portfolios that are gone.
func unfollow(_ context.Context, tx *store.Tx) error {
	tx.Queue(tx.NewRaw(`UPDATE optimizations SET follow = 0 WHERE follow = 1 AND portfolio_id NOT IN (SELECT id FROM portfolios)`))
	return nil
}

// follow turns following on and off. What moved while it was off is made up for.
func (s *Service) follow(ctx context.Context, tx *store.Tx, c Follow) error {
	r, err := find(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	switch {
	case r == nil:
		return unknown(c.ID)
	case r.PortfolioID == "" || r.Objective == frontier:
		return fault.Conflict("optimization_without_portfolio", "optimization %s has no weights of a portfolio, and so nothing to follow", c.ID).
			WithHint("make one with portfolio_id, of any objective but frontier")
	case !c.Follow:
		tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 0, updated_at = ? WHERE id = ?", tx.Now().UnixMicro(), c.ID))
		return nil
	}
	if _, err := loadPortfolio(ctx, tx, r.PortfolioID); err != nil {
		return err
	}
	tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 1, updated_at = ? WHERE id = ?", tx.Now().UnixMicro(), c.ID))
	return s.queue(ctx, tx, c.ID)
}

func (s *Service) delete(ctx context.Context, tx *store.Tx, c Delete) error {
	r, err := find(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	if r == nil {
		return unknown(c.ID)
	}
	tx.Queue(tx.NewDelete().Table("optimizations").Where("id = ?", c.ID))
	return nil
}
