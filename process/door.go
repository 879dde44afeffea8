package process

import (
	"context"
	"encoding/json"
	"net/http"

	"stega/broker"
	"stega/services/boundary/access"
	"stega/services/boundary/gateway"
)

// What the boundary needs of the process that it is the door of. The hub is made after the services are, so it is
// asked for late.

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

// caller is the header that tells a service the caller of a request.
func caller(ctx context.Context) (name, value string) {
	return access.CallerHeader, access.CallerOf(ctx)
}

// routed puts the gateway before what this process serves: its own services are reached through that, others over HTTP.
func (p *Process) routed(own http.Handler) http.Handler {
	options := gateway.Options{
		Secret: p.cfg.Secret, Caller: caller, Log: p.cfg.Log, Metrics: p.registry,
		Owner: func(ctx context.Context, operation string) string {
			o, err := p.door.Operation(ctx, operation, false)
			if err != nil { // it is not known, or not to be found out now; the service itself looks too
				return ""
			}
			return o.Service
		},
	}
	here := map[string]bool{}
	for _, part := range p.parts {
		here[part.service.Name()] = true
		options.Upstreams = append(options.Upstreams, gateway.Upstream{Service: part.service.Name(), Handler: own})
	}
	for _, u := range p.cfg.Elsewhere {
		if !here[u.Service] {
			options.Upstreams = append(options.Upstreams, u)
		}
	}
	p.gateway = gateway.New(options)
	return p.gateway.Before(own)
}
