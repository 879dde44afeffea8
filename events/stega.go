package events

// ReplayRequested asks the owners of state to tell it again as events, because a service has thrown its
// read views away and grows them anew. Handlers that already have the state drop the repetition.
type ReplayRequested struct {
	Service string   `json:"service"` // who rebuilds
	Topics  []string `json:"topics"`  // what it needs told again
}

// Topic is stega.replay_requested.
func (ReplayRequested) Topic() string { return "stega.replay_requested" }

// Subject is the rebuilding service.
func (e ReplayRequested) Subject() string { return e.Service }
