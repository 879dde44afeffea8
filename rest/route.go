package rest

import (
	"cmp"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Scope is the permission that a token has, and that a route requires. Each scope covers those before it.
type Scope string

// The scopes. ScopeOpen is that of routes that need no token.
const (
	ScopeOpen  Scope = ""
	ScopeRead  Scope = "read"  // data, operations and the stream
	ScopeWrite Scope = "write" // changes of data
	ScopeAdmin Scope = "admin" // tokens, the audit, dead letters, rebuilding and publishing by hand
)

var scopeRanks = map[Scope]int{ScopeOpen: 0, ScopeRead: 1, ScopeWrite: 2, ScopeAdmin: 3}

// Covers reports whether a scope includes another one.
func (s Scope) Covers(needed Scope) bool {
	rank, known := scopeRanks[s]
	return known && rank >= scopeRanks[needed]
}

// Route is one method and path of the API. The router, the gateway, access control, the checks of query parameters
// and the OpenAPI document are derived from it.
type Route struct {
	Name    string // the operationId of the OpenAPI document
	Method  string
	Path    string // from the root; a segment in braces stands for any one segment
	Scope   Scope
	Command string // topic of the command that a write becomes, for the audit; braces are filled from the path
	Summary string

	Query    []Param
	RawQuery bool // the handler itself reads the query, and the router does not check it
	IfMatch  bool // a write that takes the version to change in If-Match

	Body         any    // zero value of the request's type; nil: the request has no body
	BodyOptional bool   // a request may leave the body out
	Takes        string // media type of the request; JSON when empty
	Large        bool   // the body may be as large as an import
	Answer       any    // zero value of the answer's type, or a Schema; nil: the answer has no JSON body
	Gives        string // media type of the answer; JSON when empty
	Status       int    // of a successful answer; 200 when 0, or that of Accepted

	// Service names the service that answers: "*" for all of them, "{service}" for the one in the path, "{topic}" for
	// the owner of the topic in the path. Empty is the process itself.
	Service string
	Handler echo.HandlerFunc
}

// Schema is the JSON Schema of an answer that no Go type describes.
type Schema map[string]any

// Of returns the routes with their service.
func Of(service string, routes []Route) []Route {
	routes = slices.Clone(routes)
	for i := range routes {
		routes[i].Service = service
	}
	return routes
}

// Serve adds routes to a router. Each request's query is checked against the parameters of its route first.
func Serve(e *echo.Echo, routes ...Route) {
	for _, r := range routes {
		e.Add(r.Method, strings.NewReplacer("{", ":", "}", "").Replace(r.Path), r.serve)
	}
}

func (r Route) serve(c echo.Context) error {
	for _, value := range c.ParamValues() {
		if strings.Contains(value, "/") { // the router lets the last variable have more than one segment
			return PathUnknown()
		}
	}
	if !r.RawQuery {
		values, err := arguments(c, r.Query)
		if err != nil {
			return err
		}
		c.Set(argumentsKey, values)
	}
	return r.Handler(c)
}

// Table finds the route of a request.
type Table struct {
	routes   []Route
	byLength [][]tableRow // by the number of segments
}

type tableRow struct {
	*Route
	segments []string
}

// NewTable returns the table of routes. A literal segment precedes one in braces, as in the router.
func NewTable(routes ...Route) *Table {
	t := &Table{routes: routes}
	for i := range routes {
		segments := strings.Split(routes[i].Path, "/")
		for len(t.byLength) <= len(segments) {
			t.byLength = append(t.byLength, nil)
		}
		t.byLength[len(segments)] = append(t.byLength[len(segments)], tableRow{&routes[i], segments})
	}
	for _, rows := range t.byLength {
		slices.SortStableFunc(rows, func(a, b tableRow) int {
			return slices.CompareFunc(a.segments, b.segments, func(x, y string) int {
				return cmp.Compare(rank(x), rank(y))
			})
		})
	}
	return t
}

// rank is 1 of a segment in braces, and 0 of a literal one.
func rank(segment string) int {
	if strings.HasPrefix(segment, "{") {
		return 1
	}
	return 0
}

// Routes returns all routes of the table.
func (t *Table) Routes() []Route { return t.routes }

// Find returns the route of a method and a path as it was sent, with the values of the path's variables. HEAD has the
// route of GET.
func (t *Table) Find(method, escaped string) (r Route, variables map[string]string, found bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for row, values := range t.match(escaped) {
		if row.Method == method {
			return *row.Route, values, true
		}
	}
	return Route{}, nil, false
}

// Service returns the service of the routes that a path has; empty when no route has the path.
func (t *Table) Service(escaped string) string {
	for row := range t.match(escaped) {
		return row.Service
	}
	return ""
}

// Methods returns the methods of a path, in alphabetical order; none when no route has the path.
func (t *Table) Methods(escaped string) []string {
	var methods []string
	for row := range t.match(escaped) {
		methods = append(methods, row.Method)
		if row.Method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// match yields the rows that a path fits, with the values of its variables.
func (t *Table) match(escaped string) iter.Seq2[tableRow, map[string]string] {
	return func(yield func(tableRow, map[string]string) bool) {
		segments := strings.Split(escaped, "/")
		if len(segments) >= len(t.byLength) {
			return
		}
		for _, row := range t.byLength[len(segments)] {
			if values, fits := row.fit(segments); fits && !yield(row, values) {
				return
			}
		}
	}
}

// fit compares segments as they were sent: a router could read an encoded literal either way. A variable is never
// empty, a step to another folder, or more than one segment.
func (row tableRow) fit(segments []string) (map[string]string, bool) {
	var values map[string]string
	for i, want := range row.segments {
		got := segments[i]
		if rank(want) == 0 {
			if got != want {
				return nil, false
			}
			continue
		}
		text, err := url.PathUnescape(got)
		if err != nil || text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/\\") {
			return nil, false
		}
		if values == nil {
			values = map[string]string{}
		}
		values[want] = text
	}
	return values, true
}
