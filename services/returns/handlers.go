package returns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// pricesImported merges bars into the series of their symbol.
func (s *Service) pricesImported(ctx context.Context, tx *store.Tx, e events.PricesImported) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("bars_invalid", "the bars of %s make no sense: %s", e.Symbol, err)
	}
	fresh := pointsOf(e)
	besides(tx)
	apartOf(tx).priced(e.Symbol)
	years, err := yearsOf(ctx, tx, e)
	if err != nil {
		return err
	}
	if e.Replay != nil {
		return s.replace(ctx, tx, years, e)
	}
	changed, err := years.merge(fresh)
	if err != nil { // what is kept is damaged, and stays so until somebody rebuilds it
		return s.views.Skip(ctx, tx, bus.Permanent(fmt.Errorf("merge the prices of %s: %w", e.Symbol, err)))
	}
	if len(changed) == 0 {
		return nil
	}
	if err := years.save(ctx, tx, e.Symbol); err != nil {
		return err
	}
	if err := years.announce(tx, e.Symbol, changed[0].day, changed[len(changed)-1].day); err != nil {
		return s.views.Skip(ctx, tx, err)
	}
	s.holdersChanged(tx, e.Symbol)
	return nil
}

// replace puts the bars of a replay in the place of what there is of their days, whatever that is.
func (s *Service) replace(ctx context.Context, tx *store.Tx, years *years, e events.PricesImported) error {
	from, to := e.Replay.Span()
	changed, whole := years.replace(pointsOf(e), from, to)
	if err := years.save(ctx, tx, e.Symbol); err != nil {
		return err
	}
	s.views.Replaced(tx, e.Replay, "marketdata", e.Symbol)
	var err error
	switch {
	case whole: // days are gone, or were never readable: all of the series is published, to be replaced
		err = years.again(tx, e.Symbol, events.Replay{})
	case len(changed) > 0:
		err = years.announce(tx, e.Symbol, changed[0].day, changed[len(changed)-1].day)
	default:
		return nil
	}
	if errors.Is(err, errPacked) { // of another part of the replay, which is still to come
		err = nil
	}
	s.holdersChanged(tx, e.Symbol)
	return err
}

// holdersChanged announces, once in a unit of work, that the returns of the portfolios with a symbol may read
// differently.
func (s *Service) holdersChanged(tx *store.Tx, symbol string) {
	tx.Once("holders of "+symbol, func(ctx context.Context, tx *store.Tx) error {
		ids, err := holders(ctx, tx, symbol)
		for _, id := range ids {
			portfolioChanged(tx, id)
		}
		return err
	})
}

