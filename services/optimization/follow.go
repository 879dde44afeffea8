package optimization

import (
	"context"
	"fmt"
	"time"

	"stega/store"
)

// An optimization that follows is in the queue once, however much moves: its row says since when. Whoever changes
// what it follows puts it there in the same unit of work, unless it is there already; the job takes it out in the
// unit that keeps its answer, unless something moved since it read its data.

// forgotten is after how long in the queue an optimization is put there again: its job must be lost, or dead.
const forgotten = time.Hour

// symbolsMoved puts those into the queue that follow portfolios with a symbol that this unit of work changed.
func (s *Service) symbolsMoved(ctx context.Context, tx *store.Tx) error {
	var ids []string
	err := tx.NewRaw(`SELECT DISTINCT o.id FROM optimizations o JOIN holdings h ON h.portfolio_id = o.portfolio_id JOIN symbols s ON s.symbol = h.symbol
		WHERE o.follow = 1 AND s.changed_at = ? ORDER BY o.id`, tx.Now().UnixMicro()).Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("look for those that follow: %w", err)
	}
	return s.queueAll(ctx, tx, ids)
}

// portfolioMoved puts those into the queue that follow a portfolio.
func (s *Service) portfolioMoved(ctx context.Context, tx *store.Tx, id string) error {
	var ids []string
	err := tx.NewRaw("SELECT id FROM optimizations WHERE follow = 1 AND portfolio_id = ? ORDER BY id", id).Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("look for those that follow portfolio %s: %w", id, err)
	}
	return s.queueAll(ctx, tx, ids)
}

func (s *Service) queueAll(ctx context.Context, tx *store.Tx, ids []string) error {
	for _, id := range ids {
		if err := s.queue(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// queue puts one that follows into the queue, and notes that something moved.
func (s *Service) queue(ctx context.Context, tx *store.Tx, id string) error {
	now := tx.Now().UnixMicro()
	result, err := tx.ExecContext(ctx, "UPDATE optimizations SET changed_at = ?, queued_at = ? WHERE id = ? AND queued_at < ?",
		now, now, id, tx.Now().Add(-forgotten).UnixMicro())
	if err != nil {
		return fmt.Errorf("put optimization %s into the queue: %w", id, err)
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

// rest waits until what an optimization follows has not moved for a while, though not for longer than is allowed.
func (s *Service) rest(ctx context.Context, id string) error {
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
