package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stega/fault"
)

// maxProblem bounds the body of an error.
const maxProblem = 4 << 20

// problem is the fault that an answer tells.
func problem(answer *http.Response, where string) *fault.Fault {
	var f fault.Fault
	err := json.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(&f)
	if err != nil || f.Code == "" {
		f := fault.New(fault.OfStatus(answer.StatusCode), "answer_strange", "%s answers %s", where, answer.Status)
		return f.WithHint("is it stega that runs there?")
	}
	if !f.Kind.Known() { // of a newer server
		f.Kind = fault.OfStatus(answer.StatusCode)
	}
	if wait := retryAfter(answer.Header); wait > 0 {
		return f.Because(later(wait))
	}
	return &f
}

// later is when the server wants to be asked again. It is the cause of a fault, and says so to people too.
type later time.Duration

func (l later) Error() string { return "try again after " + time.Duration(l).String() }

// retryAfter reads the header Retry-After, in seconds; the other form of it is not used by stega.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// The codes of faults that the client itself finds.
const (
	CodeServerUnavailable   = "server_unavailable" // the request did not reach the server
	CodeAnswerLost          = "answer_lost"        // it may have
	CodeStreamMissing       = "stream_missing"     // the server has no stream
	CodeWaitTimeout         = "wait_timeout"
	CodeSettleFailed        = "settle_failed"
	CodeWriteQueued         = "write_queued"
	CodeCertificateRequired = "certificate_required" // the server asks for a certificate of the client
	CodeServerUnproven      = "server_unproven"      // what listens does not know the token of this machine's server
)

// unanswered is what a request without an answer ends with: the end of its context, or a fault of kind unavailable.
func (c *Client) unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok { // of the connection itself
		return f
	}
	if text := err.Error(); strings.Contains(text, "tls: certificate required") ||
		strings.Contains(text, "tls: bad certificate") { // an alert has no type
		return fault.New(fault.KindUnauthorized, CodeCertificateRequired, "%s asks for a certificate of the client",
			c.options.URL).
			WithHint("name one with --tls-cert and --tls-key, or in STEGA_CLIENT_CERT and STEGA_CLIENT_KEY").
			Because(err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Unavailable(CodeServerUnavailable, "the certificate of %s is not trusted", c.options.URL).
			WithHint(
				"name the file of the authority that signed it with --tls-ca, or in STEGA_CLIENT_CA or SSL_CERT_FILE").
			Because(err)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") { // net/http has no type for it
		return fault.Unavailable(CodeServerUnavailable, "what answers at %s speaks http and not https", c.options.URL).
			WithHint("say http:// in the URL").Because(err)
	}
	if dialing, ok := errors.AsType[*net.OpError](err); ok && dialing.Op == "dial" {
		if c.options.Socket != "" {
			return fault.Unavailable(CodeServerUnavailable, "nothing answers at the socket %s", c.options.Socket).
				WithHint("see what is wrong with: stega doctor; or go without it: --direct").Because(err)
		}
		return fault.Unavailable(CodeServerUnavailable, "nothing answers at %s", c.options.URL).
			WithHint("start it with: stega up; or say where it runs with --url or STEGA_URL").Because(err)
	}
	return fault.Unavailable(CodeAnswerLost, "the connection to %s broke before its answer came", c.options.URL).
		WithHint("try again").Because(err)
}

// has reports whether an error is a fault with a code.
func has(err error, code string) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == code
}
