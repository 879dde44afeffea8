// Package replay rebuilds read views while they are in use. The owners of state publish it again, page by page, as
// events, and the rebuilding service replaces each entity. At the end it requests from the owners those of its
// entities that were not replayed. So a view is never empty, a page is a short unit of work, and after a crash the
// next message continues the rebuild.
package replay

import (
	"context"
	"fmt"
	"slices"

	"stega/events"
	"stega/store"
)

// Owner describes the state that a service can replay.
type Owner struct {
	Service string
	Topics  []string // of the events that carry it
	// Count returns the number of entities.
	Count func(ctx context.Context, tx *store.Tx) (int64, error)
	// Keys returns the keys after one, in order, n at most.
	Keys func(ctx context.Context, tx *store.Tx, after string, n int) ([]string, error)
	// Emit publishes the first of some entities as events with the mark, as many as fit into a unit of work. It
	// returns the number of published entities, at least one. For an unknown key it publishes that no entity exists.
	Emit func(ctx context.Context, tx *store.Tx, keys []string, mark events.Replay) (int, error)
}

// pageKeys limits the entities of a page.
const pageKeys = 250

// Replay handles a request by publishing one page.
func (o Owner) Replay(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
	carried := func(topic string) bool { return slices.Contains(o.Topics, topic) }
	if e.Owner != "" && e.Owner != o.Service || !slices.ContainsFunc(e.Topics, carried) {
		return nil
	}
	keys := e.Keys
	if len(keys) == 0 {
		var err error
		if keys, err = o.Keys(ctx, tx, e.After, pageKeys+1); err != nil {
			return fmt.Errorf("list the keys to replay: %w", err)
		}
	}
	n := 0
	if len(keys) > 0 {
		var err error
		if n, err = o.Emit(ctx, tx, keys[:min(len(keys), pageKeys)], events.Replay{Rebuild: e.Rebuild}); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	return o.next(ctx, tx, e, keys[:n], keys[n:])
}

// next reports a page to the rebuilding service, which requests the following one. Without a rebuild, it requests the
// following page itself.
func (o Owner) next(ctx context.Context, tx *store.Tx, e events.ReplayRequested, done, rest []string) error {
	if e.Rebuild != "" {
		total, err := o.Count(ctx, tx)
		if err != nil {
			return fmt.Errorf("count the entities to replay: %w", err)
		}
		page := events.ReplayPaged{
			Service: e.Service,
			Rebuild: e.Rebuild,
			Owner:   o.Service,
			Keys:    done,
			Total:   total,
			More: len(e.Keys) == 0 &&
				len(rest) > 0,
		}
		if err := tx.Emit(page); err != nil {
			return err
		}
	}
	if len(rest) == 0 || e.Rebuild != "" && len(e.Keys) == 0 {
		return nil
	}
	e.Owner = o.Service
	if len(e.Keys) > 0 {
		e.Keys = rest
	} else {
		e.After = done[len(done)-1]
	}
	return tx.Emit(e)
}
