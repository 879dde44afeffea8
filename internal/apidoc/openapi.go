// Package apidoc writes the descriptions of the interfaces: OpenAPI from the HTTP routes, and AsyncAPI from the
// catalogue of events. Only tests use it, which compare what it writes with what is committed.
package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stega/api"
	"stega/fault"
	"stega/rest"
	"stega/services/boundary"
)

var (
	verbs    = regexp.MustCompile(`%[-+# 0]*[0-9]*(\.[0-9]+)?[a-z]`)
	variable = regexp.MustCompile(`\{([a-z]+)\}`)
)

var variables = map[string]string{
	"id":      "id of the entity",
	"symbol":  "symbol, such as AAPL",
	"service": "name of a service",
	"topic":   "topic of an event",
}

// OpenAPI returns the OpenAPI 3.1 document of routes. root is the folder of the source, of which it takes the comments.
// A strict document refuses fields of answers that it does not have; clients take the other, for fields may be added.
func OpenAPI(routes []rest.Route, root string, strict bool) ([]byte, error) {
	src, err := read(root)
	if err != nil {
		return nil, err
	}
	s := &schemas{source: src, named: object{}, types: map[string]reflect.Type{}, strict: strict}
	problem := s.of(reflect.TypeFor[api.Problem]())
	paths := object{}
	for _, r := range routes {
		item, _ := paths[r.Path].(object)
		if item == nil {
			item = object{}
			paths[r.Path] = item
		}
		item[strings.ToLower(r.Method)] = s.operation(r)
	}
	return write(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "stega", "version": "1", "license": object{"name": "MIT"},
			"description": "Portfolios, prices, returns, correlations and optimal weights. A write answers 202 with " +
				"an operation, of which GET /v1/operations/{id} shows the outcome.",
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": s.named,
			"securitySchemes": object{"token": object{
				"type":        "http",
				"scheme":      "bearer",
				"description": "a token of stega; its scope is read, write or admin",
			}},
			"responses": object{"Problem": object{
				"description": "The request failed. The codes are listed in docs/errors.md.",
				"content":     object{"application/problem+json": object{"schema": problem}},
			}},
		},
	})
}

