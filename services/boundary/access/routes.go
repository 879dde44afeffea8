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
	Command string // what a write becomes, as the audit tells it; what is in braces is taken from the path
}

// makesToken reports whether a route takes a token always, whatever Options.Local says: what it makes outlives that setting.
func (r Route) makesToken() bool { return r.Method == http.MethodPost && r.Path == "/v1/tokens" }

// Routes is the table of all paths. What is not in it takes the scope admin; a test holds that everything that a process serves is.
func Routes() []Route {
	return []Route{
		{"GET", "/healthz", Open, ""},
		{"GET", "/readyz", Open, ""},
		{"GET", "/metrics", Read, ""},

		{"GET", "/v1/portfolios", Read, ""},
		{"POST", "/v1/portfolios", Write, "portfolio.create"},
		{"GET", "/v1/portfolios/{id}", Read, ""},
		{"PUT", "/v1/portfolios/{id}", Write, "portfolio.update"},
		{"DELETE", "/v1/portfolios/{id}", Write, "portfolio.delete"},
		{"POST", "/v1/prices", Write, "marketdata.import_prices"},
		{"POST", "/v1/prices/pull", Write, "marketdata.pull_prices"},
		{"GET", "/v1/prices/providers", Read, ""},
		{"GET", "/v1/prices/{symbol}", Read, ""},
		{"GET", "/v1/symbols", Read, ""},
		{"GET", "/v1/symbols/{symbol}", Read, ""},
		{"GET", "/v1/schedules", Read, ""},
		{"POST", "/v1/schedules", Write, "marketdata.create_schedule"},
		{"GET", "/v1/schedules/{id}", Read, ""},
		{"PUT", "/v1/schedules/{id}", Write, "marketdata.update_schedule"},
		{"DELETE", "/v1/schedules/{id}", Write, "marketdata.delete_schedule"},
		{"POST", "/v1/schedules/{id}/run", Write, "marketdata.pull_prices"},
		{"GET", "/v1/returns/assets/{symbol}", Read, ""},
		{"GET", "/v1/returns/assets/{symbol}/series", Read, ""},
		{"GET", "/v1/returns/assets/{symbol}/drawdowns", Read, ""},
		{"GET", "/v1/returns/assets/{symbol}/table", Read, ""},
		{"GET", "/v1/returns/assets/{symbol}/rolling", Read, ""},
		{"GET", "/v1/returns/portfolios/{id}", Read, ""},
		{"GET", "/v1/returns/portfolios/{id}/series", Read, ""},
		{"GET", "/v1/returns/portfolios/{id}/drawdowns", Read, ""},
		{"GET", "/v1/returns/portfolios/{id}/table", Read, ""},
		{"GET", "/v1/returns/portfolios/{id}/rolling", Read, ""},
		{"GET", "/v1/correlations", Read, ""},
		{"GET", "/v1/correlations/rolling", Read, ""},
		{"POST", "/v1/optimizations", Write, "optimization.run"},
		{"GET", "/v1/optimizations", Read, ""},
		{"GET", "/v1/optimizations/{id}", Read, ""},
		{"DELETE", "/v1/optimizations/{id}", Write, "optimization.delete"},
		{"PUT", "/v1/optimizations/{id}/follow", Write, "optimization.follow"},
		{"POST", "/v1/optimizations/{id}/repeat", Write, "optimization.run"},
		{"POST", "/v1/optimizations/{id}/allocation", Read, ""},

		{"GET", "/v1/operations", Read, ""},
		{"GET", "/v1/operations/{id}", Read, ""},
		{"POST", "/v1/operations/{id}/cancel", Write, "operation.cancel"},
		{"GET", "/v1/stream", Read, ""},
		{"GET", "/v1/events", Read, ""},
		{"POST", "/v1/events/{topic}", Admin, "publish {topic}"},
		{"POST", "/v1/rebuild/{service}", Admin, "{service}.rebuild"},
		{"GET", "/v1/dead", Admin, ""},
		{"GET", "/v1/dead/{service}/{id}", Admin, ""},
		{"POST", "/v1/dead/{service}/{id}/retry", Admin, "dead.retry"},
		{"DELETE", "/v1/dead/{service}/{id}", Admin, "dead.drop"},
		{"GET", "/v1/tokens", Admin, ""},
		{"POST", "/v1/tokens", Admin, "token.create"},
		{"DELETE", "/v1/tokens/{id}", Admin, "token.revoke"},
		{"GET", "/v1/audit", Admin, ""},
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

// find is the route of a request, its command filled in; one that is not known needs admin. Paths are compared as they were sent, for
// a router could read an encoded one either way.
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
