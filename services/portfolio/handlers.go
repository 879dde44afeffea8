package portfolio

import (
	"context"

	"github.com/uptrace/bun"

	"stega/events"
	"stega/replay"
	"stega/store"
)

// owner returns the description of how portfolios are replayed.
func owner() replay.Owner {
	return replay.Owner{
		Service: "portfolio",
		Topics: []string{
			events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(), events.PortfolioDeleted{}.Topic(),
		},
		Count: func(ctx context.Context, tx *store.Tx) (int64, error) {
			n, err := tx.NewSelect().Table("portfolios").Count(ctx)
			return n, err
		},
		Keys: func(ctx context.Context, tx *store.Tx, after string, n int) (ids []string, err error) {
			err = tx.NewSelect().Table("portfolios").Column("id").Where("id > ?", after).OrderExpr("id").
				Limit(int64(n)).
				Scan(ctx, &ids)
			return ids, err
		},
		Emit: emit,
	}
}

// emit publishes the state of portfolios again, and a deletion for each that no longer exists.
func emit(ctx context.Context, tx *store.Tx, ids []string, mark events.Replay) (int, error) {
	var rows []row
	query := tx.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids))
	if err := query.Scan(ctx); err != nil {
		return 0, err
	}
	byID := make(map[string]*row, len(rows))
	for i := range rows {
		byID[rows[i].ID] = &rows[i]
	}
	for _, id := range ids {
		r := byID[id]
		if r == nil {
			if err := tx.Emit(events.PortfolioDeleted{Portfolio: events.Portfolio{ID: id}, Replay: &mark}); err != nil {
				return 0, err
			}
			continue
		}
		p, err := r.portfolio()
		if err != nil {
			return 0, err
		}
		if err := tx.Emit(events.PortfolioUpdated{Portfolio: p, Replay: &mark}); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}
