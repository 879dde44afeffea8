package returns

import (
	"context"

	"github.com/uptrace/bun/dialect"

	"stega/events"
	"stega/replay"
	"stega/store"
)

// owner returns the description of how returns are replayed.
func (s *Service) owner() replay.Owner {
	return replay.Owner{
		Service: s.Name(),
		Topics:  []string{events.AssetUpdated{}.Topic()},
		Count: func(ctx context.Context, tx *store.Tx) (n int64, err error) {
			err = tx.NewSelect().Table("series").ColumnExpr("count(DISTINCT symbol)").Scan(ctx, &n)
			return n, err
		},
		Keys: func(ctx context.Context, tx *store.Tx, after string, n int) (symbols []string, err error) {
			err = tx.NewSelect().Table("series").ColumnExpr("DISTINCT symbol").Where("symbol > ?", after).
				OrderExpr("symbol").
				Limit(int64(n)).Scan(ctx, &symbols)
			return symbols, err
		},
		Emit: emit,
	}
}

// replayDays bounds the days that one unit of work replays. A unit replays one symbol at least, however long.
const replayDays = 50_000

// emit publishes all returns of symbols again, and an empty series for a symbol without any. No merge runs meanwhile.
func emit(ctx context.Context, tx *store.Tx, symbols []string, mark events.Replay) (n int, err error) {
	if err := lockExclusive(ctx, tx); err != nil {
		return 0, err
	}
	from, to := mark.Span()
	for published := 0; n < len(symbols) && published < replayDays; n++ {
		all, err := loadYears(ctx, tx, symbols[n:n+1], from, to)
		if err != nil {
			return n, err
		}
		years := all[symbols[n]]
		if err := years.publishAll(ctx, tx, symbols[n], mark); err != nil {
			return n, err
		}
		_, _, days := years.extent()
		published += days
	}
	return n, nil
}

// replayLock is the advisory lock of PostgreSQL that merges share and a replay takes alone.
const replayLock = 0x57e6b

// lockExclusive blocks all merges until the unit of work ends: otherwise a replay could publish an old return after
// its correction. SQLite has one writer and needs no lock.
func lockExclusive(ctx context.Context, tx *store.Tx) error {
	if tx.Dialect().Name() != dialect.PG {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", replayLock)
	return err
}

// lockShared blocks replays, and no merges, until the unit of work ends.
func lockShared(tx *store.Tx) {
	if tx.Dialect().Name() == dialect.PG {
		tx.Queue(tx.NewRaw("SELECT pg_advisory_xact_lock_shared(?)", replayLock))
	}
}