// write encodes a document in one form: its keys are ordered.
func write(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

func (s *schemas) operation(r rest.Route) object {
	tag := strings.Split(strings.TrimPrefix(r.Path, "/v1/"), "/")[0]
	if !strings.HasPrefix(r.Path, "/v1/") {
		tag = "server"
	}
	o := object{
		"operationId": r.Name,
		"summary":     r.Summary,
		"tags":        []string{tag},
		"parameters":  s.parameters(r),
		"responses":   s.responses(r),
	}
	if r.Scope == rest.ScopeOpen {
		o["security"] = []any{}
	} else {
		o["security"] = []any{object{"token": []string{string(r.Scope)}}}
	}
	if r.Takes != "" {
		o["requestBody"] = object{
			"required": true,
			"content":  object{r.Takes: object{"schema": object{"type": "string"}}},
		}
	} else if r.Body != nil {
		s.request = true
		schema := s.answer(r.Body)
		s.request = false
		o["requestBody"] = object{
			"required": !r.BodyOptional,
			"content":  object{"application/json": object{"schema": schema}},
		}
	}
	return o
}

func (s *schemas) parameters(r rest.Route) []any {
	list := []any{}
	for _, m := range variable.FindAllStringSubmatch(r.Path, -1) {
		list = append(list, object{
			"name":        m[1],
			"in":          "path",
			"required":    true,
			"description": variables[m[1]],
			"schema":      object{"type": "string"},
		})
	}
	for _, q := range r.Query {
		p := object{"name": q.Name, "in": "query", "description": q.About, "schema": parameter(q)}
		if q.Required {
			p["required"] = true
		}
		list = append(list, p)
	}
	header := func(name, about string, schema object) {
		list = append(list, object{"name": name, "in": "header", "description": about, "schema": schema})
	}
	text := object{"type": "string"}
	switch _, accepted := r.Answer.(api.Accepted); {
	case accepted:
		header("Operation-Id", "a UUIDv7 that makes the write safe to repeat",
			object{"type": "string", "format": "uuid"})
		header("Prefer", "wait=N waits up to N seconds for the outcome; wait=N, settled for all that follows from it",
			text)
	case r.Method == http.MethodGet && strings.HasPrefix(r.Path, "/v1/") && r.Gives == "":
		list = append(list, object{
			"name":        "after",
			"in":          "query",
			"description": "id of an operation whose effects the answer must show",
			"schema":      object{"type": "string", "format": "uuid"},
		})
		header("If-None-Match", "ETag of an answer that the client has", text)
	}
	if r.IfMatch {
		header("If-Match", "ETag of the version to change", text)
	}
	return list
}

func parameter(q rest.Param) object {
	o := object{"type": "string"}
	switch q.Type {
	case rest.Text:
	case rest.Integer, rest.Number, rest.Boolean:
		o["type"] = string(q.Type)
	case rest.Day:
		o["format"] = "date"
	}
	if q.Values != nil {
		o["enum"] = q.Values
	}
	if q.Default != nil {
		o["default"] = q.Default
	}
	if q.Min != 0 || q.Max != 0 {
		low, high := "minimum", "maximum"
		if q.MinOpen {
			low = "exclusiveMinimum"
		}
		if q.MaxOpen {
			high = "exclusiveMaximum"
		}
		o[low], o[high] = q.Min, q.Max
	}
	return o
}

func (s *schemas) responses(r rest.Route) object {
	status := r.Status
	if status == 0 {
		status = http.StatusOK
	}
	all := object{"default": object{"$ref": "#/components/responses/Problem"}}
	content := func(schema any) object {
		media := r.Gives
		if media == "" {
			media = "application/json"
		}
		return object{media: object{"schema": schema}}
	}
	answer := object{"description": http.StatusText(status)}
	if _, accepted := r.Answer.(api.Accepted); accepted {
		answer["content"] = content(object{"anyOf": []any{
			// that of a service, and that of the ledger
			s.of(reflect.TypeFor[rest.Ended]()), s.of(reflect.TypeFor[boundary.Operation]()),
		}})
		answer["description"] = "The outcome, when the request prefers to wait for it"
		all[strconv.Itoa(http.StatusAccepted)] = object{
			"description": "Accepted",
			"content":     content(s.answer(r.Answer)),
		}
	} else if r.Answer != nil {
		answer["content"] = content(s.answer(r.Answer))
	} else if r.Gives != "" {
		answer["content"] = content(object{"type": "string"})
	}
	all[strconv.Itoa(status)] = answer
	if r.Method == http.MethodGet && strings.HasPrefix(r.Path, "/v1/") && r.Gives == "" {
		all["304"] = object{"description": "The client has the answer"}
	}
	if r.Path == "/login" {
		all["401"] = object{"description": "The link is not valid", "content": content(object{"type": "string"})}
	}
	if r.Path == "/readyz" {
		all["503"] = object{"description": "The process is not ready", "content": content(s.answer(r.Answer))}
	}
	return all
}

// Errors returns the page of all error codes.
func Errors(root string) (string, error) {
	src, err := read(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Error codes\n\nThe `code` of a problem, its HTTP status, and what it means; … stands for what " +
		"varies. This page is\n" +
		"generated: `go test ./docs -update`.\n\n| code | status | meaning |\n| --- | --- | --- |\n")
	var codes []string
	for code := range src.codes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		c := src.codes[code]
		status := statusOf(c.Constructor)
		if code == "method_not_allowed" {
			status = http.StatusMethodNotAllowed
		}
		if status == 0 {
			continue
		}
		_, _ = fmt.Fprintf(&b, "| `%s` | %d | %s |\n", code, status, strings.ReplaceAll(c.Detail, "|", `\|`))
	}
	return b.String(), nil
}

// statusOf returns the HTTP status of a constructor of faults, or of a kind; 0 for those of the command line.
func statusOf(constructor string) int {
	word := strings.TrimPrefix(constructor, "Kind")
	var name strings.Builder
	for i, c := range word {
		if i > 0 && c >= 'A' && c <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(c | 0x20)
	}
	kind := fault.Kind(name.String())
	if !kind.Known() || kind == fault.KindUsage {
		return 0
	}
	return kind.Status()
}
