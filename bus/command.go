package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// CommandBus accepts commands. It runs a handler inline in one unit of work, of entity, operation and outbox rows, or
// sends a deferred command to the job queue of the service.
type CommandBus struct {
	d  *Dispatcher
	db *store.DB
}

// NewCommandBus returns the command bus of a service.
func NewCommandBus(d *Dispatcher, db *store.DB) *CommandBus { return &CommandBus{d: d, db: db} }

// Submission is a command with what its client sent.
type Submission struct {
	OperationID string // UUIDv7, minted by the client or, when empty, here
	EntityID    string // chosen before the command is dispatched; the answer names it
	BodyHash    string // of the request's body; the same operation id with another body is a fault (422)
	Command     events.Typed
	// With, if not nil, runs in the unit of work that records a deferred command. When it returns a fault, Submit
	// returns that fault and records nothing.
	With func(ctx context.Context, tx *store.Tx, operation string) error
}

// Submit runs a command, or queues it, and returns its operation. A command that its handler refused is an operation
// that failed, not an error here. The same operation id with the same body returns the operation that exists. Errors:
// a fault when the operation id is not a UUID or was used with another body, or when nothing was recorded
// (unavailable); then the command had no effect.
func (b *CommandBus) Submit(ctx context.Context, s Submission) (store.Operation, error) {
	id, err := b.operationID(ctx, s.OperationID)
	if err != nil {
		return store.Operation{}, err
	}
	topic := s.Command.Topic()
	route := b.d.commands[topic]
	if route == nil {
		return store.Operation{}, fmt.Errorf("submit %s: service %s has no handler for it", topic, b.d.service)
	}
	sub := &submission{
		bus: b, route: route, command: s.Command, with: s.With,
		op: store.Operation{
			ID: id, Command: topic, Service: b.d.service, Subject: s.Command.Subject(),
			EntityID: s.EntityID, Status: store.Accepted, BodyHash: s.BodyHash,
		},
	}
	if route.Deferred {
		err = sub.deferred(ctx)
	} else {
		err = sub.inline(ctx)
	}
	if err != nil {
		return store.Operation{}, err
	}
	if was := sub.existing; was != nil {
		if was.BodyHash != s.BodyHash || was.Command != topic {
			return store.Operation{}, fault.Invalid("operation_id_reused",
				"the operation id %s was used for another request, or by another caller", id).
				WithHint("mint a new UUID for each request; use one again only to repeat the very same request")
		}
		return *was, nil
	}
	return sub.op, nil
}

// operationID returns the id that a client sent, in its usual form, or a new one. The id of an operation that exists
// may be sent again, whatever its time.
func (b *CommandBus) operationID(ctx context.Context, minted string) (string, error) {
	if minted == "" {
		return events.NewID(), nil
	}
	id, err := events.CheckID(minted, time.Now())
	if err != nil && id != "" {
		if _, lookup := b.db.Operation(ctx, id); lookup == nil {
			return id, nil
		}
	}
	if err != nil {
		return "", fault.Invalid("operation_id_invalid", "the operation id %s", err).
			WithHint("send a UUIDv7 of now, such as %s, or none", events.NewID())
	}
	return id, nil
}

// submission is one command on its way.
type submission struct {
	bus      *CommandBus
	route    *Route
	command  events.Typed
	with     func(ctx context.Context, tx *store.Tx, operation string) error
	op       store.Operation
	existing *store.Operation // when the operation id was known already
}

// cause returns the envelope that events of the command name as their causation.
func (s *submission) cause(ctx context.Context) events.Envelope {
	return events.Envelope{
		ID:          s.op.ID,
		Source:      events.Source(s.op.Service),
		Type:        s.op.Command,
		Subject:     s.op.Subject,
		Time:        time.Now().UTC(),
		Correlation: s.op.ID,
		TraceParent: traceParent(ctx, ""),
	}
}

