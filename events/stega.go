package events

import "stega/civil"

// ReplayRequested requests the owners of state to publish it again as events, because a service rebuilds its read
// views. Handlers that already have the state ignore the repetition.
type ReplayRequested struct {
	Service string   `json:"service"` // the rebuilding service
	Topics  []string `json:"topics"`  // of the required events
	// Rebuild is the operation of the rebuild: an owner answers with one page and ReplayPaged. Without it, an owner
	// replays all its state.
	Rebuild string `json:"rebuild,omitempty"`
	// Owner is the service that shall replay; empty: each owner of one of the topics.
	Owner string `json:"owner,omitempty"`
	// After is the key after which the page begins.
	After string `json:"after,omitempty"`
	// Keys lists the entities to replay, instead of a page.
	Keys []string `json:"keys,omitempty"`
}

// Topic returns stega.replay_requested.
func (ReplayRequested) Topic() string { return "stega.replay_requested" }

// Subject returns the rebuilding service.
func (e ReplayRequested) Subject() string { return e.Service }

// ReplayPaged lists the entities that an owner has published again for a rebuild.
type ReplayPaged struct {
	Service string   `json:"service"` // the rebuilding service
	Rebuild string   `json:"rebuild"` // its operation
	Owner   string   `json:"owner"`
	Keys    []string `json:"keys"`
	Total   int64    `json:"total"`          // number of entities of the owner
	More    bool     `json:"more,omitempty"` // entities follow after the last key
}

// Topic returns stega.replay_paged.
func (ReplayPaged) Topic() string { return "stega.replay_paged" }

// Subject returns the rebuilding service.
func (e ReplayPaged) Subject() string { return e.Service }

// Replay marks an event that carries the whole state of its entity between two days, both inclusive; nil is open. A
// receiver replaces its own state of these days. The replay events of an entity follow each other, from its first day
// to its last.
type Replay struct {
	Rebuild string      `json:"rebuild,omitempty"` // the operation that requested it
	From    *civil.Date `json:"from,omitempty"`
	To      *civil.Date `json:"to,omitempty"`
}

// Span returns the first and the last day of the replay.
func (r *Replay) Span() (from, to civil.Date) {
	from, to = civil.Of(1, 1, 1), civil.Of(9999, 12, 31)
	if r.From != nil {
		from = *r.From
	}
	if r.To != nil {
		to = *r.To
	}
	return from, to
}

// Last reports whether this is the last replay event of the entity.
func (r *Replay) Last() bool { return r.To == nil }
