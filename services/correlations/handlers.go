package correlations

import (
	"context"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// assetUpdated merges returns into the series of their symbol, together with those of all messages of the unit of work.
func (s *Service) assetUpdated(_ context.Context, tx *store.Tx, e events.AssetUpdated) error {
	if err := e.Check(); err != nil {
		return fault.Invalid("returns_invalid", "the returns of %s make no sense: %s", e.Symbol, err)
	}
	store.Collect(tx, "merge returns", e, func(ctx context.Context, tx *store.Tx, all []events.AssetUpdated) error {
		b := batch{skip: s.views.Skip}
		for _, e := range all {
			b.add(e)
		}
		changed, err := b.merge(ctx, tx)
		if err != nil || len(changed) == 0 {
			return err
		}
		return publish(ctx, tx, changed)
	})
	s.views.Replaced(tx, e.Replay, "returns", e.Symbol)
	return nil
}

// publish publishes the symbols that changed, with the number of all and the last day of any.
func publish(ctx context.Context, tx *store.Tx, changed []string) error {
	tx.Lock(nil, []string{"symbols"}) // the last to publish counts the symbols that others added
	e := events.CorrelationsUpdated{Changed: changed}
	if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(max(last_day), 0) FROM symbols").
		Scan(&e.Symbols, &e.Last); err != nil {
		return err
	}
	return tx.Emit(e)
}
