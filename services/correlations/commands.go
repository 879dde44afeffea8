package correlations

import (
	"context"

	"stega/store"
)

// Rebuild replaces the read views, entity by entity, by what their owners replay.
type Rebuild struct{}

// Topic is correlations.rebuild.
func (Rebuild) Topic() string { return "correlations.rebuild" }

// Subject is the service.
func (Rebuild) Subject() string { return "correlations" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}
