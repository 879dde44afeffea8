package process

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/rest"
	"stega/store"
)

// handler serves all that the process answers over HTTP.
func (p *Process) handler() http.Handler {
	e := rest.New(rest.Options{Log: p.cfg.Log})
	e.Use(p.drain.middleware)
	rest.Serve(e, p.routes()...)
	return rest.Tagged(p.edge.Handler(rest.Heads(e)))
}

// maxEvent bounds an event that is published by hand.
const maxEvent = 1 << 20

// publish injects an event by hand: through the outbox of the service that owns the topic, so that it has its place
// in the subject's order.
func (p *Process) publish(c echo.Context) error {
	topic := c.Param("topic")
	data, err := rest.Read(c, maxEvent)
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.KindTooLarge {
		return fault.New(fault.KindTooLarge, "event_too_large", "the event has more than 1 MiB").
			WithHint("split it into several events")
	}
	if err != nil {
		return err
	}
	event, err := Event(topic, data)
	if err != nil {
		return err
	}
	db, err := p.owner(topic)
	if err != nil {
		return err
	}
	id := events.NewID()
	err = db.Do(c.Request().Context(), func(ctx context.Context, tx *store.Tx) error {
		operation := store.Operation{
			ID:         id,
			Command:    "stega.publish",
			Subject:    event.Subject(),
			EntityID:   event.Subject(),
			Status:     store.Accepted,
			AcceptedAt: tx.Now(),
		}
		if _, err := store.OperationsOf(tx).Start(ctx, operation); err != nil {
			return err
		}
		tx.SetCause(events.Envelope{ID: id, Correlation: id, Type: operation.Command})
		return errors.Join(tx.Emit(event), store.OperationsOf(tx).Finish(ctx, id, nil))
	})
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/v1/operations/"+id)
	return c.JSON(http.StatusAccepted, Published{id, topic, event.Subject()})
}

// Published is the answer to an event that was published by hand.
type Published struct {
	OperationID string `json:"operation_id"`
	Topic       string `json:"topic"`
	Subject     string `json:"subject"`
}

// owner is the database whose outbox a topic belongs to.
func (p *Process) owner(topic string) (*store.DB, error) {
	t, _ := events.Lookup(topic)
	i := slices.IndexFunc(p.parts, func(part *part) bool {
		return part.service.Name() == t.Service || t.Service == "stega"
	})
	if i < 0 {
		return nil, fault.New(fault.KindNotFound, "topic_elsewhere",
			"%s belongs to the service %s, which this process does not run", topic, t.Service).
			WithHint("send it to the api of %s, or straight to the broker with --broker-url", t.Service)
	}
	return p.parts[i].db, nil
}

// Event reads the data of an event strictly against the catalogue.
func Event(topic string, data []byte) (events.Typed, error) {
	t, ok := events.Lookup(topic)
	if !ok {
		return nil, fault.NotFound("topic_unknown", "there is no topic %q", topic).
			WithHint("see them all with: stega events list")
	}
	if t.Internal() {
		return nil, fault.New(fault.KindForbidden, "topic_internal",
			"%s is what stega says of itself, and cannot be published by hand", topic).
			WithHint("see the others with: stega events list")
	}
	err := rest.Decode(data, t.New())
	if err == nil {
		var e events.Typed
		if e, err = t.DecodeStrict(data); err == nil {
			return e, nil
		}
	}
	f := fault.Invalid("event_invalid", "the data do not fit %s: %s", topic, err).
		WithHint("see what it looks like: stega events show %s", topic)
	if inner, ok := errors.AsType[*fault.Fault](err); ok {
		f.Errors = inner.Errors
	}
	return nil, f
}

// LogLine is one event of the log as it is shown.
type LogLine struct {
	Position uint64 `json:"position"`
	events.Envelope
	Data json.RawMessage `json:"data"`
}

// NewLogLine shows an entry of the log.
func NewLogLine(e broker.LogEntry) LogLine {
	line := LogLine{Position: e.Position, Envelope: e.Envelope, Data: events.Arrays(e.Type, e.Data)}
	if !json.Valid(line.Data) {
		line.Data, _ = json.Marshal(string(e.Data))
	}
	return line
}
