package apidoc

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"stega/civil"
	"stega/events"
	"stega/rest"
	"stega/services/optimization"
)

type object = map[string]any

// schemas makes the JSON Schemas of Go types, and collects those of structs by their names.
type schemas struct {
	source  *source
	named   object
	types   map[string]reflect.Type
	request bool // of requests, in which only fields that a tag requires are required, and no other field is allowed
	strict  bool // no schema of an answer allows other fields
}

// names are those of types whose own name says too little outside of their package.
var names = map[string]string{
	"optimization.Request": "OptimizationRequest",
	"optimization.Summary": "OptimizationSummary",
	"optimization.Result":  "OptimizationResult",
	"optimization.Data":    "OptimizationData",
	"access.Entry":         "AuditEntry",
	"access.Made":          "CreatedToken",
	"access.Link":          "SignInLink",
	"process.LogLine":      "LogEntry",
}

// name returns the name of a type among the schemas.
func (s *schemas) name(t reflect.Type) string {
	if strings.HasPrefix(t.Name(), "List[") {
		field, _ := t.FieldByName("Items")
		return s.name(field.Type.Elem()) + "List"
	}
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	name := names[pkg+"."+t.Name()]
	if name == "" {
		name = strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	}
	if s.request && !strings.HasSuffix(name, "Request") {
		name += "Input"
	} else if !s.request && strings.HasSuffix(name, "Request") {
		name = strings.TrimSuffix(name, "Request") + "Settings"
	}
	return name
}

var decimalPattern = `^[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$`

// special returns the schema of a type that writes itself.
func (s *schemas) special(t reflect.Type) (object, bool) {
	number := object{"type": "number"}
	orNull := func(schema object) object { return object{"anyOf": []any{schema, object{"type": "null"}}} }
	exact := object{"type": "string", "pattern": decimalPattern, "description": "an exact decimal"}
	if s.request {
		exact = object{
			"type":        []string{"string", "number"},
			"pattern":     decimalPattern,
			"description": "an exact decimal",
		}
	}
	switch t {
	case reflect.TypeFor[civil.Date]():
		return object{"type": "string", "format": "date"}, true
	case reflect.TypeFor[decimal.Decimal]():
		return exact, true
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}, true
	case reflect.TypeFor[json.RawMessage]():
		return object{"description": "any JSON"}, true
	case reflect.TypeFor[events.Days]():
		return object{"type": "array", "items": object{"type": "string", "format": "date"}}, true
	case reflect.TypeFor[events.Column]():
		return object{"type": "array", "items": orNull(exact)}, true
	case reflect.TypeFor[events.Floats]():
		return object{"type": "array", "items": orNull(number)}, true
	case reflect.TypeFor[optimization.Range]():
		return object{
			"type":        "array",
			"items":       object{"type": []string{"number", "null"}},
			"minItems":    2,
			"maxItems":    2,
			"description": "lower and upper limit; null for none",
		}, true
	}
	if t.Kind() == reflect.Struct && t.NumField() == 1 && t.Field(0).Anonymous &&
		t.Field(0).Type == reflect.TypeFor[decimal.Decimal]() {
		return exact, true
	}
	return nil, false
}

// of returns the schema of a type.
func (s *schemas) of(t reflect.Type) any {
	if schema, ok := s.special(t); ok {
		return schema
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		if values := s.source.values(t); values != nil {
			return object{"type": "string", "enum": values}
		}
		return object{"type": "string"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.item(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.item(t.Elem())}
	case reflect.Struct:
		name := s.name(t)
		if before, there := s.types[name]; there && before != t {
			panic(fmt.Sprintf("two types have the name %s: %s and %s", name, before, t))
		} else if !there {
			s.types[name] = t
			s.named[name] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	default:
		return object{}
	}
}

// item returns the schema of an element, which may be null when it is a pointer.
func (s *schemas) item(t reflect.Type) any {
	if t.Kind() == reflect.Pointer {
		return nullable(s.of(t))
	}
	return s.of(t)
}

func nullable(schema any) any {
	return object{"anyOf": []any{schema, object{"type": "null"}}}
}

func (s *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.fields(t, properties, &required)
	o := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if s.request || s.strict {
		o["additionalProperties"] = false
	}
	if variants := variants(t); s.strict && len(variants) > 0 {
		o["oneOf"] = variants
	}
	return o
}

// variants returns a schema for each group of fields of which an answer has exactly one: those whose tag jsonschema has
// the same oneof_required.
func variants(t reflect.Type) []object {
	groups := map[string][]string{}
	for _, f := range reflect.VisibleFields(t) {
		for rule := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if group, ok := strings.CutPrefix(rule, "oneof_required="); ok {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				groups[group] = append(groups[group], name)
			}
		}
	}
	var list []object
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		list = append(list, object{"required": groups[group]})
	}
	return list
}

func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.fields(inner, properties, required)
			continue
		}
		if tag == "-" || tag == "" {
			continue
		}
		schema := s.of(f.Type)
		rules := strings.Split(f.Tag.Get("jsonschema"), ",")
		if o, plain := schema.(object); plain && o["$ref"] == nil {
			for _, rule := range rules {
				switch name, value, _ := strings.Cut(rule, "="); name {
				case "enum":
					values, _ := o["enum"].([]string)
					o["enum"] = append(values, value)
				case "format":
					o["format"] = value
				}
			}
		}
		omitted := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		nilable := f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Map
		if s.request {
			if strings.HasPrefix(f.Tag.Get("jsonschema"), "required") {
				*required = append(*required, tag)
			}
			if f.Type.Kind() == reflect.Pointer {
				schema = nullable(schema)
			}
		} else if !omitted {
			*required = append(*required, tag)
			if nilable {
				schema = nullable(schema)
			}
		}
		if about := s.source.comment(t, f.Name); about != "" {
			if o, ok := schema.(object); ok {
				o["description"] = about
			}
		}
		properties[tag] = schema
	}
}

// answer returns the schema of an answer or of a request, which is a value of its type or a rest.Schema.
func (s *schemas) answer(v any) any {
	switch v := v.(type) {
	case rest.Schema:
		o := object{}
		for name, value := range v {
			o[name] = s.answer(value)
		}
		if s.strict && o["properties"] != nil {
			o["additionalProperties"] = false
		}
		return o
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = s.answer(v[i])
		}
		return list
	case string, []string, bool, float64, int:
		return v
	}
	return s.of(reflect.TypeOf(v))
}
