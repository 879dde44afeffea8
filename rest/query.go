package rest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/civil"
	"stega/fault"
)

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

// Paging returns the parameters of a list that has pages, followed by others.
func Paging(others ...Param) []Param {
	return append([]Param{
		{Name: "limit", About: "number of items of a page", Type: Integer, Default: defaultLimit, Min: 1, Max: maxLimit,
			Code: "limit_invalid"},
		{Name: "cursor", About: "next_cursor of the page before"},
	}, others...)
}

// Paged reads the page that a request asks for. Its route has the parameters of Paging.
func Paged(c echo.Context) (Page, error) {
	p := Page{Limit: Arg[int](c, "limit")}
	if v := Arg[string](c, "cursor"); v != "" {
		b, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil || len(b) <= cursorSum || Cursor(string(b[cursorSum:])) != v {
			return p, fault.Invalid("cursor_invalid", "the cursor %.100q was not issued here", v).
				WithHint("take next_cursor of the page before")
		}
		p.After = string(b[cursorSum:])
	}
	return p, nil
}

// cursorSum is the size of the sum in a cursor, by which one that was made up or cut short is told.
const cursorSum = 4

// Cursor is what a page after a key is asked for with.
func Cursor(key string) string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil,
		crc32.ChecksumIEEE([]byte(key))),
		key...))
}

// Pages answers one page. items has up to one more than the limit, which shows that another page follows. key returns
// what identifies an item.
func Pages[T any](c echo.Context, p Page, items []T, key func(T) string) error {
	list := api.List[T]{}
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

// Windowing returns the parameters of a range of days, followed by others.
func Windowing(others ...Param) []Param {
	hint := "days are written YYYY-MM-DD"
	return append([]Param{
		{Name: "from", About: "first day", Type: Day, Code: "date_invalid", Hint: hint},
		{Name: "to", About: "last day", Type: Day, Code: "date_invalid", Hint: hint},
	}, others...)
}

// Windowed reads the range of days that a request asks for. Its route has the parameters of Windowing.
func Windowed(c echo.Context) (Window, error) {
	var w Window
	for name, day := range map[string]**civil.Date{"from": &w.From, "to": &w.To} {
		if d, given := Arg[any](c, name).(civil.Date); given {
			*day = &d
		}
	}
	if w.From != nil && w.To != nil && *w.From > *w.To {
		return w, fault.Invalid("window_invalid", "from=%s is after to=%s", w.From, w.To).WithHint("exchange them")
	}
	return w, nil
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
