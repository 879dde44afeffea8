// Package replay rebuilds read views while they are in use. The owners of state publish it again, page by page, as
// events; the service that rebuilds replaces what it has of each entity, and at the end requests those entities from
// their owner that it has and that were not replayed. So a view is never emptied, a page is a short unit of work, and
// a crash resumes with the next message.
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
	// Keys returns the keys that follow one, in their order, n at most.
	Keys func(ctx context.Context, tx *store.Tx, after string, n int) ([]string, error)
	// Emit publishes the first of some entities as events with the mark, as many as fit into a unit of work, and returns
	// how many it published, one at least. For one that it does not have it publishes just that.
	Emit func(ctx context.Context, tx *store.Tx, keys []string, mark events.Replay) (int, error)
}

// pageKeys is how many entities a page has at most.
const pageKeys = 250

// Replay handles a request: it publishes one page.
func (o Owner) Replay(ctx context.Context, tx *store.Tx, e events.ReplayRequested) error {
	carried := func(topic string) bool { return slices.Contains(o.Topics, topic) }
	if e.Owner != "" && e.Owner != o.Service || !slices.ContainsFunc(e.Topics, carried) {
		return nil
	}
	keys := e.Keys
	if len(keys) == 0 {
		var err error
		if keys, err = o.Keys(ctx, tx, e.After, pageKeys+1); err != nil {
			return fmt.Errorf("list what to replay: %w", err)
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

// next reports a page to the service that rebuilds, which requests the following one; or requests it itself when
// nobody rebuilds.
func (o Owner) next(ctx context.Context, tx *store.Tx, e events.ReplayRequested, done, rest []string) error {
	if e.Rebuild != "" {
		total, err := o.Count(ctx, tx)
		if err != nil {
			return fmt.Errorf("count what there is to replay: %w", err)
		}
		page := events.ReplayPaged{
			Service: e.Service, Rebuild: e.Rebuild, Owner: o.Service, Keys: done, Total: total, More: len(e.Keys) == 0 &&
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
