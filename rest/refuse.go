package rest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stega/api"
	"stega/fault"
)

// Refuse answers a request with an error, as every handler of the suite does: for those that stand before the services.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	_ = refuse(w, r, of(err), 0) // one who has gone needs no answer
}

// NotAllowed answers a method that a path does not have; allow lists those that it has.
func NotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set(echo.HeaderAllow, allow)
	f := fault.New(fault.KindMalformed, "method_not_allowed", "this path does not answer to this method").
		WithHint("it answers to %s", allow)
	_ = refuse(w, r, f, http.StatusMethodNotAllowed)
}

// refuse writes a fault as a problem; a status of 0 is that of its kind.
func refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault, status int) error {
	status = cmp.Or(status, f.Kind.Status())
	h := w.Header()
	p := api.Problem{
		Type:     "about:blank",
		Title:    cmp.Or(http.StatusText(status), "Client Closed Request"),
		Status:   status,
		Kind:     f.Kind,
		Code:     f.Code,
		Detail:   f.Detail,
		Hint:     f.Hint,
		Errors:   f.Errors,
		Instance: h.Get(echo.HeaderXRequestID),
	}
	if (f.Kind == fault.KindUnavailable || f.Kind == fault.KindRateLimited) && h.Get(echo.HeaderRetryAfter) == "" {
		h.Set(echo.HeaderRetryAfter, "1")
	}
	h.Set(echo.HeaderContentType, "application/problem+json")
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return err
	}
	// A refusal may go out before the request's body has come. With its length it is complete as soon as it is there.
	h.Set(echo.HeaderContentLength, strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body.Bytes())
	return err
}

// maxRequestID bounds the id of a request that a client gives.
const maxRequestID = 64

// RequestID is the id of a request: the client's, when it is one that can be logged, else one that is made now. From
// then on the request has it.
func RequestID(r *http.Request) string {
	id := r.Header.Get(echo.HeaderXRequestID)
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c)
	}
	if id == "" || len(id) > maxRequestID || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		id = rand.Text()
		r.Header.Set(echo.HeaderXRequestID, id)
	}
	return id
}
