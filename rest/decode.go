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
	"strconv"
	"strings"
	"unicode/utf8"

	"stega/events"
	"stega/fault"
)

// maxObjects bounds the objects in one array of a typed body: two bytes of JSON make a whole struct in memory.
const maxObjects = 20_000

// Decode reads JSON strictly; see Body. It needs memory of a small multiple of the body, whatever the body is.
func Decode(body []byte, v any) error {
	if err := wellFormed(body); err != nil {
		return err
	}
	if err := newWalk(body).value(reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			return f
		}
		return fault.Invalid("body_invalid", "the JSON does not fit: %s", err)
	}
	return nil
}

// Unique checks JSON of any shape: that it is well formed, not too deep, and has no field twice in one object.
func Unique(body []byte) error {
	if err := wellFormed(body); err != nil {
		return err
	}
	return newWalk(body).value(nil)
}

// wellFormed checks that a text is one JSON value, in UTF-8, that is not too deep. The depth comes first: no decoder
// sees more.
func wellFormed(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fault.Malformed("json_malformed", "there is nothing where JSON should be").WithHint("send a JSON object")
	}
	if events.TooDeep(body) {
		return fault.Malformed("json_too_deep", "the JSON nests deeper than %d levels", events.MaxDepth)
	}
	if !json.Valid(body) {
		var any any
		return malformed(body, json.Unmarshal(body, &any))
	}
	if i := firstInvalid(body); i >= 0 {
		return fault.Malformed("json_malformed", "the text is not UTF-8: byte %d is 0x%02x", i+1, body[i]).
			With(fault.Item{Line: lineOf(body, i), Detail: "is not UTF-8"})
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

// walk goes through JSON that is well formed beside the type that it is for, and finds what does not fit, and where.
// It keeps the path to where it stands as parts of the text, and builds a pointer for a fault alone.
type walk struct {
	text string
	at   int
	path []step
	of   map[reflect.Type]map[string]reflect.Type // the fields of the structs so far
}

// step is one part of a path: the name of a field as it stands in the text, with quotes, or, without one, an index.
type step struct {
	name  string
	index int
}

func newWalk(body []byte) *walk {
	return &walk{text: string(body), of: map[reflect.Type]map[string]reflect.Type{}}
}

// pointer is where the walk stands (RFC 6901).
func (w *walk) pointer() string {
	var b strings.Builder
	for _, s := range w.path {
		b.WriteByte('/')
		if s.name == "" {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		_, _ = escaped.WriteString(&b, unquote(s.name))
		if b.Len() > maxPointer {
			return strings.ToValidUTF8(b.String()[:maxPointer], "") + "…"
		}
	}
	return b.String()
}

// maxPointer bounds a pointer: names can be as long as the body.
const maxPointer = 500

func unquote(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1]
	}
	var name string
	_ = json.Unmarshal([]byte(quoted), &name) // it is well formed
	return name
}

// next skips to the next byte that means something, and returns it.
func (w *walk) next() byte {
	for w.text[w.at] == ' ' || w.text[w.at] == '\t' || w.text[w.at] == '\n' || w.text[w.at] == '\r' {
		w.at++
	}
	return w.text[w.at]
}

// scalar reads a string, a number or a word.
func (w *walk) scalar() string {
	start := w.at
	if w.text[w.at] != '"' {
		end := strings.IndexAny(w.text[w.at:], ",]} \t\r\n")
		if end < 0 {
			end = len(w.text) - w.at
		}
		w.at += end
		return w.text[start:w.at]
	}
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.text[start:w.at]
}

// value checks the next value; without a type, only that no field is there twice.
func (w *walk) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	first := w.next()
	if t != nil && leaf(t) {
		start := w.at
		if err := w.value(nil); err != nil {
			return err
		}
		return w.leaf(t, w.text[start:w.at])
	}
	switch first {
	case '{':
		return w.object(t)
	case '[':
		return w.array(t)
	}
	if raw := w.scalar(); t != nil && raw != "null" { // null leaves what is there as it is
		return w.unfit("cannot be " + kindOf(raw))
	}
	return nil
}

