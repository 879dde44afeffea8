package rest

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"stega/fault"
)

// Decode reads JSON strictly; see Body.
func Decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fault.Malformed("json_malformed", "there is nothing where JSON should be").WithHint("send a JSON object")
	}
	if !json.Valid(body) {
		var any any
		return malformed(body, json.Unmarshal(body, &any))
	}
	if i := firstInvalid(body); i >= 0 {
		return fault.Malformed("json_malformed", "the text is not UTF-8: byte %d is 0x%02x", i+1, body[i]).
			With(fault.Item{Line: lineOf(body, i), Detail: "is not UTF-8"})
	}
	check := strict{json.NewDecoder(bytes.NewReader(body))}
	if f := check.value(reflect.TypeOf(v).Elem(), ""); f != nil {
		return f
	}
	if err := json.Unmarshal(body, v); err != nil {
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			return f
		}
		return fault.Invalid("body_invalid", "the JSON does not fit: %s", err)
	}
	return nil
}

func malformed(body []byte, err error) error {
	f := fault.Malformed("json_malformed", "this is not JSON: %s", err)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		f.Detail += fmt.Sprintf(", at byte %d", e.Offset)
		return f.With(fault.Item{Line: lineOf(body, int(e.Offset)), Detail: e.Error()})
	}
	return f
}

// firstInvalid is where a text stops being UTF-8; -1 when it does not.
func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func lineOf(body []byte, at int) int { return 1 + bytes.Count(body[:min(at, len(body))], []byte("\n")) }

// strict walks JSON that is well formed beside the type that it is for, and says what does not fit, and where.
type strict struct{ dec *json.Decoder }

// value checks the next value; without a type, only that no field is there twice.
func (s strict) value(t reflect.Type, at string) *fault.Fault {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && leaf(t) {
		return s.leaf(t, at)
	}
	token, err := s.dec.Token()
	if err != nil {
		return unfit(at, err.Error())
	}
	switch token {
	case json.Delim('{'):
		return s.object(t, at)
	case json.Delim('['):
		return s.array(t, at)
	case nil:
		return nil // leaves what is there as it is
	}
	if t != nil {
		return unfit(at, "cannot be "+kindOf(token))
	}
	return nil
}

// leaf reports whether a type reads its JSON by itself or has no parts.
func leaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	if p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map
}

func (s strict) leaf(t reflect.Type, at string) *fault.Fault {
	var raw json.RawMessage
	if err := s.dec.Decode(&raw); err != nil {
		return unfit(at, err.Error())
	}
	if raw[0] == '{' || raw[0] == '[' {
		if f := (strict{json.NewDecoder(bytes.NewReader(raw))}).value(nil, at); f != nil {
			return f
		}
	}
	err := json.Unmarshal(raw, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, number := strings.Cut(e.Value, "number ")
		if number {
			return unfit(at, "cannot be "+shorten(raw))
		}
		return unfit(at, "cannot be "+article(value))
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok { // a type that says what is wrong
		return unfit(at, f.Detail)
	}
	const shown = 60
	if len(raw) <= shown && raw[0] != '{' && raw[0] != '[' {
		return unfit(at, "cannot be "+string(raw))
	}
	return unfit(at, "does not fit: "+err.Error())
}

func shorten(raw []byte) string { return fmt.Sprintf("%.40s", raw) }

// object checks the fields of an object whose beginning was read.
func (s strict) object(t reflect.Type, at string) *fault.Fault {
	var fields map[string]reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct:
		fields = fieldsOf(t)
	case t.Kind() == reflect.Map:
		t = t.Elem()
	default:
		return unfit(at, "cannot be an object")
	}
	seen := map[string]bool{}
	for s.dec.More() {
		key, err := s.dec.Token()
		if err != nil {
			return unfit(at, err.Error())
		}
		name := fmt.Sprint(key)
		pointer := at + "/" + escaped.Replace(name)
		if seen[name] {
			return fault.Invalid("field_repeated", "the field %s is there twice", pointer).With(fault.Item{Pointer: pointer, Detail: "is there twice"})
		}
		seen[name] = true
		of := t
		if fields != nil {
			var known bool
			if of, known = fields[name]; !known {
				return fault.Invalid("field_unknown", "there is no field %s", pointer).With(fault.Item{Pointer: pointer, Detail: "is not known"}).
					WithHint("check the spelling; known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			}
		}
		if f := s.value(of, pointer); f != nil {
			return f
		}
	}
	return s.end(at)
}

func (s strict) array(t reflect.Type, at string) *fault.Fault {
	if t != nil {
		if t.Kind() != reflect.Slice {
			return unfit(at, "cannot be an array")
		}
		t = t.Elem()
	}
	for i := 0; s.dec.More(); i++ {
		if f := s.value(t, fmt.Sprintf("%s/%d", at, i)); f != nil {
			return f
		}
	}
	return s.end(at)
}

func (s strict) end(at string) *fault.Fault {
	if _, err := s.dec.Token(); err != nil {
		return unfit(at, err.Error())
	}
	return nil
}

// fieldsOf are the fields of a struct by the names that they have in JSON, to the letter.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[name] = f.Type
	}
	return fields
}

// escaped writes a name as a part of a JSON pointer (RFC 6901).
var escaped = strings.NewReplacer("~", "~0", "/", "~1")

func unfit(pointer, detail string) *fault.Fault {
	where := pointer
	if where == "" {
		where = "the JSON"
	}
	return fault.Invalid("field_invalid", "%s %s", where, detail).With(fault.Item{Pointer: pointer, Detail: detail})
}

func kindOf(token json.Token) string {
	switch token.(type) {
	case bool:
		return "a bool"
	case string:
		return "a string"
	}
	return "a number"
}

func article(kind string) string {
	if strings.ContainsAny(kind[:1], "aeiou") {
		return "an " + kind
	}
	return "a " + kind
}
