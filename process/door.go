package process

import (
	"context"
	"encoding/json"

	"stega/broker"
	"stega/rest"
	"stega/store"
)

// What the boundary needs of the process that it is the door of. The hub is made after the services are, so it is asked for late.

// lookup asks the services of this process for an operation.
func (p *Process) lookup(ctx context.Context, id string) (store.Operation, error) {
	return rest.Find(ctx, id, p.databases()...)
}

func (p *Process) watch(channel string) (<-chan broker.LogEntry, func()) { return p.hub.Watch(channel) }

// position is how far the hub has read the log, as headers carry it.
func (p *Process) position() string { return p.hub.Position().String() }

// operation is what is known of an operation, for the hub.
func (p *Process) operation(ctx context.Context, id string) (json.RawMessage, error) {
	o, err := p.door.Look(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return json.Marshal(o)
}
