package portfolio

import (
	"context"
	"fmt"
	"strings"

	"stega/events"
	"stega/store"
)

// replayPage is how many portfolios are told of at a time.
const replayPage = 500

// replayRequested tells the state of all portfolios again, when a service that rebuilds its views wants portfolios.
func (s *Service) replayRequested(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
	wanted := false
	for _, topic := range e.Topics {
		wanted = wanted || strings.HasPrefix(topic, "portfolio.")
	}
	for after := ""; wanted; {
		page, err := list(ctx, tx, replayPage, after, "")
		if err != nil {
			return fmt.Errorf("list portfolios: %w", err)
		}
		for _, p := range page {
			if err := tx.Emit(events.PortfolioUpdated{Portfolio: p}); err != nil {
				return err
			}
			after = p.ID
		}
		if err := tx.Flush(ctx); err != nil {
			return err
		}
		wanted = len(page) == replayPage
	}
	return nil
}
