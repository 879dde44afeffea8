package returns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/govalues/decimal"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/services/internal/follower"
	"stega/store"
)

// pricesImported merges bars into the series of their symbol.
func (s *Service) pricesImported(ctx context.Context, tx *store.Tx, e events.PricesImported) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("bars_invalid", "the bars of %s make no sense: %s", e.Symbol, err)
	}
	points := pointsOf(e)
	lockShared(tx)
	locksOf(tx).addPrices(e.Symbol)
	years, err := yearsFor(ctx, tx, e)
	if err != nil {
		return err
	}
	if e.Replay != nil {
		return s.replace(ctx, tx, years, e)
	}
	changed, err := years.merge(points)
	if err != nil { // the stored years are damaged until the view is rebuilt
		return s.views.Skip(ctx, tx, bus.Permanent(fmt.Errorf("merge the prices of %s: %w", e.Symbol, err)))
	}
	if len(changed) == 0 {
		if changed, err = years.closeChanged(ctx, tx, e); err != nil || len(changed) == 0 {
			return err
		}
	}
	if err := years.save(ctx, tx, e.Symbol); err != nil {
		return err
	}
	if err := years.saveClose(ctx, tx, e); err != nil {
		return err
	}
	if err := years.publish(tx, e.Symbol, changed[0].day, changed[len(changed)-1].day); err != nil {
		return s.views.Skip(ctx, tx, err)
	}
	s.holdersChanged(tx, e.Symbol)
	return nil
}

// replace replaces everything stored of the days of a replay by its bars.
func (s *Service) replace(ctx context.Context, tx *store.Tx, years *years, e events.PricesImported) error {
	from, to := e.Replay.Span()
	years.close = decimal.NullDecimal{}
	changed, whole := years.replace(pointsOf(e), from, to)
	if err := years.save(ctx, tx, e.Symbol); err != nil {
		return err
	}
	if err := years.saveClose(ctx, tx, e); err != nil {
		return err
	}
	s.views.Replaced(tx, e.Replay, "marketdata", e.Symbol)
	var err error
	switch {
	case whole: // days were removed, or were damaged: the whole series is published, to be replaced
		err = years.publishAll(ctx, tx, e.Symbol, events.Replay{})
	case len(changed) > 0:
		err = years.publish(tx, e.Symbol, changed[0].day, changed[len(changed)-1].day)
	default:
		return nil
	}
	if errors.Is(err, errPacked) { // damage in another part of the replay, which is still to come
		err = nil
	}
	s.holdersChanged(tx, e.Symbol)
	return err
}

// closeChanged returns the last point of an event if its exact close differs from the stored one, whose floating-point
// value is the same.
func (y *years) closeChanged(ctx context.Context, tx *store.Tx, e events.PricesImported) ([]point, error) {
	_, last, _ := y.extent()
	n := len(e.Days) - 1
	if e.Days[n] != last {
		return nil, nil
	}
	stored, err := storedClose(ctx, tx, e.Symbol, last)
	if err != nil || stored.Valid && stored.Decimal.Equal(e.Close[n].Decimal) {
		return nil, err
	}
	return []point{newPoint(last, valueOf(e.Close, n))}, nil
}

// holdersChanged publishes, once in a unit of work, that the returns of each portfolio with a symbol may have changed.
func (s *Service) holdersChanged(tx *store.Tx, symbol string) {
	tx.Once("holders of "+symbol, func(ctx context.Context, tx *store.Tx) error {
		ids, err := holders(ctx, tx, symbol)
		for _, id := range ids {
			portfolioChanged(tx, id)
		}
		return err
	})
}

