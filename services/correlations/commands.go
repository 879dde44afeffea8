package correlations

import (
	"context"

	"stega/store"
)

// Rebuild replaces the read views, entity by entity, with the state that their owners replay.
type Rebuild struct{}

// Topic returns correlations.rebuild.
func (Rebuild) Topic() string { return "correlations.rebuild" }

// Subject returns the service's name.
func (Rebuild) Subject() string { return "correlations" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}
