package rest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"stega/civil"
	"stega/fault"
)

// List is one page of a list.
type List struct {
	Items      any    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// Page is which part of a list is asked for.
type Page struct {
	Limit int
	After string // the key of the last item of the page before; empty for the first page
}

// The bounds of a page.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Paged reads ?limit= and ?cursor=.
func Paged(c echo.Context) (Page, error) {
	p := Page{Limit: defaultLimit}
	if v := c.QueryParam("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return p, fault.Invalid("limit_invalid", "limit=%s is not a number from 1 to %d", v, maxLimit)
		}
		p.Limit = n
	}
	if v := c.QueryParam("cursor"); v != "" {
		b, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil || len(b) <= cursorSum || Cursor(string(b[cursorSum:])) != v {
			return p, fault.Invalid("cursor_invalid", "the cursor %.100q was not given out here", v).WithHint("take next_cursor of the page before")
		}
		p.After = string(b[cursorSum:])
	}
	return p, nil
}

// Flag reads a parameter that is true or false, the latter when it is not there.
func Flag(c echo.Context, name string) (bool, error) {
	switch v := c.QueryParam(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fault.Invalid("parameter_invalid", "%s=%.64s is neither true nor false", name, v).WithHint("say %s=true, or leave it out", name)
	}
}

// cursorSum is the size of the sum in a cursor, by which one that was made up or cut short is told.
const cursorSum = 4

// Cursor is what a page after a key is asked for with.
func Cursor(key string) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(key))), key...))
}

// Pages answers one page: items has up to one more than the limit, which says that another page follows. key is what
// identifies an item.
func Pages[T any](c echo.Context, p Page, items []T, key func(T) string) error {
	list := List{}
	if len(items) > p.Limit {
		items = items[:p.Limit]
		list.NextCursor = Cursor(key(items[p.Limit-1]))
	}
	if items == nil {
		items = []T{}
	}
	list.Items = items
	return c.JSON(http.StatusOK, list)
}

// Window is a range of days, both inclusive; nil is open.
type Window struct{ From, To *civil.Date }

// Windowed reads ?from= and ?to=.
func Windowed(c echo.Context) (Window, error) {
	var w Window
	for _, p := range []struct {
		name string
		day  **civil.Date
	}{{"from", &w.From}, {"to", &w.To}} {
		v := c.QueryParam(p.name)
		if v == "" {
			continue
		}
		d, err := civil.Parse(v)
		if err != nil {
			return w, fault.Invalid("date_invalid", "%s=%s is not a day", p.name, v).WithHint("days are written YYYY-MM-DD")
		}
		*p.day = &d
	}
	if w.From != nil && w.To != nil && *w.From > *w.To {
		return w, fault.Invalid("window_invalid", "from=%s is after to=%s", w.From, w.To).WithHint("exchange them")
	}
	return w, nil
}

// Known refuses query parameters that are not among the names, so that a misspelt one is not passed over, and those
// that are there twice.
func Known(c echo.Context, names ...string) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return fault.Malformed("query_malformed", "the query of the URL cannot be read: %s", err).WithHint("parameters are separated by & and escaped, such as %%26 for &")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return fault.Invalid("parameter_repeated", "the parameter %s is there %d times", name, len(query[name])).WithHint("say it once")
		}
		if value := query[name][0]; !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return fault.Invalid("parameter_invalid", "the parameter %.64q has a character that cannot be", name).WithHint("send UTF-8 without control characters")
		}
		if !slices.Contains(names, name) {
			hint := "this path has no parameters"
			if len(names) > 0 {
				hint = "the parameters are " + strings.Join(names, ", ")
			}
			return fault.Invalid("parameter_unknown", "there is no parameter %q", name).WithHint("%s", hint)
		}
	}
	return nil
}

// Tag is the entity tag of a version.
func Tag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// IfMatch reads the version that If-Match names; 0 when there is none or it is *. What an entity tag has behind the
// version and a hyphen tells answers apart, and not versions.
func IfMatch(c echo.Context) (int64, error) {
	v := strings.TrimSpace(c.Request().Header.Get("If-Match"))
	if v == "" || v == "*" {
		return 0, nil
	}
	tag := strings.TrimPrefix(v, "W/")
	digits, rest, longer := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(tag, `"`), `"`), "-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if longer {
		_, bad := strconv.ParseInt(rest, 10, 64)
		err = errors.Join(err, bad)
		tag = strings.Replace(tag, "-"+rest, "", 1)
	}
	if err != nil || n < 1 || tag != Tag(n) {
		return 0, fault.Malformed("if_match_malformed", "If-Match: %s is not a version", v).
			WithHint(`send the ETag of the last read, such as If-Match: "3"`)
	}
	return n, nil
}

// Unchanged sets the ETag of an answer, and reports whether the client has it.
func Unchanged(c echo.Context, tag string) bool {
	c.Response().Header().Set("ETag", tag)
	return Matches(c, tag)
}

// Matches reports whether the client has the answer with a tag. It sets no ETag, for an answer that may still fail.
func Matches(c echo.Context, tag string) bool { return has(c.Request(), tag) }
