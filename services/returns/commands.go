package returns

import (
	"context"

	"stega/store"
)

// Rebuild replaces the read views, entity by entity, with the state that their owners replay.
type Rebuild struct{}

// Topic returns returns.rebuild.
func (Rebuild) Topic() string { return "returns.rebuild" }

// Subject returns the service's name.
func (Rebuild) Subject() string { return "returns" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}
