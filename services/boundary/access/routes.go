package access

import (
	"net/http"
	"strings"

	"stega/api"
	"stega/rest"
)

// route is the route of a request. One that no table has is not known, and requires the scope admin.
type route struct {
	rest.Route
	known bool
}

// find returns the route of a request, its command filled in from the path.
func find(t *rest.Table, method, escaped string) route {
	r, variables, found := t.Find(method, escaped)
	if !found {
		return route{Route: rest.Route{Method: method, Path: escaped, Scope: Admin}}
	}
	for name, value := range variables {
		r.Command = strings.ReplaceAll(r.Command, name, value)
	}
	return route{r, true}
}

// makesToken reports whether a route requires a token whatever Options.Local is: what it makes outlives that setting.
func (r route) makesToken() bool {
	return r.Method == http.MethodPost && (r.Path == "/v1/tokens" || r.Path == "/v1/links")
}

// limited reports whether requests to an open route count against the limit of their address. Health checks do not.
func (r route) limited() bool { return r.Path != "/healthz" && r.Path != "/readyz" }

// differs reports whether an open route answers more to a caller that is known.
func (r route) differs() bool { return r.Path == "/" || r.Path == "/readyz" }

// recorded reports whether the audit has requests of a route: writes, and reads of tokens, the audit and dead letters.
func (r route) recorded() bool { return !safe(r.Method) || r.Scope == Admin && r.known }

// Routes returns the HTTP routes of tokens, links, sessions and the audit, and the pages of a browser.
func (a *Access) Routes() []rest.Route {
	return []rest.Route{
		{
			Name:     "start",
			Method:   http.MethodGet,
			Path:     "/",
			Scope:    Open,
			Summary:  "Show the start page",
			RawQuery: true,
			Gives:    html,
			Handler:  a.start,
		},
		{
			Name:     "login",
			Method:   http.MethodGet,
			Path:     "/login",
			Scope:    Open,
			Summary:  "Sign a browser in by a one-time link",
			RawQuery: true,
			Query:    []rest.Param{{Name: "code", About: "code of the link", Required: true}},
			Gives:    html,
			Status:   http.StatusSeeOther,
			Handler:  a.login,
		},
		{
			Name: "logout", Method: http.MethodPost, Path: "/v1/logout", Scope: Read, Command: "session.delete",
			Summary: "End the session of a browser", Status: http.StatusNoContent, Handler: a.logout,
		},
		{
			Name:    "proveServer",
			Method:  http.MethodPost,
			Path:    "/v1/proof",
			Scope:   Open,
			Summary: "Prove that the server has the token file",
			Body:    Challenge{},
			Answer:  Proof{},
			Handler: a.prove,
		},
		{
			Name:    "getCaller",
			Method:  http.MethodGet,
			Path:    "/v1/me",
			Scope:   Read,
			Summary: "Show the caller of the request",
			Answer:  Caller{},
			Handler: a.me,
		},
		{
			Name:         "createLink",
			Method:       http.MethodPost,
			Path:         "/v1/links",
			Scope:        Read,
			Command:      "link.create",
			Summary:      "Create a one-time link that signs a browser in",
			Body:         LinkRequest{},
			BodyOptional: true,
			Answer:       Link{},
			Status:       http.StatusCreated,
			Handler:      a.createLink,
		},
		{
			Name: "listTokens", Method: http.MethodGet, Path: "/v1/tokens", Scope: Admin, Summary: "List tokens",
			Query: rest.Paging(), Answer: api.List[Token]{}, Handler: a.listTokens,
		},
		{
			Name:    "createToken",
			Method:  http.MethodPost,
			Path:    "/v1/tokens",
			Scope:   Admin,
			Command: "token.create",
			Summary: "Create a token, whose text only this answer has",
			Body:    TokenRequest{},
			Answer:  Made{},
			Status:  http.StatusCreated,
			Handler: a.createToken,
		},
		{
			Name:    "revokeToken",
			Method:  http.MethodDelete,
			Path:    "/v1/tokens/{id}",
			Scope:   Admin,
			Command: "token.revoke",
			Summary: "Revoke a token",
			Status:  http.StatusNoContent,
			Handler: a.revokeToken,
		},
		{
			Name:    "listAudit",
			Method:  http.MethodGet,
			Path:    "/v1/audit",
			Scope:   Admin,
			Summary: "List the audited requests, the newest first",
			Query: rest.Paging(
				rest.Param{Name: "token", About: "id of the token that sent the requests"},
				rest.Param{Name: "operation", About: "id of the operation that a request became"},
			),
			Answer: api.List[Entry]{}, Handler: a.listAudit,
		},
	}
}

const html = "text/html"
