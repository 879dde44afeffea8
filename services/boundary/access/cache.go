package access

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"stega/store"
)

const (
	// fresh is how long a token that was looked up needs no other look: what another process revokes ends within a
	// second. A token in use costs one read a second, and one that is not used nothing. When the database is away
	// nobody comes in, for who was revoked could not be distinguished from who was not.
	fresh = 900 * time.Millisecond
	// maxCached bounds the memory.
	maxCached = 10_000
	// lookup bounds one look.
	lookup = 5 * time.Second
	// usedEvery is how exactly it is known when a token was last used.
	usedEvery = time.Minute
)

// cache holds tokens that exist. Those that do not are not remembered: somebody who guesses could fill it.
type cache struct {
	mu         sync.Mutex
	entries    map[digest]*cached
	generation uint64 // of what was read before the last revocation
	flights    singleflight.Group
}

type cached struct {
	row     *row
	checked time.Time
	touched int64 // when a use was last passed on, in microseconds
}

// holds reports whether a token was seen before.
func (c *cache) holds(hash digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[hash] != nil
}

// get is the row of a token, nil when there is none. Of many that ask for one at the same time, one looks.
func (c *cache) get(ctx context.Context, hash digest, now func() time.Time, load loader) (*row, error) {
	c.mu.Lock()
	if e := c.entries[hash]; e != nil && now().Sub(e.checked) < fresh {
		c.mu.Unlock()
		return e.row, nil
	}
	generation := c.generation
	c.mu.Unlock()
	// Who comes after a revocation must not share a look that began before it.
	key := string(hash[:]) + strconv.FormatUint(generation, 10)
	flight := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookup) // others wait for it too
		defer cancel()
		began := now()
		r, err := load(ctx, hash)
		if err == nil {
			c.put(hash, r, began, generation)
		}
		return r, err
	})
	select {
	case done := <-flight:
		if done.Err != nil {
			return nil, done.Err
		}
		return done.Val.(*row), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *cache) put(hash digest, r *row, at time.Time, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if r == nil {
		delete(c.entries, hash)
		return
	}
	e := c.entries[hash]
	if e == nil {
		if len(c.entries) >= maxCached {
			c.shrink(at)
		}
		e = &cached{touched: r.LastUsedAt}
		c.entries[hash] = e
	}
	e.row, e.checked = r, at
}

// shrink makes room: what is not fresh goes, and anything when all is.
func (c *cache) shrink(now time.Time) {
	for hash, e := range c.entries {
		if now.Sub(e.checked) >= fresh {
			delete(c.entries, hash)
		}
	}
	for hash := range c.entries {
		if len(c.entries) < maxCached {
			return
		}
		delete(c.entries, hash)
	}
}

// forget drops a token, and what is being read at this moment.
func (c *cache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for hash, e := range c.entries {
		if e.row.ID == id {
			delete(c.entries, hash)
		}
	}
}

// use is that a token was used.
type use struct {
	id string
	at int64
}

// touch passes on that a token was used, unless that was told within the last minute, or nobody has time to hear it.
func (t *tokens) touch(hash digest, r *row, now time.Time) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	e := t.cache.entries[hash]
	if e == nil || now.UnixMicro()-e.touched < usedEvery.Microseconds() {
		return
	}
	select {
	case t.used <- use{r.ID, now.UnixMicro()}:
		e.touched = now.UnixMicro()
	default:
	}
}

// run writes when tokens were used, and ends what came in with those that are worth nothing any more, until ctx ends.
func (t *tokens) run(ctx context.Context) error {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case u := <-t.used:
			err := t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.NewUpdate().Table("tokens").Set("last_used_at = ?", u.at).
					Where("id = ? AND last_used_at < ?", u.id,
						u.at).Exec(ctx)
				return err
			})
			if err != nil && ctx.Err() == nil {
				t.log.Warn("when a token was last used is not written", "token", u.id, "error", err)
			}
		case <-tick.C:
			t.recheck(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}
