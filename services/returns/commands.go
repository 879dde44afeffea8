package returns

import (
	"context"

	"stega/events"
	"stega/store"
)

// Rebuild throws the read views away and asks for what they grow from.
type Rebuild struct{}

// Topic is returns.rebuild.
func (Rebuild) Topic() string { return "returns.rebuild" }

// Subject is the service.
func (Rebuild) Subject() string { return "returns" }

func (s *Service) rebuild(_ context.Context, tx *store.Tx, _ Rebuild) error {
	for _, view := range []string{"series", "portfolios", "holdings"} {
		tx.Later(tx.NewRaw("DELETE FROM " + view))
	}
	return tx.Emit(events.ReplayRequested{Service: s.Name(), Topics: []string{
		events.PricesImported{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(), events.PortfolioDeleted{}.Topic(),
	}})
}
