package optimization

import (
	"context"
	"errors"
	"fmt"

	"github.com/govalues/decimal"
	"github.com/uptrace/bun"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/series"
	"stega/store"
)

// assetUpdated merges returns into the series of their symbol.
func (s *Service) assetUpdated(ctx context.Context, tx *store.Tx, e events.AssetUpdated) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("returns_invalid", "the returns of %s make no sense: %s", e.Symbol, err)
	}
	points := series.Of(e.Days, e.Returns)
	if e.Replay != nil {
		return s.replace(ctx, tx, e, points)
	}
	if e.LastClose != nil {
		saveClose(tx, e.Symbol, e.Last, *e.LastClose)
	}
	if len(points) == 0 {
		return nil
	}
	years, err := yearsFor(ctx, tx, e)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", e.Symbol, err)
	}
	rows, err := mergeSeries(years, e.Symbol, points)
	if errors.Is(err, series.ErrPacked) { // the stored years are damaged until the view is rebuilt
		err = bus.Permanent(err)
	}
	if err != nil {
		err = fmt.Errorf("merge the returns of %s: %w", e.Symbol, err)
		if bus.IsPermanent(err) {
			err = s.views.Skip(ctx, tx, err)
		}
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	saveSeries(tx, e.Symbol, rows)
	locksOf(tx).addReturns(e.Symbol)
	tx.Once("followers", s.symbolsChanged)
	return nil
}

// replace replaces everything stored of the days of a replay by its returns.
func (s *Service) replace(ctx context.Context, tx *store.Tx, e events.AssetUpdated, points []series.Point) error {
	years, err := yearsFor(ctx, tx, e)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", e.Symbol, err)
	}
	from, to := e.Replay.Span()
	rows, removed := replaceSeries(years, e.Symbol, points, from, to)
	if len(removed) > 0 {
		if err := tx.Flush(ctx); err != nil { // earlier writes must not follow the deletion
			return err
		}
		tx.Queue(tx.NewRaw("DELETE FROM series WHERE symbol = ? AND year IN (?)", e.Symbol, bun.List(removed)))
	}
	if len(rows)+len(removed) > 0 {
		saveSeries(tx, e.Symbol, rows)
		tx.Once("followers", s.symbolsChanged)
	}
	s.views.Replaced(tx, e.Replay, "returns", e.Symbol)
	if !e.Replay.Last() || e.LastClose == nil && len(e.Days) > 0 { // a close that is not carried stays
		return nil
	}
	if err := tx.Flush(ctx); err != nil { // earlier writes must not follow the deletion
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM closes WHERE symbol = ?", e.Symbol))
	if e.LastClose != nil {
		saveClose(tx, e.Symbol, e.Last, *e.LastClose)
	}
	return nil
}

var upsertClose = store.NewUpsert("closes", 1, "symbol", "day", "close").
	Setting("day = excluded.day, close = excluded.close WHERE excluded.day >= closes.day")

// saveClose queues the write of a close, unless a later one is stored.
func saveClose(tx *store.Tx, symbol string, day civil.Date, price decimal.Decimal) {
	tx.Put(upsertClose, symbol, int32(day), price.String())
}
