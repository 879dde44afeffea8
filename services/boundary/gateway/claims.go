package gateway

import (
	"context"
	"slices"
	"strings"
	"sync"

	"stega/fault"
)

// claims remember which service an operation id was sent to: each service keeps the ids of its own writes, and none
// those of the others.
type claims struct {
	mu    sync.Mutex
	of    map[string]string
	order []string // the oldest first
}

// maxClaims is how many are remembered; older ones are known to whoever keeps operations.
const maxClaims = 1 << 14

// take says to which service an id belongs, which is the one that asks when nobody has before: then it is fresh.
func (c *claims) take(id, service string) (owner string, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, ok := c.of[id]; ok {
		return owner, false
	}
	if c.of == nil {
		c.of = map[string]string{}
	}
	if len(c.order) == maxClaims {
		delete(c.of, c.order[0])
		c.order = c.order[1:]
	}
	c.of[id] = service
	c.order = append(c.order, id)
	return service, true
}

// drop forgets an id that was not used after all.
func (c *claims) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, id)
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == id })
}

// claim refuses an operation id that was used for a write to another service: it is one operation, and has one
// command. over is told how the write was answered.
func (g *Gateway) claim(ctx context.Context, id, service string) (over func(status int), err error) {
	id = strings.ToLower(id)
	owner, fresh := g.claims.take(id, service)
	if fresh && g.o.Owner != nil {
		if known := g.o.Owner(ctx, id); known != "" && known != service {
			g.claims.drop(id)
			owner = known
		}
	}
	if owner != service {
		return nil, fault.Invalid("operation_id_reused", "the operation id %.64s was used for another request", id).
			WithHint("mint a new UUID for each request; use one again only to repeat the very same request")
	}
	return func(status int) {
		if fresh && status >= 400 && status < 500 {
			g.claims.drop(id)
		}
	}, nil
}
