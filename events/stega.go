package events

import "stega/civil"

// ReplayRequested asks the owners of state to publish it again as events, because a service rebuilds its read views.
// Handlers that already have the state drop the repetition.
type ReplayRequested struct {
	Service string   `json:"service"` // the one that rebuilds
	Topics  []string `json:"topics"`  // of the events that it needs
	// Rebuild is the operation that rebuilds: an owner answers with one page and ReplayPaged. Without it, an owner
	// replays all that it has.
	Rebuild string `json:"rebuild,omitempty"`
	// Owner is the service that is requested to replay; empty: each that has some of the topics.
	Owner string `json:"owner,omitempty"`
	// After is the key of the entity that the page begins after.
	After string `json:"after,omitempty"`
	// Keys are the entities to replay, in place of a page.
	Keys []string `json:"keys,omitempty"`
}

// Topic is stega.replay_requested.
func (ReplayRequested) Topic() string { return "stega.replay_requested" }

// Subject is the rebuilding service.
func (e ReplayRequested) Subject() string { return e.Service }

// ReplayPaged says which entities an owner has published again for a rebuild.
type ReplayPaged struct {
	Service string   `json:"service"` // the one that rebuilds
	Rebuild string   `json:"rebuild"` // its operation
	Owner   string   `json:"owner"`
	Keys    []string `json:"keys"`
	Total   int64    `json:"total"`          // entities of the owner
	More    bool     `json:"more,omitempty"` // after the last key
}

// Topic is stega.replay_paged.
func (ReplayPaged) Topic() string { return "stega.replay_paged" }

// Subject is the rebuilding service.
func (e ReplayPaged) Subject() string { return e.Service }

// Replay marks an event that carries all that there is of its entity between two days, both inclusive; nil is open.
// Whoever takes it puts it in the place of what it has of them. The events that replay an entity follow each other,
// from its first day to its last.
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

// Last reports whether no more events of the entity follow.
func (r *Replay) Last() bool { return r.To == nil }
