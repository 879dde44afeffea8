package gateway

import (
	"strings"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// everywhere is the service of a route that all services answer.
const everywhere = "*"

// target returns the name of the service that answers a route. variables are the values of its path.
func (g *Gateway) target(r rest.Route, variables map[string]string) (service string, err error) {
	switch service = r.Service; service {
	case "":
		return "", rest.PathUnknown()
	case everywhere:
		return everywhere, nil
	case "{service}":
		service = variables[service]
	case "{topic}":
		if service, err = g.owner(variables[service]); err != nil {
			return "", err
		}
	}
	if g.upstreams[service] == nil {
		return "", fault.NotFound("service_unknown", "this stega runs no service %q", service).
			WithHint("it runs %s", strings.Join(g.names, ", "))
	}
	return service, nil
}

// owner returns the service whose outbox publishes a topic: any one when the topic belongs to all.
func (g *Gateway) owner(topic string) (string, error) {
	t, ok := events.Lookup(topic)
	if !ok {
		return "", fault.NotFound("topic_unknown", "there is no topic %q", topic).
			WithHint("list them with: stega events list")
	}
	if t.Service == "stega" && len(g.names) > 0 {
		return g.names[0], nil
	}
	return t.Service, nil
}
