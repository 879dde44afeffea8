package optimization

import (
	"context"
	"fmt"
	"time"

	"stega/store"
)

// An optimization that follows is in the queue at most once: its row has the time since when. A unit of work that
// changes its inputs enqueues it, unless it is in the queue. The job removes it in the unit of work that stores the
// result, unless the inputs changed after it had read them.

// queueExpiry is the time in the queue after which an optimization is enqueued again, since its job must be lost or
// dead.
const queueExpiry = time.Hour

// symbolsChanged enqueues the optimizations that follow a portfolio with a symbol that this unit of work changed.
func (s *Service) symbolsChanged(ctx context.Context, tx *store.Tx) error {
	var ids []string
	err := tx.NewRaw(`SELECT DISTINCT o.id FROM optimizations o
		JOIN holdings h ON h.portfolio_id = o.portfolio_id JOIN symbols s ON s.symbol = h.symbol
		WHERE o.follow = 1 AND s.changed_at = ? ORDER BY o.id`, tx.Now().UnixMicro()).Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("find optimizations that follow: %w", err)
	}
	return s.enqueueAll(ctx, tx, ids)
}

// portfolioChanged enqueues the optimizations that follow a portfolio.
func (s *Service) portfolioChanged(ctx context.Context, tx *store.Tx, id string) error {
	var ids []string
	err := tx.NewRaw("SELECT id FROM optimizations WHERE follow = 1 AND portfolio_id = ? ORDER BY id", id).
		Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("find optimizations that follow portfolio %s: %w", id, err)
	}
	return s.enqueueAll(ctx, tx, ids)
}

func (s *Service) enqueueAll(ctx context.Context, tx *store.Tx, ids []string) error {
	for _, id := range ids {
		if err := s.enqueue(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// enqueue enqueues an optimization that follows, and stores the time of the change.
func (s *Service) enqueue(ctx context.Context, tx *store.Tx, id string) error {
	now := tx.Now().UnixMicro()
	result, err := tx.ExecContext(
		ctx, "UPDATE optimizations SET changed_at = ?, queued_at = ? WHERE id = ? AND queued_at < ?", now, now, id,
		tx.Now().Add(-queueExpiry).UnixMicro(),
	)
	if err != nil {
		return fmt.Errorf("enqueue optimization %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		if err != nil {
			return err
		}
		return tx.Enqueue(s.Name(), Recompute{ID: id})
	}
	tx.Queue(tx.NewRaw("UPDATE optimizations SET changed_at = ? WHERE id = ?", now, id))
	return nil
}

// waitUntilQuiet blocks until the inputs of an optimization have not changed for a while, or until the longest delay is
// over.
func (s *Service) waitUntilQuiet(ctx context.Context, id string) error {
	for {
		r, err := find(ctx, s.db.Read(), id)
		if err != nil || r == nil {
			return err
		}
		quiet := time.UnixMicro(r.ChangedAt).Add(s.options.Quiet)
		if last := time.UnixMicro(r.QueuedAt).Add(s.options.Longest); last.Before(quiet) {
			quiet = last
		}
		wait := time.Until(quiet)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(min(wait, s.options.Quiet))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
