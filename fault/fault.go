// Package fault is the one error type that reaches a person or a program outside: it has a code for
// machines, a sentence for people, a hint when there is a next step, and a cause for operators.
//
// A fault is made where the reason is known, wrapped like any other error on the way up, and turned into
// an HTTP answer, an exit status or the fate of a message by the tables of this package.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what sort of fault it is; each has one HTTP status and one exit status.
type Kind string

// The kinds of fault.
const (
	KindMalformed    Kind = "malformed"    // cannot be read: bad JSON, bad query parameter
	KindInvalid      Kind = "invalid"      // can be read and makes no sense
	KindUnauthorized Kind = "unauthorized" // no token, or a wrong one
	KindForbidden    Kind = "forbidden"    // the token does not cover it
	KindNotFound     Kind = "not_found"
	KindConflict     Kind = "conflict"     // the state does not allow it
	KindPrecondition Kind = "precondition" // If-Match names another version
	KindTooLarge     Kind = "too_large"
	KindUnsupported  Kind = "unsupported"  // a media type that is not understood
	KindUnavailable  Kind = "unavailable"  // something that is needed is away; trying again can help
	KindRateLimited  Kind = "rate_limited" // too often; trying again later helps
	KindTimeout      Kind = "timeout"
	KindCanceled     Kind = "canceled" // the client has gone; nobody reads the answer
	KindUsage        Kind = "usage"    // wrong arguments on the command line
	KindInternal     Kind = "internal"
)

// rows is the table from a kind to what the outside sees of it. A test holds that it is complete.
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

// Kinds lists every kind.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(rows))
	for k := range rows {
		kinds = append(kinds, k)
	}
	return kinds
}

// Known reports whether this version has the kind. One that it does not have, of a newer process, counts as internal.
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

// Status is the HTTP status of a kind.
func (k Kind) Status() int { return rows[k.known()].status }

// Exit is the exit status of a kind, after sysexits(3).
func (k Kind) Exit() int { return rows[k.known()].exit }

// Permanent reports whether trying the same thing again cannot help.
func (k Kind) Permanent() bool {
	k = k.known()
	return k != KindUnavailable && k != KindRateLimited && k != KindTimeout && k != KindCanceled && k != KindInternal
}

// OfStatus is the kind that an HTTP status stands for, when the answer names none that this version has.
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

// Item is one of several things that are wrong with an input.
type Item struct {
	Pointer string `json:"pointer,omitempty"` // JSON pointer into the body
	Line    int    `json:"line,omitempty"`    // line of a text file, from 1
	Detail  string `json:"detail"`
}

// Fault is an error for the outside.
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

// New makes a fault of a kind.
func New(kind Kind, code, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// WithHint adds what to do next.
func (f *Fault) WithHint(format string, args ...any) *Fault {
	f.Hint = fmt.Sprintf(format, args...)
	return f
}

// MaxItems bounds the items of a fault.
const MaxItems = 100

// With adds single things that are wrong. Beyond MaxItems one last item says that there are more.
func (f *Fault) With(items ...Item) *Fault {
	room := MaxItems - len(f.Errors)
	f.Errors = append(f.Errors, items[:min(len(items), max(0, room))]...)
	if len(items) > room && len(f.Errors) == MaxItems {
		f.Errors = append(f.Errors, Item{Detail: fmt.Sprintf("there is more that is wrong; these are the first %d",
			MaxItems)})
	}
	return f
}

// Because adds the cause, which operators see in the log and clients never do.
func (f *Fault) Because(err error) *Fault {
	f.cause = err
	return f
}

// Invalid is an input that can be read and makes no sense.
func Invalid(code, format string, args ...any) *Fault {
	return New(KindInvalid, code, format, args...)
}

// Malformed is an input that cannot be read.
func Malformed(code, format string, args ...any) *Fault {
	return New(KindMalformed, code, format, args...)
}

// NotFound is a thing that does not exist.
func NotFound(code, format string, args ...any) *Fault {
	return New(KindNotFound, code, format, args...)
}

// Conflict is a change that the present state does not allow.
func Conflict(code, format string, args ...any) *Fault {
	return New(KindConflict, code, format, args...)
}

// Unavailable is something needed that is away for now.
func Unavailable(code, format string, args ...any) *Fault {
	return New(KindUnavailable, code, format, args...)
}

// Usage is a wrong argument on the command line.
func Usage(code, format string, args ...any) *Fault {
	return New(KindUsage, code, format, args...)
}

// Of finds the fault in an error; what is not a fault is an internal one, whose cause stays inside, or one of time
// when that was up.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(KindTimeout, "too_slow",
			"this took too long and was given up").WithHint("try again in a moment; stega may be busy").Because(err)
	}
	if errors.Is(err, context.Canceled) {
		return New(KindCanceled, "canceled", "the request ended before it was answered").Because(err)
	}
	return New(KindInternal, "internal", "something went wrong inside stega").
		WithHint("look for this operation in the server's log").Because(err)
}
