// Package fault provides the one error type for people and programs outside. A fault has a code for machines, a
// sentence for people, a hint when there is a next step, and a cause for operators.
//
// A fault is created where the reason is known and wrapped like any other error on the way up. The tables of this
// package map it to an HTTP answer, an exit status or the fate of a message.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind classifies faults; each kind has one HTTP status and one exit status.
type Kind string

// The kinds of fault.
const (
	KindMalformed    Kind = "malformed"    // cannot be parsed: bad JSON, bad query parameter
	KindInvalid      Kind = "invalid"      // parses, but makes no sense
	KindUnauthorized Kind = "unauthorized" // no token, or a wrong one
	KindForbidden    Kind = "forbidden"    // the token lacks the right
	KindNotFound     Kind = "not_found"
	KindConflict     Kind = "conflict"     // the state does not allow it
	KindPrecondition Kind = "precondition" // If-Match names another version
	KindTooLarge     Kind = "too_large"
	KindUnsupported  Kind = "unsupported"  // an unsupported media type
	KindUnavailable  Kind = "unavailable"  // a dependency is away; a retry can help
	KindRateLimited  Kind = "rate_limited" // too many requests; a later retry helps
	KindTimeout      Kind = "timeout"
	KindCanceled     Kind = "canceled" // the client has disconnected
	KindUsage        Kind = "usage"    // wrong arguments on the command line
	KindInternal     Kind = "internal"
)

// rows maps a kind to its HTTP status and exit status. A test checks that it is complete.
var rows = map[Kind]struct{ status, exit int }{
	KindMalformed:    {400, 65},
	KindInvalid:      {422, 65},
	KindUnauthorized: {401, 77},
	KindForbidden:    {403, 77},
	KindNotFound:     {404, 66},
	KindConflict:     {409, 73},
	KindPrecondition: {412, 73},
	KindTooLarge:     {413, 65},
	KindUnsupported:  {415, 65},
	KindRateLimited:  {429, 75},
	KindUnavailable:  {503, 69},
	KindTimeout:      {504, 75},
	KindCanceled:     {499, 75},
	KindUsage:        {400, 64},
	KindInternal:     {500, 70},
}

// Kinds returns every kind.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(rows))
	for k := range rows {
		kinds = append(kinds, k)
	}
	return kinds
}

// Known reports whether this version has the kind. A kind of a newer process counts as internal.
func (k Kind) Known() bool {
	_, known := rows[k]
	return known
}

func (k Kind) known() Kind {
	if !k.Known() {
		return KindInternal
	}
	return k
}

// Status returns the HTTP status of a kind.
func (k Kind) Status() int { return rows[k.known()].status }

// Exit returns the exit status of a kind, after sysexits(3).
func (k Kind) Exit() int { return rows[k.known()].exit }

// Permanent reports whether a retry cannot help.
func (k Kind) Permanent() bool {
	k = k.known()
	return k != KindUnavailable && k != KindRateLimited && k != KindTimeout && k != KindCanceled && k != KindInternal
}

// OfStatus returns the kind of an HTTP status, for an answer without a known kind.
func OfStatus(status int) Kind {
	switch status {
	case 401:
		return KindUnauthorized
	case 403:
		return KindForbidden
	case 404, 410:
		return KindNotFound
	case 409:
		return KindConflict
	case 412:
		return KindPrecondition
	case 413:
		return KindTooLarge
	case 415:
		return KindUnsupported
	case 422:
		return KindInvalid
	case 429:
		return KindRateLimited
	case 499:
		return KindCanceled
	case 502, 503:
		return KindUnavailable
	case 408, 504:
		return KindTimeout
	}
	if status >= 500 {
		return KindInternal
	}
	return KindMalformed
}

// Item is one of several errors of an input.
type Item struct {
	Pointer string `json:"pointer,omitempty"` // JSON pointer into the body
	Line    int    `json:"line,omitempty"`    // line of a text file, from 1
	Detail  string `json:"detail"`
}

// Fault is an error for clients.
type Fault struct {
	Kind   Kind   `json:"kind"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	Errors []Item `json:"errors,omitempty"`

	cause error
}

func (f *Fault) Error() string {
	if f.cause != nil {
		return f.Detail + ": " + f.cause.Error()
	}
	return f.Detail
}

func (f *Fault) Unwrap() error { return f.cause }

// New returns a fault of a kind.
func New(kind Kind, code, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// WithHint sets the next step.
func (f *Fault) WithHint(format string, args ...any) *Fault {
	f.Hint = fmt.Sprintf(format, args...)
	return f
}

// MaxItems limits the items of a fault.
const MaxItems = 100

// With adds items. Beyond MaxItems, a last item reports that there are more.
func (f *Fault) With(items ...Item) *Fault {
	room := MaxItems - len(f.Errors)
	f.Errors = append(f.Errors, items[:min(len(items), max(0, room))]...)
	if len(items) > room && len(f.Errors) == MaxItems {
		f.Errors = append(f.Errors, Item{Detail: fmt.Sprintf("there are more errors; these are the first %d",
			MaxItems)})
	}
	return f
}

// Because sets the cause, which the log shows to operators and no answer shows to clients.
func (f *Fault) Because(err error) *Fault {
	f.cause = err
	return f
}

// Invalid returns a fault of an input that parses but makes no sense.
func Invalid(code, format string, args ...any) *Fault {
	return New(KindInvalid, code, format, args...)
}

// Malformed returns a fault of an input that cannot be parsed.
func Malformed(code, format string, args ...any) *Fault {
	return New(KindMalformed, code, format, args...)
}

// NotFound returns a fault of a thing that does not exist.
func NotFound(code, format string, args ...any) *Fault {
	return New(KindNotFound, code, format, args...)
}

// Conflict returns a fault of a change that the present state does not allow.
func Conflict(code, format string, args ...any) *Fault {
	return New(KindConflict, code, format, args...)
}

// Unavailable returns a fault of a dependency that is away.
func Unavailable(code, format string, args ...any) *Fault {
	return New(KindUnavailable, code, format, args...)
}

// Usage returns a fault of a wrong argument on the command line.
func Usage(code, format string, args ...any) *Fault {
	return New(KindUsage, code, format, args...)
}

// Of returns the fault in an error. Any other error becomes an internal fault, whose cause stays inside, or a timeout
// or cancellation of its context.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(KindTimeout, "too_slow",
			"the request took too long and was given up").WithHint("try again in a moment; stega may be busy").
			Because(err)
	}
	if errors.Is(err, context.Canceled) {
		return New(KindCanceled, "canceled", "the request ended before it was answered").Because(err)
	}
	return New(KindInternal, "internal", "an internal error occurred").
		WithHint("look for this operation in the server's log").Because(err)
}
