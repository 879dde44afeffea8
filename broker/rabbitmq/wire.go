package rabbitmq

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/events"
)

// prefix is how the headers of CloudEvents attributes begin (CloudEvents AMQP binding 1.0, binary mode).
const prefix = "cloudEvents:"

// Headers beside those of CloudEvents.
const (
	reasonHeader = "x-stega-reason"  // on the dead queue: why
	diedHeader   = "x-stega-died-at" // and since when
)

func publishing(m events.Message) amqp.Publishing {
	e := m.Envelope
	h := make(amqp.Table, 11)
	set := func(name, value string) {
		if value != "" {
			h[prefix+name] = value
		}
	}
	h[prefix+"specversion"] = "1.0"
	set("id", e.ID)
	set("source", e.Source)
	set("type", e.Type)
	set("subject", e.Subject)
	if !e.Time.IsZero() {
		set("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	set("correlationid", e.Correlation)
	set("causationid", e.Causation)
	set("traceparent", e.TraceParent)
	if e.Sequence != 0 {
		h[prefix+"sequence"] = strconv.FormatInt(e.Sequence, 10)
	}
	return amqp.Publishing{
		Headers: h, ContentType: e.ContentType, DeliveryMode: amqp.Persistent, MessageId: e.ID, Type: e.Type, CorrelationId: e.Correlation, Body: m.Data,
	}
}

// message reads a message; with an error, its data are the raw body.
func message(d *amqp.Delivery) (events.Message, error) {
	var errs []error
	get := func(name string) string {
		switch v := d.Headers[prefix+name].(type) {
		case nil:
			return ""
		case string:
			return v
		default:
			errs = append(errs, fmt.Errorf("the header %s%s is a %T and no text", prefix, name, v))
			return ""
		}
	}
	m := events.Message{Data: d.Body, Envelope: events.Envelope{
		ID: get("id"), Source: get("source"), Type: get("type"), Subject: get("subject"), Correlation: get("correlationid"),
		Causation: get("causationid"), TraceParent: get("traceparent"), ContentType: d.ContentType,
	}}
	if m.ID == "" || m.Type == "" {
		errs = append(errs, errors.New("the message has no cloudEvents:id and cloudEvents:type"))
	}
	if v := get("time"); v != "" {
		at, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			errs = append(errs, fmt.Errorf("the header %stime is %q and no time", prefix, v))
		}
		m.Time = at.UTC()
	}
	if v := get("sequence"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("the header %ssequence is %q and no number", prefix, v))
		}
		m.Sequence = n
	}
	return m, errors.Join(errs...)
}

// death reads why and since when a message is on the dead queue: from the consumer that rejected it, or from the broker.
func death(d *amqp.Delivery) (reason string, at time.Time) {
	if v, ok := d.Headers[reasonHeader].(string); ok {
		if t, ok := d.Headers[diedHeader].(string); ok {
			at, _ = time.Parse(time.RFC3339Nano, t)
		}
		return v, at.UTC()
	}
	deaths, _ := d.Headers["x-death"].([]any)
	for _, entry := range deaths {
		t, ok := entry.(amqp.Table)
		if !ok {
			continue
		}
		at, _ = t["time"].(time.Time)
		switch t["reason"] {
		case "delivery_limit":
			reason = fmt.Sprintf("it was delivered more than %d times and never settled", deliveryLimit)
		default:
			reason = fmt.Sprintf("the broker dropped it from %v: %v", t["queue"], t["reason"])
		}
		return reason, at.UTC()
	}
	return "unknown", at
}

// attempts is how often a message was delivered before, as far as the broker counts.
func attempts(d *amqp.Delivery) int {
	most := int64(0)
	for _, name := range []string{"x-delivery-count", "x-acquired-count"} {
		if n, ok := d.Headers[name].(int64); ok {
			most = max(most, n)
		}
	}
	return int(most)
}

func queueName(service string, q broker.Queue) string { return "stega." + service + "." + string(q) }
