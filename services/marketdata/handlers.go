package marketdata

import (
	"context"
	"fmt"
	"slices"

	"stega/events"
	"stega/replay"
	"stega/store"
)

// owner returns the description of how prices are replayed.
func owner() replay.Owner {
	return replay.Owner{
		Service: "marketdata",
		Topics:  []string{events.PricesImported{}.Topic()},
		Count: func(ctx context.Context, tx *store.Tx) (n int64, err error) {
			err = tx.NewSelect().Table("prices").ColumnExpr("count(DISTINCT symbol)").Scan(ctx, &n)
			return n, err
		},
		Keys: func(ctx context.Context, tx *store.Tx, after string, n int) (symbols []string, err error) {
			err = tx.NewSelect().Table("prices").ColumnExpr("DISTINCT symbol").Where("symbol > ?", after).
				OrderExpr("symbol").
				Limit(int64(n)).Scan(ctx, &symbols)
			return symbols, err
		},
		Emit: emit,
	}
}

// replayBars bounds the bars that one unit of work replays. A unit replays one symbol at least, however long.
const replayBars = 50_000

// emit publishes all bars of symbols again, and an empty series for a symbol without any. No import runs meanwhile.
func emit(ctx context.Context, tx *store.Tx, symbols []string, mark events.Replay) (n int, err error) {
	if err := lockExclusive(ctx, tx, pricesLock); err != nil {
		return 0, err
	}
	for published := 0; n < len(symbols) && published < replayBars; n++ {
		bars, err := history(ctx, tx, symbols[n], nil, nil)
		if err != nil {
			return n, fmt.Errorf("read the prices of %s: %w", symbols[n], err)
		}
		if err := publishAll(tx, symbols[n], bars, mark); err != nil {
			return n, err
		}
		published += len(bars)
	}
	return n, nil
}

// publishAll publishes bars as a replay that replaces everything followers have of a symbol.
func publishAll(tx *store.Tx, symbol string, bars []Bar, mark events.Replay) error {
	if len(bars) == 0 {
		return tx.Emit(events.PricesImported{
			Symbol: symbol,
			Days:   events.Days{},
			Close:  events.Column{},
			Replay: &mark,
		})
	}
	left := len(bars)
	for chunk := range slices.Chunk(bars, maxEventDays) {
		e, part := imported(symbol, chunk), mark
		if left -= len(chunk); left > 0 {
			part.To = new(chunk[len(chunk)-1].Day)
		}
		e.Replay = &part
		if err := tx.Emit(e); err != nil {
			return err
		}
		mark.From = new(chunk[len(chunk)-1].Day.AddDays(1))
	}
	return nil
}
