package broker

import "context"

// Inspector is implemented by a broker whose parts can vanish while a process runs: an operator can delete a queue, a
// binding, or a permission.
type Inspector interface {
	// Inspect lists what a process lacks: the exchanges and the log, and of the services in t their queues and bindings.
	// The error is that of a broker that cannot be asked.
	Inspect(ctx context.Context, t Topology) ([]Lack, error)
}

// Lack is a part of the topology that is missing or may not be used.
type Lack struct {
	Part    string // such as "queue stega.returns.events"
	Service string // whose part it is; empty for what all share
	Err     error  // a fault that says what to do
}
