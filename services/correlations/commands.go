package correlations

import (
	"context"

	"stega/events"
	"stega/store"
)

// Rebuild throws the read views away and asks for what they grow from.
type Rebuild struct{}

// Topic is correlations.rebuild.
func (Rebuild) Topic() string { return "correlations.rebuild" }

// Subject is the service.
func (Rebuild) Subject() string { return "correlations" }

func (s *Service) rebuild(_ context.Context, tx *store.Tx, _ Rebuild) error {
	for _, view := range []string{"symbols", "series", "portfolios"} {
		tx.Later(tx.NewRaw("DELETE FROM " + view))
	}
	return tx.Emit(events.ReplayRequested{Service: s.Name(), Topics: []string{
		events.AssetUpdated{}.Topic(), events.PortfolioCreated{}.Topic(), events.PortfolioUpdated{}.Topic(), events.PortfolioDeleted{}.Topic(),
	}})
}