// yearsOf are the years of the symbol of an event, as this unit of work has them. What all its events need is read at
// once.
func yearsOf(ctx context.Context, tx *store.Tx, e events.PricesImported) (*years, error) {
	all, err := store.Shared(tx, "years", func() (map[string]*years, error) {
		from, to := spanOf(e)
		symbols := []string{e.Symbol}
		for _, other := range store.Expected[events.PricesImported](tx) {
			if len(other.Days) > 0 || other.Replay != nil { // whether it makes sense is seen when its turn comes
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
	alone, err := loadYears(ctx, tx, []string{e.Symbol}, from, to)
	return alone[e.Symbol], err
}

// spanOf returns the days that an event may change; all of them when it is replayed, since then what there is may be
// wrong in any way.
func spanOf(e events.PricesImported) (from, to civil.Date) {
	if e.Replay != nil {
		return (&events.Replay{}).Span()
	}
	return e.Days[0], e.Days[len(e.Days)-1]
}

// announced is how many days one event tells at most.
const announced = 4096

// announce tells the returns from one day to another, and that of the day after, which is made of the last of them too.
func (y *years) announce(tx *store.Tx, symbol string, from, to civil.Date) error {
	points, before, err := y.around(from, to)
	if err != nil {
		return bus.Permanent(fmt.Errorf("read the returns of %s: %w", symbol, err))
	}
	for chunk := range slices.Chunk(points, announced) {
		if err := tx.Emit(y.updated(symbol, before, chunk)); err != nil {
			return err
		}
		before = &chunk[len(chunk)-1]
	}
	return nil
}

// updated makes the event of some days, the first of which follows another one or none.
func (y *years) updated(symbol string, before *point, points []point) events.AssetUpdated {
	first, last, days := y.extent()
	e := events.AssetUpdated{
		Symbol: symbol, ChangedFrom: points[0].day, ChangedTo: points[len(points)-1].day, First: first, Last: last, Observations: days,
		Days: daysOf(points), Returns: make(events.Floats, len(points)),
	}
	for i, p := range points {
		e.Returns[i] = math.NaN()
		if before != nil {
			e.Returns[i] = between(*before, p)
		}
		before = &p
	}
	return e
}

// again publishes all returns of a symbol, or that there are none, to be put in the place of what others have of it.
func (y *years) again(tx *store.Tx, symbol string, mark events.Replay) error {
	first, last, days := y.extent()
	if days == 0 {
		return tx.Emit(events.AssetUpdated{Symbol: symbol, Days: events.Days{}, Returns: events.Floats{}, Replay: &mark})
	}
	points, _, err := y.around(first, last)
	if err != nil {
		return fmt.Errorf("read the returns of %s: %w", symbol, err)
	}
	var before *point
	for left := points; len(left) > 0; {
		chunk, part := left[:min(len(left), announced)], mark
		if left = left[len(chunk):]; len(left) > 0 {
			part.To = new(chunk[len(chunk)-1].day)
		}
		e := y.updated(symbol, before, chunk)
		e.Replay = &part
		if err := tx.Emit(e); err != nil {
			return err
		}
		before = &chunk[len(chunk)-1]
		mark.From = new(before.day.AddDays(1))
	}
	return nil
}

// portfolioChanged announces, once in a unit of work, that a portfolio's returns may read differently.
func portfolioChanged(tx *store.Tx, id string) {
	all := apartOf(tx)
	all.announces(id)
	tx.Once("portfolio "+id, func(ctx context.Context, tx *store.Tx) error {
		all.lockPortfolios(tx)
		p, found, err := loadPortfolio(ctx, tx, id)
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

func (s *Service) portfolioCreated(ctx context.Context, tx *store.Tx, e events.PortfolioCreated) error {
	return follow(ctx, tx, e.Portfolio)
}

func (s *Service) portfolioUpdated(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	if own, err := s.views.Running(ctx, tx, e.Replay); err != nil {
		return err
	} else if own {
		return s.replacePortfolio(ctx, tx, e)
	}
	return follow(ctx, tx, e.Portfolio)
}

// replacePortfolio puts a portfolio in the place of what there is of it, whatever that is.
func (s *Service) replacePortfolio(ctx context.Context, tx *store.Tx, e events.PortfolioUpdated) error {
	assets, err := json.Marshal(e.Assets)
	if err != nil {
		return err
	}
	var kept []int
	err = tx.NewRaw("SELECT 1 FROM portfolios WHERE id = ? AND version = ? AND assets = ?", e.ID, e.Version, string(assets)).Scan(ctx, &kept)
	if err != nil {
		return fmt.Errorf("read portfolio %s: %w", e.ID, err)
	}
	s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
	if len(kept) > 0 {
		tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
		hold(tx, e.Portfolio)
		return nil
	}
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
	return follow(ctx, tx, e.Portfolio)
}

// hold notes which symbols a portfolio has.
func hold(tx *store.Tx, p events.Portfolio) {
	holdings := make([]holding, len(p.Assets))
	for i, a := range p.Assets {
		holdings[i] = holding{Symbol: a.Symbol, PortfolioID: p.ID}
		apartOf(tx).held(a.Symbol)
	}
	if len(holdings) > 0 {
		tx.Queue(tx.NewInsert().Model(&holdings).On("CONFLICT DO NOTHING"))
	}
}

// follow keeps a portfolio as it is now, unless something newer of it is known.
func follow(ctx context.Context, tx *store.Tx, p events.Portfolio) error {
	assets, err := json.Marshal(p.Assets)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO portfolios (id, version, assets) SELECT ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM deleted_portfolios WHERE id = ? AND version > ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, assets = excluded.assets WHERE excluded.version > portfolios.version`,
		p.ID, p.Version, string(assets), p.ID, p.Version)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", p.ID))
	hold(tx, p)
	// Once everything is known that moves portfolios in this unit, they are announced.
	tx.Once("portfolio "+p.ID+" moved", func(_ context.Context, tx *store.Tx) error {
		portfolioChanged(tx, p.ID)
		return nil
	})
	return nil
}

func (s *Service) portfolioDeleted(ctx context.Context, tx *store.Tx, e events.PortfolioDeleted) error {
	if e.Replay != nil { // its owner does not have it
		own, err := s.views.Running(ctx, tx, e.Replay)
		if own {
			tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
			tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ?", e.ID))
			s.views.Replaced(tx, e.Replay, "portfolio", e.ID)
		}
		return err
	}
	tx.Queue(tx.NewRaw("DELETE FROM holdings WHERE portfolio_id = ?", e.ID))
	tx.Queue(tx.NewRaw("DELETE FROM portfolios WHERE id = ? AND version < ?", e.ID, e.Version))
	tx.Queue(tx.NewRaw(`INSERT INTO deleted_portfolios (id, version) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE excluded.version > deleted_portfolios.version`, e.ID, e.Version))
	return nil
}
