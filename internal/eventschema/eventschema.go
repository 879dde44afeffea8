// Package eventschema makes the JSON Schemas of events. It is apart from package events so that clients, which need the
// events, link no library for schemas.
package eventschema

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/govalues/decimal"
	"github.com/invopop/jsonschema"

	"stega/civil"
	"stega/events"
)

// Of returns the JSON Schema of an event's data.
func Of(t events.Type) ([]byte, error) {
	r := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Anonymous: true, Mapper: wireForm}
	s := r.ReflectFromType(reflect.TypeOf(t.New()).Elem())
	s.Title, s.Description = t.Topic, t.Summary
	return json.MarshalIndent(s, "", "  ")
}

// wireForm returns the schema of a type that encodes itself; nil for any other.
func wireForm(t reflect.Type) *jsonschema.Schema {
	exact := &jsonschema.Schema{Type: "string", Pattern: `^-?[0-9]+(\.[0-9]+)?$`,
		Description: "an exact decimal; a number is accepted too"}
	day := &jsonschema.Schema{Type: "string", Format: "date"}
	switch t {
	case reflect.TypeFor[civil.Date]():
		return day
	case reflect.TypeFor[decimal.Decimal]():
		return exact
	case reflect.TypeFor[events.Days]():
		return &jsonschema.Schema{Type: "array", Items: day, Description: "rising"}
	case reflect.TypeFor[events.Column]():
		return &jsonschema.Schema{
			Type: "array", Items: &jsonschema.Schema{OneOf: []*jsonschema.Schema{exact, {Type: "null"}}},
			Description: "one value for each date",
		}
	case reflect.TypeFor[events.Floats]():
		return &jsonschema.Schema{
			Type: "array", Items: &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "null"}}},
			Description: "one value for each date",
		}
	case reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	}
	return nil
}
