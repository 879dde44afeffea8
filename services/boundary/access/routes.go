package access

import (
	"net/http"
	"net/url"
	"strings"
)

// Route says who may use a path. A segment in braces stands for any one segment.
type Route struct {
	Method  string
	Path    string
	Scope   Scope
	Command string // what a write becomes, as the audit has it; what is in braces is taken from the path
	known   bool   // it is in the table
}

// makesToken reports whether a route takes a token always, whatever Options.Local says: what it makes outlives that
// setting.
func (r Route) makesToken() bool {
	return r.Method == http.MethodPost && (r.Path == "/v1/tokens" || r.Path == "/v1/links")
}

// limited reports whether requests to an open route count against the limit of their address. Health checks do not.
func (r Route) limited() bool { return r.Path != "/healthz" && r.Path != "/readyz" }

// differs reports whether an open route answers more to a caller that it knows.
func (r Route) differs() bool { return r.Path == "/" || r.Path == "/readyz" }

// recorded reports whether the audit has requests of a route: writes, and reads of tokens, the audit and dead letters.
func (r Route) recorded() bool { return !safe(r.Method) || r.Scope == Admin && r.known }

// Routes is the table of all paths. What is not in it takes the scope admin; a test holds that everything that a
// process serves is.
func Routes() []Route {
	return []Route{
		{"GET", "/healthz", Open, "", true},
		{"GET", "/readyz", Open, "", true},
		{"GET", "/", Open, "", true},
		{"GET", "/login", Open, "", true},
		{"POST", "/v1/proof", Open, "", true},
		{"GET", "/metrics", Read, "", true},

		{"GET", "/v1/portfolios", Read, "", true},
		{"POST", "/v1/portfolios", Write, "portfolio.create", true},
		{"GET", "/v1/portfolios/{id}", Read, "", true},
		{"PUT", "/v1/portfolios/{id}", Write, "portfolio.update", true},
		{"DELETE", "/v1/portfolios/{id}", Write, "portfolio.delete", true},
		{"POST", "/v1/prices", Write, "marketdata.import_prices", true},
		{"POST", "/v1/prices/pull", Write, "marketdata.pull_prices", true},
		{"GET", "/v1/prices/providers", Read, "", true},
		{"GET", "/v1/prices/{symbol}", Read, "", true},
		{"GET", "/v1/symbols", Read, "", true},
		{"GET", "/v1/symbols/{symbol}", Read, "", true},
		{"GET", "/v1/schedules", Read, "", true},
		{"POST", "/v1/schedules", Write, "marketdata.create_schedule", true},
		{"GET", "/v1/schedules/{id}", Read, "", true},
		{"PUT", "/v1/schedules/{id}", Write, "marketdata.update_schedule", true},
		{"DELETE", "/v1/schedules/{id}", Write, "marketdata.delete_schedule", true},
		{"POST", "/v1/schedules/{id}/run", Write, "marketdata.pull_prices", true},
		{"GET", "/v1/returns/assets/{symbol}", Read, "", true},
		{"GET", "/v1/returns/assets/{symbol}/series", Read, "", true},
		{"GET", "/v1/returns/assets/{symbol}/drawdowns", Read, "", true},
		{"GET", "/v1/returns/assets/{symbol}/table", Read, "", true},
		{"GET", "/v1/returns/assets/{symbol}/rolling", Read, "", true},
		{"GET", "/v1/returns/portfolios/{id}", Read, "", true},
		{"GET", "/v1/returns/portfolios/{id}/series", Read, "", true},
		{"GET", "/v1/returns/portfolios/{id}/drawdowns", Read, "", true},
		{"GET", "/v1/returns/portfolios/{id}/table", Read, "", true},
		{"GET", "/v1/returns/portfolios/{id}/rolling", Read, "", true},
		{"GET", "/v1/correlations", Read, "", true},
		{"GET", "/v1/correlations/rolling", Read, "", true},
		{"POST", "/v1/optimizations", Write, "optimization.run", true},
		{"GET", "/v1/optimizations", Read, "", true},
		{"GET", "/v1/optimizations/{id}", Read, "", true},
		{"DELETE", "/v1/optimizations/{id}", Write, "optimization.delete", true},
		{"PUT", "/v1/optimizations/{id}/follow", Write, "optimization.follow", true},
		{"POST", "/v1/optimizations/{id}/repeat", Write, "optimization.run", true},
		{"POST", "/v1/optimizations/{id}/allocation", Read, "", true},

		{"GET", "/v1/operations", Read, "", true},
		{"GET", "/v1/operations/{id}", Read, "", true},
		{"POST", "/v1/operations/{id}/cancel", Write, "operation.cancel", true},
		{"GET", "/v1/stream", Read, "", true},
		{"GET", "/v1/events", Read, "", true},
		{"POST", "/v1/events/{topic}", Admin, "publish {topic}", true},
		{"POST", "/v1/rebuild/{service}", Admin, "{service}.rebuild", true},
		{"GET", "/v1/dead", Admin, "", true},
		{"GET", "/v1/dead/{service}/{id}", Admin, "", true},
		{"POST", "/v1/dead/{service}/{id}/retry", Admin, "dead.retry", true},
		{"DELETE", "/v1/dead/{service}/{id}", Admin, "dead.drop", true},
		{"GET", "/v1/me", Read, "", true},
		{"POST", "/v1/links", Read, "link.create", true},
		{"POST", "/v1/logout", Read, "session.delete", true},
		{"GET", "/v1/tokens", Admin, "", true},
		{"POST", "/v1/tokens", Admin, "token.create", true},
		{"DELETE", "/v1/tokens/{id}", Admin, "token.revoke", true},
		{"GET", "/v1/audit", Admin, "", true},
	}
}

// table is the routes by method and number of segments.
type table map[string][][]entry

type entry struct {
	Route
	segments []string
}

func newTable(routes []Route) table {
	t := table{}
	for _, r := range routes {
		segments := strings.Split(r.Path, "/")
		for len(t[r.Method]) <= len(segments) {
			t[r.Method] = append(t[r.Method], nil)
		}
		t[r.Method][len(segments)] = append(t[r.Method][len(segments)], entry{r, segments})
	}
	return t
}

// find is the route of a request, its command filled in; one that is not known needs admin. Paths are compared as
// they were sent, for a router could read an encoded one either way.
func (t table) find(method, escaped string) Route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(escaped, "/")
	if byLength := t[method]; len(segments) < len(byLength) {
		for _, e := range byLength[len(segments)] {
			if found, ok := e.match(segments); ok {
				return found
			}
		}
	}
	return Route{Method: method, Path: escaped, Scope: Admin}
}

func (e entry) match(segments []string) (Route, bool) {
	found := e.Route
	for i, want := range e.segments {
		got := segments[i]
		if !strings.HasPrefix(want, "{") {
			if got != want {
				return found, false
			}
			continue
		}
		text, err := url.PathUnescape(got)
		if err != nil || text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/\\") {
			return found, false
		}
		found.Command = strings.ReplaceAll(found.Command, want, text)
	}
	return found, true
}
