package process

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stega/api"
	"stega/docs"
	"stega/fault"
	"stega/rest"
	"stega/services"
	"stega/services/boundary"
)

// HTTPRoutes returns the HTTP routes of the suite, as its public server serves them.
func HTTPRoutes() []rest.Route {
	p := &Process{registry: prometheus.NewRegistry(), edge: &boundary.Server{}}
	all := append(p.ownRoutes(), p.edge.Routes()...)
	for _, m := range suite() {
		all = append(all, rest.Of(m.name, m.build(nil, Options{}).Routes(nil))...)
	}
	return all
}

// routes returns the routes that this process serves.
func (p *Process) routes() []rest.Route {
	all := append(p.ownRoutes(), p.edge.Routes()...)
	if p.has(API) {
		for _, part := range p.parts {
			all = append(all, part.service.Routes(part)...)
		}
	}
	return all
}

// ownRoutes returns the routes that every process serves.
func (p *Process) ownRoutes() []rest.Route {
	return append(rest.DeadLetters(p.databases()...), []rest.Route{
		{
			Name: "isAlive", Method: http.MethodGet, Path: "/healthz", Scope: rest.ScopeOpen, RawQuery: true,
			Summary: "Report that the process runs", Answer: Alive{}, Handler: alive,
		},
		{
			Name: "isReady", Method: http.MethodGet, Path: "/readyz", Scope: rest.ScopeOpen, RawQuery: true,
			Summary: "Report whether the process is ready, and what is missing", Answer: Health{}, Handler: p.readyz,
		},
		{
			Name: "getMetrics", Method: http.MethodGet, Path: "/metrics", Scope: rest.ScopeRead, RawQuery: true,
			Summary: "Show the metrics, for Prometheus", Gives: "text/plain",
			Handler: echo.WrapHandler(promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{})),
		},
		document("getOpenAPI", "/v1/openapi.json", "Describe the HTTP API, as OpenAPI 3.1", docs.OpenAPI),
		document("getAsyncAPI", "/v1/asyncapi.json", "Describe the events, as AsyncAPI 3", docs.AsyncAPI),
		{
			Name:    "readLog",
			Method:  http.MethodGet,
			Path:    "/v1/events",
			Scope:   rest.ScopeRead,
			Summary: "Read the log of events, as lines of JSON",
			Gives:   "application/x-ndjson",
			Answer:  LogLine{},
			Handler: p.tail,
			Query: []rest.Param{
				{Name: "from", About: "position of the first event, 0 for the oldest; only new events when left out"},
				{Name: "follow", About: "wait for new events at the end of the log", Type: rest.Boolean, Default: true},
				{Name: "internal", About: "include the events of stega itself", Type: rest.Boolean, Default: false},
			},
		},
		{
			Name:    "publishEvent",
			Method:  http.MethodPost,
			Path:    "/v1/events/{topic}",
			Scope:   rest.ScopeAdmin,
			Service: "{topic}",
			Command: "publish {topic}",
			Summary: "Publish an event by hand",
			Body:    rest.Schema{"type": "object", "description": "data of the event"},
			Answer:  Published{},
			Status:  http.StatusAccepted,
			Handler: p.publish,
		},
		{
			Name:    "rebuild",
			Method:  http.MethodPost,
			Path:    "/v1/rebuild/{service}",
			Scope:   rest.ScopeAdmin,
			Service: "{service}",
			Command: "{service}.rebuild",
			Summary: "Rebuild the read views of a service, which answers meanwhile",
			Answer:  api.Accepted{},
			Handler: p.rebuild,
		},
	}...)
}

// document returns the route of an embedded document.
func document(name, path, summary string, text []byte) rest.Route {
	return rest.Route{
		Name:    name,
		Method:  http.MethodGet,
		Path:    path,
		Scope:   rest.ScopeRead,
		Summary: summary,
		Answer:  rest.Schema{"type": "object"},
		Handler: func(c echo.Context) error { return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, text) },
	}
}

// Alive is the answer to GET /healthz.
type Alive struct {
	Status string `json:"status"`
}

func alive(c echo.Context) error { return c.JSON(http.StatusOK, Alive{"ok"}) }

// rebuild starts the rebuilding of the read views of a service of this process.
func (p *Process) rebuild(c echo.Context) error {
	name := c.Param("service")
	var names []string
	for _, part := range p.parts {
		r, ok := part.service.(services.Rebuilder)
		if !ok {
			continue
		}
		if part.service.Name() == name && p.has(API) {
			return rest.Write(c, part, r.Rebuild(), name, rest.Hash(c, nil))
		}
		names = append(names, part.service.Name())
	}
	f := fault.NotFound("service_without_views", "the service %q has no read views to rebuild here", name)
	if len(names) > 0 {
		f = f.WithHint("those that have are %s", strings.Join(names, ", "))
	}
	return f
}
