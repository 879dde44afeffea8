package access

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/rest"
)

// Made is the answer to who made a token: the only time that it is told.
type Made struct {
	Token
	Text string `json:"token"`
}

func (a *Access) me(c echo.Context) error {
	caller, _ := From(c.Request().Context())
	return c.JSON(http.StatusOK, caller)
}

func (a *Access) revokeToken(c echo.Context) error {
	ctx := c.Request().Context()
	token, err := a.tokens.revoke(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	note(ctx, made{token.ID, token.Name, token.Scope, token.ExpiresAt})
	return c.NoContent(http.StatusNoContent)
}

// TokenRequest is the body of a request that creates a token.
type TokenRequest struct {
	Name      string `json:"name" jsonschema:"required"`
	Scope     Scope  `json:"scope" jsonschema:"required"`
	ExpiresIn string `json:"expires_in"` // such as 90d, 12h or 30m; a token without it does not expire
}

func (a *Access) createToken(c echo.Context) error {
	var b TokenRequest
	if _, err := rest.Body(c, &b); err != nil {
		return err
	}
	expires, err := duration(b.ExpiresIn)
	if err != nil {
		return err
	}
	token, text, err := a.tokens.create(c.Request().Context(), b.Name, b.Scope, expires)
	if err != nil {
		return err
	}
	note(c.Request().Context(), made{token.ID, token.Name, token.Scope, token.ExpiresAt})
	return c.JSON(http.StatusCreated, Made{token, text})
}

// made is what the audit has of a token or a link.
type made struct {
	ID      string     `json:"id,omitempty"`
	Name    string     `json:"name,omitempty"`
	Scope   Scope      `json:"scope"`
	Expires *time.Time `json:"expires_at,omitempty"`
}

// Link is the answer to POST /v1/links.
type Link struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// LinkRequest is the body of a request that creates a link. It may be left out.
type LinkRequest struct {
	Scope Scope `json:"scope"` // of the session; that of the caller's token when it is left out
}

func (a *Access) createLink(c echo.Context) error {
	var b LinkRequest
	if c.Request().ContentLength != 0 {
		if _, err := rest.Body(c, &b); err != nil {
			return err
		}
	}
	ctx := c.Request().Context()
	caller, _ := From(ctx)
	scope, err := linkScope(caller, b.Scope)
	if err != nil {
		return err
	}
	code, expires, err := a.tokens.newLink(ctx, caller.Token, scope)
	if err != nil {
		return err
	}
	note(ctx, made{Scope: scope, Expires: &expires})
	at := url.URL{Scheme: "http", Host: c.Request().Host, Path: "/login", RawQuery: "code=" + code}
	if a.secure(c.Request()) {
		at.Scheme = "https"
	}
	return c.JSON(http.StatusCreated, Link{at.String(), expires.UTC()})
}

// maxExpiry keeps times in the range that everything can show.
const maxExpiry = 100 * 365 * 24 * time.Hour

// duration reads how long a token is good for: 90d, 12h, 30m; nothing is for ever, as 0.
func duration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > maxExpiry {
		return 0, fault.Invalid("expiry_invalid", "%.40q is not how long a token can be good for", s).
			With(fault.Item{Pointer: "/expires_in", Detail: "is not a time"}).
			WithHint("say 90d, 12h or 30m; leave it out for a token that does not expire")
	}
	return d, nil
}

func (a *Access) listTokens(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	list, err := a.tokens.list(c.Request().Context(), page.Limit+1, page.After)
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(t Token) string { return t.ID })
}

func (a *Access) listAudit(c echo.Context) error {
	page, err := rest.Paged(c)
	if err != nil {
		return err
	}
	list, err := a.audit.list(c.Request().Context(), page.Limit+1, page.After, rest.Arg[string](c,
		"token"), strings.ToLower(rest.Arg[string](c, "operation")))
	if err != nil {
		return err
	}
	return rest.Pages(c, page, list, func(e Entry) string { return e.ID })
}
