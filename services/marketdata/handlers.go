package marketdata

import (
	"context"
	"fmt"
	"slices"

	"stega/events"
	"stega/store"
)

// replayRequested tells all prices again, when a service that rebuilds its views wants them.
func (s *Service) replayRequested(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
	if !slices.Contains(e.Topics, events.PricesImported{}.Topic()) {
		return nil
	}
	if err := takeTurns(ctx, tx, turns); err != nil {
		return err
	}
	symbols, err := known(ctx, tx)
	if err != nil {
		return err
	}
	pending := 0
	for _, symbol := range symbols {
		bars, err := history(ctx, tx, symbol, nil, nil)
		if err != nil {
			return fmt.Errorf("read the prices of %s: %w", symbol, err)
		}
		if err := announce(tx, symbol, bars); err != nil {
			return err
		}
		if pending += len(bars); pending > flushBars {
			pending = 0
			if err := tx.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