// start records the operation; false means that it exists already.
func (s *submission) start(ctx context.Context, tx *store.Tx, cause events.Envelope) (bool, error) {
	s.existing = nil
	s.op.AcceptedAt = tx.Now()
	existing, err := store.OperationsOf(tx).Start(ctx, s.op)
	if err != nil {
		return false, fmt.Errorf("record the operation: %w", err)
	}
	s.existing = existing
	tx.SetCause(cause)
	return existing == nil, nil
}

// finish records the outcome in the same unit of work.
func (s *submission) finish(ctx context.Context, tx *store.Tx, f *fault.Fault) error {
	if err := store.OperationsOf(tx).Finish(ctx, s.op.ID, f); err != nil {
		return fmt.Errorf("record the outcome: %w", err)
	}
	now := tx.Now()
	s.op.FinishedAt, s.op.Error, s.op.Status = &now, f, store.Succeeded
	if f != nil {
		s.op.Status = store.Failed
	}
	return nil
}

func (s *submission) deferred(ctx context.Context) error {
	err := runUnit(ctx, s.bus.db, func(ctx context.Context, tx *store.Tx) error {
		isNew, err := s.start(ctx, tx, s.cause(ctx))
		if err != nil || !isNew {
			return err
		}
		if s.with != nil {
			if err := s.with(ctx, tx, s.op.ID); err != nil {
				return err
			}
		}
		return tx.Enqueue(s.op.Service, s.command)
	})
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind.Permanent() {
		return f
	}
	if err != nil {
		return s.unrecorded(ctx, err)
	}
	return nil
}

func (s *submission) inline(ctx context.Context) error {
	err := s.bus.d.Dispatch(ctx, s.route, s.cause(ctx), s.command, s.unit)
	if err == nil {
		return nil
	}
	s.op.Status, s.op.FinishedAt, s.op.Error = store.Accepted, nil, nil
	if passing(ctx, err) {
		return s.unrecorded(ctx, err)
	}
	if err := s.fail(ctx, fault.Of(err)); err != nil {
		return s.unrecorded(ctx, err)
	}
	return nil
}

// unit is the unit of work of an inline command: the operation, what the handler does, and the outcome.
func (s *submission) unit(
	ctx context.Context, cause events.Envelope, handle func(ctx context.Context, w work) error,
) error {
	return runUnit(ctx, s.bus.db, func(ctx context.Context, tx *store.Tx) error {
		isNew, err := s.start(ctx, tx, cause)
		if err != nil || !isNew {
			return err
		}
		if err := handle(ctx, work{tx: tx}); err != nil {
			return err
		}
		return s.finish(ctx, tx, nil)
	})
}

// passing reports whether the same command may succeed when it is submitted again: something that it needs is away,
// or its time was up. Anything else that a handler or the commit returns is its outcome.
func passing(ctx context.Context, err error) bool {
	if IsPermanent(err) {
		return false
	}
	if ctx.Err() != nil || away(err) || errors.Is(err, errTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && (f.Kind == fault.KindUnavailable || f.Kind == fault.KindTimeout)
}

// fail records an operation that its handler refused, in a unit of its own.
func (s *submission) fail(ctx context.Context, f *fault.Fault) error {
	return runUnit(ctx, s.bus.db, func(ctx context.Context, tx *store.Tx) error {
		isNew, err := s.start(ctx, tx, s.cause(ctx))
		if err != nil || !isNew {
			return err
		}
		return s.finish(ctx, tx, f)
	})
}

// unrecorded returns the error of a command that was not committed. The result of a commit can be lost, so it looks
// the operation up once.
func (s *submission) unrecorded(ctx context.Context, err error) error {
	lookupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if op, lookup := s.bus.db.Operation(lookupCtx, s.op.ID); lookup == nil {
		s.existing = &op
		return nil
	}
	code, why, first := "command_not_recorded", "", ""
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.KindUnavailable {
		code, why, first = f.Code, ": "+f.Detail, f.Hint+"; then "
	}
	return fault.Unavailable(code, "%s could not be carried out now, and nothing was changed%s", s.op.Command, why).
		WithHint("%stry again with the header Operation-Id: %s; it takes effect at most once", first, s.op.ID).
		Because(err)
}