// yearsFor returns the years of the symbol of an event, as this unit of work has changed them. It reads the years of
// all events of the unit at once.
func yearsFor(ctx context.Context, tx *store.Tx, e events.PricesImported) (*years, error) {
	all, err := store.Shared(tx, "years", func() (map[string]*years, error) {
		from, to := spanOf(e)
		symbols := []string{e.Symbol}
		for _, other := range store.Expected[events.PricesImported](tx) {
			if len(other.Days) > 0 || other.Replay != nil { // its handler checks the rest of it
				first, last := spanOf(other)
				symbols, from, to = append(symbols, other.Symbol), min(from, first), max(to, last)
			}
		}
		return loadYears(ctx, tx, symbols, from, to)
	})
	if err != nil {
		return nil, err
	}
	if y := all[e.Symbol]; y != nil {
		return y, nil
	}
	from, to := spanOf(e)
	one, err := loadYears(ctx, tx, []string{e.Symbol}, from, to)
	return one[e.Symbol], err
}

// spanOf returns the days that an event may change. A replayed event may change all, since any stored day may be wrong.
func spanOf(e events.PricesImported) (from, to civil.Date) {
	if e.Replay != nil {
		return (&events.Replay{}).Span()
	}
	return e.Days[0], e.Days[len(e.Days)-1]
}

// maxEventDays bounds the days of one event.
const maxEventDays = 4096

// publish publishes the returns from one day to another, and that of the next day, which depends on the last price.
func (y *years) publish(tx *store.Tx, symbol string, from, to civil.Date) error {
	points, before, err := y.around(from, to)
	if err != nil {
		return bus.Permanent(fmt.Errorf("read the returns of %s: %w", symbol, err))
	}
	for chunk := range slices.Chunk(points, maxEventDays) {
		if err := tx.Emit(y.event(symbol, before, chunk)); err != nil {
			return err
		}
		before = &chunk[len(chunk)-1]
	}
	return nil
}

// event returns the event of some points; before is the point before the first, or nil.
func (y *years) event(symbol string, before *point, points []point) events.AssetUpdated {
	first, last, days := y.extent()
	e := events.AssetUpdated{
		Symbol: symbol, ChangedFrom: points[0].day, ChangedTo: points[len(points)-1].day,
		First: first, Last: last, Observations: days,
		Days: daysOf(points), Returns: make(events.Floats, len(points)),
	}
	if y.close.Valid {
		e.LastClose = &y.close.Decimal
	}
	for i, p := range points {
		e.Returns[i] = math.NaN()
		if before != nil {
			e.Returns[i] = returnBetween(*before, p)
		}
		before = &p
	}
	return e
}

// publishAll publishes all returns of a symbol, or an empty series, as a replay that replaces what followers have.
func (y *years) publishAll(ctx context.Context, tx *store.Tx, symbol string, mark events.Replay) error {
	first, last, days := y.extent()
	if days == 0 {
		return tx.Emit(events.AssetUpdated{
			Symbol:  symbol,
			Days:    events.Days{},
			Returns: events.Floats{},
			Replay:  &mark,
		})
	}
	points, _, err := y.around(first, last)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", symbol, err)
	}
	if err := y.loadClose(ctx, tx, symbol, points[len(points)-1]); err != nil {
		return err
	}
	var before *point
	for left := points; len(left) > 0; {
		chunk, part := left[:min(len(left), maxEventDays)], mark
		if left = left[len(chunk):]; len(left) > 0 {
			part.To = new(chunk[len(chunk)-1].day)
		}
		e := y.event(symbol, before, chunk)
		e.Replay = &part
		if err := tx.Emit(e); err != nil {
			return err
		}
		before = &chunk[len(chunk)-1]
		mark.From = new(before.day.AddDays(1))
	}
	return nil
}

// portfolioChanged publishes, once in a unit of work, that a portfolio's returns may have changed.
func portfolioChanged(tx *store.Tx, id string) {
	locks := locksOf(tx)
	locks.addPortfolio(id)
	tx.Once("portfolio "+id, func(ctx context.Context, tx *store.Tx) error {
		locks.lockPortfolios(tx)
		p, found, err := follower.Load(ctx, tx, id)
		if err != nil || !found {
			return err
		}
		missing, err := unpriced(ctx, tx, p.Assets)
		if err != nil {
			return err
		}
		return tx.Emit(events.PortfolioReturnsUpdated{PortfolioID: id, Version: p.Version, Missing: missing})
	})
}
