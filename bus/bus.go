// Package bus holds the dispatcher that the command bus and the event loop share: services register typed
// handlers in it, and both deliver messages through it, in a unit of work, behind the same middleware.
//
// A handler returns only an error, which decides the fate of the message: nil is done; an error that is
// Permanent (or a fault whose kind is) is final; any other, a panic included, is tried again.
//
// The CommandBus runs commands that a client submits; the Consumer takes events and deferred commands from
// the broker. The consumer works in lanes, one subject always in the same one, and handles what a lane holds
// as one unit of work. What fails is tried again alone, then parked in the service's database, where later
// messages of its subject line up behind it while everything else flows; the redriver tries parked messages
// again when they are due, until they succeed or are dead. When everything fails at once, the consumer
// pauses and probes instead.
package bus

import (
	"context"
	"errors"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// Handler handles one type of message in a unit of work that the bus opens and commits.
type Handler[M events.Typed] = func(ctx context.Context, tx *store.Tx, m M) error

// JobHandler handles a deferred command that must wait for something outside the database, such as an HTTP
// API: it does so first, and then commits its effect with run.Commit.
type JobHandler[M events.Typed] = func(ctx context.Context, run *Run, m M) error

// Option sets something of a registration.
type Option func(*Route)

// Deferred makes a command run as a job in the consumer role; its submission is answered at once.
func Deferred() Option { return func(r *Route) { r.Deferred = true } }

// Continues keeps the operation of a deferred command running when its handler has succeeded: a later handler ends it
// with store.Operations.Finish.
func Continues() Option { return func(r *Route) { r.Continues = true } }

// Name is the durable name of a handler, which inbox rows carry; by default "<service>:<topic>". Handlers of
// different topics that share a name share their order too: while a message of a subject is parked
// for one of them, messages of that subject for the others line up behind it.
func Name(name string) Option { return func(r *Route) { r.Handler = name } }

// HoldWhenDead makes later messages of a subject wait while an earlier one is dead. Without it they go on, as fits
// events that carry state. A message that comes after a later one of its subject all the same is not handled: the
// owner of the subject is requested to replay it (package replay), so the topic must be one that its owner replays.
func HoldWhenDead() Option { return func(r *Route) { r.Hold = true } }

// Permanent marks an error for which trying again cannot help.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// IsPermanent reports whether trying again cannot help: the error is marked, or is a fault of such a kind.
func IsPermanent(err error) bool {
	if _, ok := errors.AsType[permanent](err); ok {
		return true
	}
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Kind.Permanent()
}
