package process

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"stega/broker"
	"stega/rest"
	"stega/services/boundary/access"
	"stega/store"
)

// What the boundary needs of the process that it is the door of. The hub is made after the services are, so it is asked for late.

// lookup asks the services of this process for an operation.
func (p *Process) lookup(ctx context.Context, id string) (store.Operation, error) {
	return rest.Find(ctx, id, p.databases()...)
}

// latest asks the services of this process for their latest operations.
func (p *Process) latest(ctx context.Context, limit int, cursor string) (all []store.Operation, err error) {
	for _, db := range p.databases() {
		some, e := db.Operations(ctx, limit, cursor)
		all, err = append(all, some...), errors.Join(err, e)
	}
	return all, err
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

// mayRead says whether a token may read the stream.
func (p *Process) mayRead(token string) error {
	_, err := p.access.Authorize(context.Background(), token, access.Read)
	return err
}

// admitted says whether a request came in with a token, or needed none.
func admitted(r *http.Request) bool {
	_, known := access.From(r.Context())
	return known
}
