package optimization

import (
	"context"

	"stega/fault"
	"stega/store"
)

// Run runs an optimization.
type Run struct {
	ID      string  `json:"id"`
	Request Request `json:"request"`
}

// Topic returns optimization.run.
func (Run) Topic() string { return "optimization.run" }

// Subject returns the optimization's id.
func (c Run) Subject() string { return c.ID }

// Recompute runs an optimization that follows its portfolio again. The service sends it when the inputs change.
type Recompute struct {
	ID string `json:"id"`
}

// Topic returns optimization.recompute.
func (Recompute) Topic() string { return "optimization.recompute" }

// Subject returns the optimization's id.
func (c Recompute) Subject() string { return c.ID }

// Follow lets an optimization follow its portfolio, or ends that.
type Follow struct {
	ID     string
	Follow bool
}

// Topic returns optimization.follow.
func (Follow) Topic() string { return "optimization.follow" }

// Subject returns the optimization's id.
func (c Follow) Subject() string { return c.ID }

// Delete deletes an optimization.
type Delete struct{ ID string }

// Topic returns optimization.delete.
func (Delete) Topic() string { return "optimization.delete" }

// Subject returns the optimization's id.
func (c Delete) Subject() string { return c.ID }

// Rebuild replaces the read views, entity by entity, with the state that their owners replay. Optimizations stay.
type Rebuild struct{}

// Topic returns optimization.rebuild.
func (Rebuild) Topic() string { return "optimization.rebuild" }

// Subject returns the service's name.
func (Rebuild) Subject() string { return "optimization" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}

// unfollow ends the following of portfolios that no longer exist.
func unfollow(_ context.Context, tx *store.Tx) error {
	tx.Queue(
		tx.NewRaw(
			`UPDATE optimizations SET follow = 0 WHERE follow = 1 AND portfolio_id NOT IN (SELECT id FROM portfolios)`),
	)
	return nil
}

// follow turns following on or off. Turning it on runs the optimization again, since its inputs may have changed.
func (s *Service) follow(ctx context.Context, tx *store.Tx, c Follow) error {
	r, err := find(ctx, tx, c.ID)
	if err != nil {
		return err
	}
	switch {
	case r == nil:
		return unknown(c.ID)
	case r.PortfolioID == "" || r.Objective == frontier:
		return fault.Conflict(
			"optimization_without_portfolio", "optimization %s has no weights of a portfolio to follow", c.ID,
		).
			WithHint("run an optimization with portfolio_id and any objective but frontier")
	case !c.Follow:
		tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 0, updated_at = ? WHERE id = ?", tx.Now().UnixMicro(),
			c.ID))
		return nil
	}
	if _, err := loadPortfolio(ctx, tx, r.PortfolioID); err != nil {
		return err
	}
	tx.Queue(tx.NewRaw("UPDATE optimizations SET follow = 1, updated_at = ? WHERE id = ?", tx.Now().UnixMicro(), c.ID))
	return s.enqueue(ctx, tx, c.ID)
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
