package rest

import (
	"errors"
	"fmt"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
)

// nested is an object in an object, of a depth, each below a long key.
func nested(key string, depth int) string {
	return strings.Repeat(`{"`+key+`":`, depth) + "1" + strings.Repeat("}", depth)
}

// Depth is bounded wherever JSON may have any shape: in a field that is passed on, and in one that has another type.
func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		code string
	}{
		{`{"data":` + nested("k", events.MaxDepth-2) + `}`, ""},
		{`{"data":` + nested("k", events.MaxDepth-1) + `}`, ""},
		{`{"data":` + nested("k", events.MaxDepth) + `}`, "json_too_deep"},
		{`{"data":` + strings.Repeat("[", events.MaxDepth-1) + strings.Repeat("]", events.MaxDepth-1) + `}`, ""},
		{`{"data":` + strings.Repeat("[", events.MaxDepth) + strings.Repeat("]", events.MaxDepth) + `}`,
			"json_too_deep"},
		{`{"share":` + nested("k", events.MaxDepth-1) + `}`, "field_invalid"},
		{`{"share":` + nested("k", events.MaxDepth) + `}`, "json_too_deep"},
		{`{"name":"` + strings.Repeat("[", 1000) + `\"[[{{"}`, ""},
		{`{"data":[` + strings.Repeat("[],", 100) + `[]]}`, ""},
	} {
		var b body
		err := Decode([]byte(c.text), &b)
		if c.code == "" {
			assert.NoError(t, err, "%.60s", c.text)
			continue
		}
		assert.Equal(t, c.code, fault.Of(err).Code, "%.60s", c.text)
	}
	require.NoError(t, Unique([]byte(nested("k", events.MaxDepth))))
	require.ErrorContains(t, Unique([]byte(nested("k", events.MaxDepth+1))), "deeper")
	require.ErrorContains(t, Unique([]byte(`{"a":1,"b":{"c":1,"c":2}}`)), "/b/c")
}

// Whatever a body of a megabyte holds, reading it takes memory of a small multiple of it. The test counts all that is
// allocated, so nothing else runs beside it.
func TestReadingABodyTakesMemoryInProportion(t *testing.T) {
	const size = maxBody
	repeat := func(before, piece, after string) string {
		return before + strings.Repeat(piece, (size-len(before)-len(after))/len(piece)) + after
	}
	var keys strings.Builder
	keys.WriteString(`{"data":{`)
	for i := 0; keys.Len() < size-40; i++ {
		_, _ = fmt.Fprintf(&keys, `"%x":1,`, i)
	}
	keys.WriteString(`"last":1}}`)
	key := strings.Repeat("k", 98)
	long := strings.Repeat("k", size/2)
	for _, c := range []struct{ name, text string }{
		{"deep, with long keys, in a leaf", `{"share":` + nested(key, size/110) + `}`},
		{"deep, with long keys", `{"data":` + nested(key, size/110) + `}`},
		{"deep arrays", `{"data":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2) + `}`},
		{"as deep as may be, again and again", repeat(`{"data":[0`, `,`+nested(key, 28), `]}`)},
		{"many keys", keys.String()},
		{"a long key with many below it",
			`{"data":{"` + long + `":{` + strings.Repeat(`"a":1,`, 1) + `"b":[` + strings.Repeat("0,", size/5) +
				`0]}}}`},
		{"a long key twice below a long key",
			`{"data":{"` + long[:size/3] + `":{"` + long[:size/4] + `":1,"` + long[:size/4] + `":1}}}`},
		{"empty objects", repeat(`{"parts":[{}`, `,{}`, `]}`)},
		{"empty lists", repeat(`{"data":[[]`, `,[]`, `]}`)},
		{"empty texts", repeat(`{"data":[""`, `,""`, `]}`)},
		{"one number of many digits", repeat(`{"share":`, `9`, `}`)},
		{"escapes", repeat(`{"name":"`, `\u00e4`, `"}`)},
		{"quotes in a key", repeat(`{"`, `\"`, `":1}`)},
		{"slashes in a key", repeat(`{"`, `/`, `":1}`)},
	} {
		text := []byte(c.text)
		require.LessOrEqual(t, len(text), size+1000, c.name)
		before := allocated()
		var b body
		err := Decode(text, &b)
		spent := allocated() - before
		assert.Less(t, spent, uint64(16*size), "%s: %d times the body", c.name, spent/size)
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			assert.Less(t, len(f.Detail)+len(fmt.Sprint(f.Errors)), 4000, c.name)
		}
	}
}

// allocated counts all bytes that the process has allocated so far.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
