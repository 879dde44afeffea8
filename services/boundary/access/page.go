package access

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/events"
	"stega/fault"
	"stega/rest"
)

// pagePolicy is the policy of pages: they load nothing, send no forms, and run nothing.
const pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>stega</title>
<h1>stega</h1>
{{if .Problem}}<p>{{.Problem}}.</p>
{{end}}{{if .Name}}<p>You are signed in with the token <b>{{.Name}}</b>, scope {{.Scope}}.</p>
{{else}}<p>Sign in: run <code>stega open</code> where your token is, and follow the link that it prints.</p>
{{end}}`))

// show writes the page for a caller, or with what went wrong.
func (a *Access) show(c echo.Context, status int, caller Caller, problem string) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set(echo.HeaderContentType, "text/html; charset=utf-8")
	c.Response().WriteHeader(status)
	return page.Execute(c.Response(), struct {
		Problem, Name string
		Scope         Scope
	}{problem, caller.Name, caller.Scope})
}

func (a *Access) start(c echo.Context) error {
	caller, _ := From(c.Request().Context())
	return a.show(c, http.StatusOK, caller, "")
}

// login trades the code of a one-time link for the cookie of a session. What only looks ahead, or comes from a page
// of another site, does not use the code up.
func (a *Access) login(c echo.Context) error {
	r := c.Request()
	site := r.Header.Get("Sec-Fetch-Site")
	if strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") || site != "" && site != "none" &&
		site != "same-origin" {
		return a.show(c, http.StatusForbidden, Caller{},
			"Open the link from the address bar: it does not work from another page")
	}
	session, token, err := a.tokens.signIn(r.Context(), r.URL.Query().Get("code"))
	if f := fault.Of(err); err != nil && f.Kind == fault.KindUnauthorized {
		return a.show(c, http.StatusUnauthorized, Caller{}, "The link was used, has expired, or is none of this server")
	}
	if err != nil {
		return err
	}
	a.audit.add(Entry{
		ID: events.NewID(), At: a.now().UTC(), TokenID: token.ID, Who: token.Name, Remote: a.client(r).String(),
		Method: r.Method, Path: "/login",
		Command: "session.create", Status: http.StatusSeeOther, Requests: 1, Detail: detail(made{Scope: token.Scope}),
	})
	http.SetCookie(c.Response(), &http.Cookie{ //nolint:gosec // Secure whenever the server is reached over TLS
		Name:     a.cookie(r),
		Value:    session,
		Path:     "/",
		MaxAge:   int(sessionLife.Seconds()),
		HttpOnly: true,
		Secure:   a.secure(r),
		SameSite: http.SameSiteStrictMode,
	})
	return c.Redirect(http.StatusSeeOther, "/")
}

// logout ends the session of a browser, and all that it has under way.
func (a *Access) logout(c echo.Context) error {
	r := c.Request()
	caller, _ := From(r.Context())
	cookie, err := r.Cookie(a.cookie(r))
	if caller.Via != ViaLink || err != nil {
		return fault.NotFound("session_unknown", "this request has no session to end").
			WithHint("end a token with: stega token revoke")
	}
	a.clearCookie(c)
	hash, _ := hashOfRandom(cookie.Value)
	if err := a.tokens.signOut(r.Context(), caller.Token, hash); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// clearCookie removes the cookie of the session from a browser.
func (a *Access) clearCookie(c echo.Context) {
	r := c.Request()
	http.SetCookie(c.Response(), &http.Cookie{ //nolint:gosec // Secure whenever the server is reached over TLS
		Name:     a.cookie(r),
		Path:     "/",
		MaxAge:   -1,
		HttpOnly: true,
		Secure:   a.secure(r),
		SameSite: http.SameSiteStrictMode,
	})
}

// notHead refuses HEAD for the one-time link: it would use the code up unseen.
func notHead(w http.ResponseWriter, r *http.Request, route route) bool {
	if r.Method != http.MethodHead || route.Path != "/login" {
		return false
	}
	rest.NotAllowed(w, r, http.MethodGet)
	return true
}
