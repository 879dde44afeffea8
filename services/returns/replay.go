package returns

import (
	"context"

	"github.com/uptrace/bun/dialect"

	"stega/events"
	"stega/replay"
	"stega/store"
)

// owner describes how returns are replayed.
func (s *Service) owner() replay.Owner {
	return replay.Owner{
		Service: s.Name(),
		Topics:  []string{events.AssetUpdated{}.Topic()},
		Count: func(ctx context.Context, tx *store.Tx) (n int64, err error) {
			err = tx.NewSelect().Table("series").ColumnExpr("count(DISTINCT symbol)").Scan(ctx, &n)
			return n, err
		},
		Keys: func(ctx context.Context, tx *store.Tx, after string, n int) (symbols []string, err error) {
			err = tx.NewSelect().Table("series").ColumnExpr("DISTINCT symbol").Where("symbol > ?", after).OrderExpr("symbol").Limit(int64(n)).Scan(ctx, &symbols)
			return symbols, err
		},
		Emit: emit,
	}
}

// replayDays is how many days a unit of work replays, or those of one symbol.
const replayDays = 50_000

// emit publishes all returns of symbols again; of one without any, that there are none. No merge runs meanwhile.
func emit(ctx context.Context, tx *store.Tx, symbols []string, mark events.Replay) (n int, err error) {
	if err := alone(ctx, tx); err != nil {
		return 0, err
	}
	from, to := mark.Span()
	for told := 0; n < len(symbols) && told < replayDays; n++ {
		all, err := loadYears(ctx, tx, symbols[n:n+1], from, to)
		if err != nil {
			return n, err
		}
		years := all[symbols[n]]
		if err := years.again(tx, symbols[n], mark); err != nil {
			return n, err
		}
		_, _, days := years.extent()
		told += days
	}
	return n, nil
}

// turns is the advisory lock of those that tell returns.
const turns = 0x57e6b

// alone holds up all merges until the unit of work ends, for a replay could tell an old return after its correction.
// SQLite has one writer anyway.
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
		tx.Queue(tx.NewRaw("SELECT pg_advisory_xact_lock_shared(?)", turns))
	}
}
