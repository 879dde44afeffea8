package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"stega/fault"
)

// maxBody bounds a JSON body.
const maxBody = 1 << 20

// Hash is what tells one request from another: of its method, path, query and body.
func Hash(c echo.Context, body []byte) string {
	h := sha256.New()
	r := c.Request()
	_, _ = fmt.Fprintf(h, "%s %s?%s %s\n", r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("If-Match"))
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// Media checks the content type of a request.
func Media(c echo.Context, want ...string) error {
	got := c.Request().Header.Get(echo.HeaderContentType)
	media, _, err := mime.ParseMediaType(got)
	for _, w := range want {
		if err == nil && media == w {
			return nil
		}
	}
	return fault.New(fault.KindUnsupported, "media_type_unsupported", "the content type %q is not understood here", got).
		WithHint("send the header Content-Type: %s", want[0])
}

// Body reads a JSON body strictly into v and returns the hash of method, path and body: a wrong content type is
// 415, malformed JSON or a second value 400 with the offset, an unknown or repeated field 422 with its pointer, too large 413.
func Body(c echo.Context, v any) (hash string, err error) {
	if err := Media(c, echo.MIMEApplicationJSON); err != nil {
		return "", err
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", fault.New(fault.KindTooLarge, "body_too_large", "the body has more than %d bytes", maxBody)
		}
		return "", fault.Malformed("body_incomplete", "the body could not be read to its end").Because(err)
	}
	if err := Decode(body, v); err != nil {
		return "", err
	}
	return Hash(c, body), nil
}

// Decode reads JSON strictly; see Body.
func Decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fault.Malformed("json_malformed", "the body is empty").WithHint("send a JSON object")
	}
	if !json.Valid(body) {
		var any any
		return malformed(body, json.Unmarshal(body, &any))
	}
	if pointer := repeated(json.NewDecoder(bytes.NewReader(body)), ""); pointer != "" {
		return fault.Invalid("field_repeated", "the field %s is there twice", pointer).
			With(fault.Item{Pointer: pointer, Detail: "is there twice"})
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // the package has no type for it
		name = strings.Trim(name, `"`)
		return fault.Invalid("field_unknown", "there is no field %q", name).
			With(fault.Item{Pointer: "/" + name, Detail: "is not known"}).WithHint("check the spelling; the README shows what a body looks like")
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		pointer := "/" + strings.ReplaceAll(e.Field, ".", "/")
		return fault.Invalid("field_invalid", "%s cannot be a %s", pointer, e.Value).
			With(fault.Item{Pointer: pointer, Detail: "cannot be a " + e.Value})
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	return fault.Invalid("body_invalid", "the body does not fit: %s", err)
}

func malformed(body []byte, err error) error {
	line := 1
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line += bytes.Count(body[:min(int(e.Offset), len(body))], []byte("\n"))
		return fault.Malformed("json_malformed", "the body is not JSON: %s, at byte %d", e, e.Offset).
			With(fault.Item{Line: line, Detail: e.Error()})
	}
	return fault.Malformed("json_malformed", "the body is not JSON: %s", err)
}

// repeated finds a field that an object has twice.
func repeated(dec *json.Decoder, at string) string {
	token, err := dec.Token()
	if err != nil {
		return ""
	}
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return ""
			}
			name := fmt.Sprint(key)
			pointer := at + "/" + name
			if seen[name] {
				return pointer
			}
			seen[name] = true
			if p := repeated(dec, pointer); p != "" {
				return p
			}
		}
		_, _ = dec.Token()
	case json.Delim('['):
		for i := 0; dec.More(); i++ {
			if p := repeated(dec, fmt.Sprintf("%s/%d", at, i)); p != "" {
				return p
			}
		}
		_, _ = dec.Token()
	}
	return ""
}

// deadline is the request's context for at most a time. The server ends it with the request.
func deadline(c echo.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(c.Request().Context(), d)
	context.AfterFunc(c.Request().Context(), cancel)
	return ctx
}