// leaf reports whether a type reads its JSON by itself or has no parts.
func leaf(t reflect.Type) bool {
	return readsItself(t) || t.Kind() != reflect.Struct && t.Kind() != reflect.Slice && t.Kind() != reflect.Map
}

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (w *walk) leaf(t reflect.Type, raw string) error {
	if t == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	switch plain := !readsItself(t); { // most of a long list
	case plain && t.Kind() == reflect.String && raw[0] == '"':
		return nil
	case plain && t.Kind() == reflect.Float64 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'):
		if _, err := strconv.ParseFloat(raw, 64); err == nil {
			return nil
		}
	}
	err := json.Unmarshal([]byte(raw), reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, number := strings.Cut(e.Value, "number ")
		if number {
			return w.unfit(fmt.Sprintf("cannot be %.40s", raw))
		}
		return w.unfit("cannot be " + article(value))
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok { // a type that explains what does not fit
		return w.unfit(f.Detail)
	}
	const shown = 60
	if len(raw) <= shown && raw[0] != '{' && raw[0] != '[' {
		return w.unfit("cannot be " + raw)
	}
	return w.unfit(fmt.Sprintf("does not fit: %.200s", err))
}

// object checks the fields of an object.
func (w *walk) object(t reflect.Type) error {
	var fields map[string]reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct:
		if fields = w.of[t]; fields == nil {
			fields = fieldsOf(t)
			w.of[t] = fields
		}
	case t.Kind() == reflect.Map:
		t = t.Elem()
	default:
		return w.unfit("cannot be an object")
	}
	depth, seen := len(w.path), map[string]struct{}{}
	w.path = append(w.path, step{})
	w.at++
	for w.next() != '}' {
		if w.text[w.at] == ',' {
			w.at++
			w.next()
		}
		w.path[depth].name = w.scalar()
		name := unquote(w.path[depth].name)
		if _, twice := seen[name]; twice {
			pointer := w.pointer()
			return fault.Invalid("field_repeated", "the field %s is there twice", pointer).
				With(fault.Item{Pointer: pointer, Detail: "is there twice"})
		}
		seen[name] = struct{}{}
		of := t
		if fields != nil {
			var known bool
			if of, known = fields[name]; !known {
				pointer := w.pointer()
				return fault.Invalid("field_unknown", "there is no field %s", pointer).
					With(fault.Item{Pointer: pointer, Detail: "is not known"}).
					WithHint("check the spelling; known are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			}
		}
		w.next()
		w.at++ // the colon
		if err := w.value(of); err != nil {
			return err
		}
	}
	w.at++
	w.path = w.path[:depth]
	return nil
}

func (w *walk) array(t reflect.Type) error {
	if t != nil {
		if t.Kind() != reflect.Slice {
			return w.unfit("cannot be an array")
		}
		t = t.Elem()
	}
	depth := len(w.path)
	w.path = append(w.path, step{})
	w.at++
	for i := 0; w.next() != ']'; i++ {
		if w.text[w.at] == ',' {
			w.at++
		}
		if i == maxObjects && t != nil && t.Kind() == reflect.Struct && !leaf(t) {
			w.path = w.path[:depth]
			return w.unfit(fmt.Sprintf("has more than %d objects", maxObjects))
		}
		w.path[depth].index = i
		if err := w.value(t); err != nil {
			return err
		}
	}
	w.at++
	w.path = w.path[:depth]
	return nil
}

func (w *walk) unfit(detail string) error {
	pointer := w.pointer()
	where := pointer
	if where == "" {
		where = "the JSON"
	}
	return fault.Invalid("field_invalid", "%s %s", where, detail).With(fault.Item{Pointer: pointer, Detail: detail})
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

// kindOf names what a scalar is.
func kindOf(raw string) string {
	switch raw[0] {
	case 't', 'f':
		return "a bool"
	case '"':
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
