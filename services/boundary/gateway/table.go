package gateway

import (
	"net/http"
	"slices"
	"strings"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// area is what lies below one first segment after /v1.
type area struct {
	name    string
	service string // empty: the second segment says
	methods []string
	large   bool // a POST is an import
}

var (
	reading = []string{http.MethodGet, http.MethodHead}
	asking  = append(slices.Clone(reading), http.MethodPost)
	keeping = append(slices.Clone(asking), http.MethodPut, http.MethodDelete)
)

// areas is the table of what goes where.
var areas = []area{
	{name: "portfolios", service: "portfolio", methods: keeping},
	{name: "prices", service: "marketdata", methods: asking, large: true},
	{name: "symbols", service: "marketdata", methods: reading},
	{name: "schedules", service: "marketdata", methods: keeping},
	{name: "returns", service: "returns", methods: reading},
	{name: "correlations", service: "correlations", methods: reading},
	{name: "optimizations", service: "optimization", methods: keeping},
	{name: "rebuild", methods: []string{http.MethodPost}},
	{name: "events", methods: []string{http.MethodPost}},
	{name: "dead", methods: append(slices.Clone(asking), http.MethodDelete)},
}

// Areas lists the first segments below /v1 of what the services answer to.
func Areas() []string {
	names := make([]string, len(areas))
	for i, a := range areas {
		names[i] = a.name
	}
	return names
}

// everywhere is the target of what all services are asked for.
const everywhere = "*"

// target is where a request goes.
type target struct {
	service string
	area    area
}

// find finds where a path goes.
func (g *Gateway) find(segments []string) (target, error) {
	unknown := rest.PathUnknown(Areas())
	if len(segments) < 2 || segments[0] != "v1" {
		return target{}, unknown
	}
	i := slices.IndexFunc(areas, func(a area) bool { return a.name == segments[1] })
	if i < 0 {
		return target{}, unknown
	}
	t := target{service: areas[i].service, area: areas[i]}
	switch t.area.name {
	case "rebuild":
		if len(segments) != 3 {
			return t, unknown
		}
		t.service = segments[2]
	case "events":
		if len(segments) != 3 {
			return t, unknown
		}
		var err error
		if t.service, err = g.owner(segments[2]); err != nil {
			return t, err
		}
	case "dead":
		if len(segments) == 2 {
			t.service, t.area.methods = everywhere, reading
			return t, nil
		}
		t.service = segments[2]
	}
	if g.upstreams[t.service] == nil {
		return t, fault.NotFound("service_unknown", "this stega runs no service %q", t.service).
			WithHint("it runs %s", strings.Join(g.names, ", "))
	}
	return t, nil
}

// owner is the service through whose outbox an event of a topic goes: any one, when the topic belongs to all.
func (g *Gateway) owner(topic string) (string, error) {
	t, ok := events.Lookup(topic)
	if !ok {
		return "", fault.NotFound("topic_unknown", "there is no topic %q", topic).WithHint("list them with: stega events list")
	}
	if t.Service == "stega" && len(g.names) > 0 {
		return g.names[0], nil
	}
	return t.Service, nil
}
