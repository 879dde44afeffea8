package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// Hash is what tells one request from another: of its caller, method, path, query and body. An operation id is bound
// to it, so another caller that sends the same id does not get the first one's answer as its own.
func Hash(c echo.Context, body []byte) string {
	h := sha256.New()
	r := c.Request()
	_, _ = fmt.Fprintf(h, "%q %s %s?%s %s\n", Caller(r.Context()), r.Method, r.URL.Path, r.URL.RawQuery,
		r.Header.Get("If-Match"))
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// Media checks the content type of a request, and that its body is not packed.
func Media(c echo.Context, want ...string) error {
	if packed := c.Request().Header.Get(echo.HeaderContentEncoding); packed != "" && !strings.EqualFold(packed,
		"identity") {
		return fault.New(fault.KindUnsupported, "encoding_unsupported",
			"the body is encoded as %.64q, which is not understood here", packed).
			WithHint("send it as it is, without the header Content-Encoding")
	}
	got := c.Request().Header.Get(echo.HeaderContentType)
	media, _, err := mime.ParseMediaType(got)
	for _, w := range want {
		if err == nil && media == w {
			return nil
		}
	}
	return fault.New(fault.KindUnsupported, "media_type_unsupported", "the content type %q is not understood here",
		got).
		WithHint("send the header Content-Type: %s", want[0])
}

// Body reads a JSON body strictly into v and returns the hash of method, path and body: a wrong content type is 415,
// malformed JSON or a second value 400 with the offset, an unknown or repeated field 422 with its pointer, too large
// 413.
func Body(c echo.Context, v any) (hash string, err error) {
	if err := Media(c, echo.MIMEApplicationJSON); err != nil {
		return "", err
	}
	body, err := Read(c, maxBody)
	if err != nil {
		return "", err
	}
	if err := Decode(body, v); err != nil {
		return "", err
	}
	return Hash(c, body), nil
}

// Read reads a body of at most limit bytes.
func Read(c echo.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, limit))
	if err != nil {
		return nil, Unread(err)
	}
	return body, nil
}

// Unread is the fault of a body that could not be read: it was too large, or its end did not come.
func Unread(err error) error {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.New(fault.KindTooLarge, "body_too_large", "the body has more than %d bytes", e.Limit)
	}
	return fault.Malformed("body_incomplete", "the body could not be read to its end").
		WithHint("send as many bytes as Content-Length names, or whole chunks, without long pauses").Because(err)
}

// deadline is the request's context for at most a time. The server ends it with the request.
func deadline(c echo.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(c.Request().Context(), d)
	context.AfterFunc(c.Request().Context(), cancel)
	return ctx
}
