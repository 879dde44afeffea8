package returns

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun/dialect"

	"stega/civil"
	"stega/events"
	"stega/store"
)

// replayRequested tells the returns of all symbols again, when a service that rebuilds its views wants them.
func (s *Service) replayRequested(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
	if !slices.Contains(e.Topics, events.AssetUpdated{}.Topic()) {
		return nil
	}
	if err := alone(ctx, tx); err != nil {
		return err
	}
	var symbols []string
	if err := tx.NewSelect().Table("series").ColumnExpr("DISTINCT symbol").OrderExpr("symbol").Scan(ctx, &symbols); err != nil {
		return fmt.Errorf("list what there are returns of: %w", err)
	}
	pending := 0
	for _, symbol := range symbols {
		all, err := loadYears(ctx, tx, []string{symbol}, civil.Of(1, 1, 1), civil.Of(9999, 12, 31))
		if err != nil {
			return err
		}
		years := all[symbol]
		first, last, days := years.extent()
		if err := years.announce(tx, symbol, first, last); err != nil {
			return err
		}
		if pending += days; pending > flushDays {
			pending = 0
			if err := tx.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushDays is how many days a unit of work tells before it writes them to the outbox.
const flushDays = 100_000

// turns is the advisory lock of those that tell returns.
const turns = 0x57e6b

// alone holds up all merges until the unit of work ends, for a replay could tell an old return after its correction. SQLite has one writer anyway.
func alone(ctx context.Context, tx *store.Tx) error {
	if tx.Dialect().Name() != dialect.PG {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", turns)
	return err
}

// besides holds up replays until the unit of work ends, and no other merges.
func besides(tx *store.Tx) {
	if tx.Dialect().Name() == dialect.PG {
		tx.Later(tx.NewRaw("SELECT pg_advisory_xact_lock_shared(?)", turns))
	}
}
