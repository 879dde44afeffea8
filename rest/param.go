package rest

import (
	"fmt"
	"maps"
	"math"
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

// ParamType is the type of a query parameter's value.
type ParamType string

// The types. Text is any text, or one of Param.Values.
const (
	Text    ParamType = ""        // string
	Integer ParamType = "integer" // int
	Number  ParamType = "number"  // float64
	Boolean ParamType = "boolean" // bool
	Day     ParamType = "day"     // civil.Date
)

// Param is a query parameter of a route: how it is documented, checked and read.
type Param struct {
	Name     string
	About    string // what it is, for the document
	Type     ParamType
	Values   []string // the texts that it can be; nil: any
	Default  any      // value of a request without it, of the Go type of Type; nil: none
	Min, Max float64  // of an Integer, or of a Number when one of them is not 0
	MinOpen  bool     // Min itself is outside
	MaxOpen  bool     // Max itself is outside
	Required bool     // for the document; the handler refuses a request without it
	Code     string   // of the fault of a wrong value; parameter_invalid when empty
	Hint     string   // of that fault
}

// OneOf returns a parameter that is one of some texts, the first when it is left out.
func OneOf[T ~string](name, about string, values ...T) Param {
	p := Param{Name: name, About: about, Default: string(values[0])}
	for _, v := range values {
		p.Values = append(p.Values, string(v))
	}
	return p
}

const argumentsKey = "stega.arguments"

// Arg returns the value of a query parameter, its default when the request has none, and else the zero value. The
// route of the request declares the parameter.
func Arg[T any](c echo.Context, name string) T {
	value, declared := c.Get(argumentsKey).(map[string]any)[name]
	if !declared {
		panic(fmt.Sprintf("the route %s does not declare the parameter %q", c.Path(), name))
	}
	v, _ := value.(T)
	return v
}

// ArgOr returns the value of a query parameter, and a default when the request has none or its route does not declare
// it.
func ArgOr[T any](c echo.Context, name string, otherwise T) T {
	if v, given := c.Get(argumentsKey).(map[string]any)[name].(T); given {
		return v
	}
	return otherwise
}

// Word returns the value of a text parameter as a named type.
func Word[T ~string](c echo.Context, name string) T { return T(Arg[string](c, name)) }

// arguments returns the values of a request's query parameters. It refuses parameters that are not declared, so that
// a misspelt one is not ignored, and those that are repeated.
func arguments(c echo.Context, params []Param) (map[string]any, error) {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, fault.Malformed("query_malformed", "the query of the URL cannot be read: %s", err).
			WithHint("separate parameters by & and escape their values, such as %%26 for &")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if err := declared(name, query[name], params); err != nil {
			return nil, err
		}
	}
	values := make(map[string]any, len(params))
	for _, p := range params {
		values[p.Name] = p.Default
		if text := query.Get(p.Name); text != "" {
			if values[p.Name], err = p.parse(text); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}

// declared checks one parameter of a query.
func declared(name string, values []string, params []Param) error {
	if len(values) > 1 {
		return fault.Invalid("parameter_repeated", "the parameter %s is given %d times", name, len(values)).
			WithHint("give it once")
	}
	if !utf8.ValidString(values[0]) || strings.ContainsFunc(values[0], unicode.IsControl) {
		return fault.Invalid("parameter_invalid", "the parameter %.64q has a character that is not allowed", name).
			WithHint("send UTF-8 without control characters")
	}
	if slices.ContainsFunc(params, func(p Param) bool { return p.Name == name }) {
		return nil
	}
	hint := "this path has no parameters"
	if len(params) > 0 {
		names := make([]string, len(params))
		for i, p := range params {
			names[i] = p.Name
		}
		hint = "the parameters are " + strings.Join(names, ", ")
	}
	return fault.Invalid("parameter_unknown", "there is no parameter %q", name).WithHint("%s", hint)
}

// parse returns the value of a text that is not empty.
func (p Param) parse(text string) (any, error) {
	switch p.Type {
	case Integer:
		if n, err := strconv.Atoi(text); err == nil && p.within(float64(n)) {
			return n, nil
		}
	case Number:
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) && p.within(v) {
			return v, nil
		}
	case Boolean:
		if text == "true" || text == "false" {
			return text == "true", nil
		}
	case Day:
		if d, err := civil.Parse(text); err == nil {
			return d, nil
		}
	default:
		if p.Values == nil || slices.Contains(p.Values, text) {
			return text, nil
		}
	}
	code := p.Code
	if code == "" {
		code = "parameter_invalid"
	}
	f := fault.Invalid(code, "%s=%.64s is not %s", p.Name, text, p.kind())
	switch {
	case p.Hint != "":
		return nil, f.WithHint("%s", p.Hint)
	case p.Values != nil:
		return nil, f.WithHint("%s is one of %s", p.Name, strings.Join(p.Values, ", "))
	case p.Default != nil:
		return nil, f.WithHint("leave %s out for %v", p.Name, p.Default)
	}
	return nil, f
}

// bounded reports whether a number has bounds.
func (p Param) bounded() bool { return p.Min != 0 || p.Max != 0 }

func (p Param) within(v float64) bool {
	if !p.bounded() {
		return true
	}
	if p.MinOpen && v == p.Min || p.MaxOpen && v == p.Max {
		return false
	}
	return v >= p.Min && v <= p.Max
}

// kind names the values that a parameter takes, for the fault of a wrong one.
func (p Param) kind() string {
	number := map[ParamType]string{Integer: "a whole number", Number: "a number"}[p.Type]
	switch {
	case number != "" && !p.bounded():
		return number
	case number != "" && p.MinOpen && p.MaxOpen:
		return fmt.Sprintf("%s between %v and %v", number, p.Min, p.Max)
	case number != "" && p.MinOpen:
		return fmt.Sprintf("%s above %v and up to %v", number, p.Min, p.Max)
	case number != "":
		return fmt.Sprintf("%s from %v to %v", number, p.Min, p.Max)
	case p.Type == Boolean:
		return "true or false"
	case p.Type == Day:
		return "a day"
	}
	return "known"
}
