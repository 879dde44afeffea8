package returns

import (
	"context"

	"stega/store"
)

// Rebuild replaces the read views, entity by entity, by what their owners replay.
type Rebuild struct{}

// Topic is returns.rebuild.
func (Rebuild) Topic() string { return "returns.rebuild" }

// Subject is the service.
func (Rebuild) Subject() string { return "returns" }

func (s *Service) rebuild(ctx context.Context, tx *store.Tx, _ Rebuild) error {
	return s.views.Start(ctx, tx)
}
