package rabbitmq

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/events"
)

// The CloudEvents attributes as headers.
const (
	prefix            = "cloudEvents:"
	headerVersion     = prefix + "specversion"
	headerID          = prefix + "id"
	headerSource      = prefix + "source"
	headerType        = prefix + "type"
	headerSubject     = prefix + "subject"
	headerTime        = prefix + "time"
	headerCorrelation = prefix + "correlationid"
	headerCausation   = prefix + "causationid"
	headerSequence    = prefix + "sequence"
	headerTrace       = prefix + "traceparent"

	headerReason = "x-stega-reason"
	headerDiedAt = "x-stega-died-at"

	specVersion = "1.0"
)

const (
	maxShort  = 255      // bytes of a short string of the protocol, such as a routing key
	maxHeader = 64 << 10 // all attributes; a header that fills more than a frame would end the connection
	maxData   = 16 << 20 // what the server takes unless it was told otherwise
	maxReason = 8 << 10
)

// encode makes a publishing of a message, or says why it cannot be one.
func encode(m events.Message) (amqp.Publishing, error) {
	e := m.Envelope
	size := len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.Correlation) + len(e.Causation) +
		len(e.TraceParent)
	switch {
	case e.ID == "" || e.Type == "" || e.Source == "":
		return amqp.Publishing{}, errors.New("a message needs an id, a source and a type")
	case len(e.ID) > maxShort || len(e.Type) > maxShort || len(e.ContentType) > maxShort:
		return amqp.Publishing{}, fmt.Errorf("the id, the type or the content type of a message is longer than %d bytes",
			maxShort)
	case size > maxHeader:
		return amqp.Publishing{}, fmt.Errorf("the envelope of message %s has %d bytes, more than %d", e.ID, size, maxHeader)
	case len(m.Data) > maxData:
		return amqp.Publishing{}, fmt.Errorf("the data of message %s have %d bytes, more than %d", e.ID, len(m.Data), maxData)
	}
	headers := make(amqp.Table, 10)
	headers[headerVersion] = specVersion
	headers[headerID] = e.ID
	headers[headerSource] = e.Source
	headers[headerType] = e.Type
	headers[headerTime] = e.Time.UTC().Format(time.RFC3339Nano)
	for _, optional := range [...]struct{ name, value string }{
		{headerSubject, e.Subject}, {headerCorrelation, e.Correlation}, {headerCausation, e.Causation},
		{headerTrace, e.TraceParent},
	} {
		if optional.value != "" {
			headers[optional.name] = optional.value
		}
	}
	if e.Sequence != 0 {
		headers[headerSequence] = e.Sequence
	}
	// The protocol's own type and timestamp would say the same once more: the server takes each apart and, for the log,
	// translates it.
	return amqp.Publishing{
		Headers: headers, ContentType: e.ContentType, DeliveryMode: amqp.Persistent, MessageId: e.ID, Body: m.Data,
	}, nil
}

// decode reads a message; with an error, the data are the raw body, and the envelope is what could be read.
func decode(d *amqp.Delivery) (events.Message, error) {
	m := events.Message{Data: d.Body}
	m.ContentType = d.ContentType
	var errs []error
	text := func(name string, needed bool) string {
		switch v := d.Headers[name].(type) {
		case nil:
			if needed {
				errs = append(errs, fmt.Errorf("the header %s is missing", name))
			}
		case string:
			if v == "" && needed {
				errs = append(errs, fmt.Errorf("the header %s is empty", name))
			}
			return v
		default:
			errs = append(errs, fmt.Errorf("the header %s is no text", name))
		}
		return ""
	}
	m.ID = text(headerID, true)
	m.Source = text(headerSource, true)
	m.Type = text(headerType, true)
	m.Subject = text(headerSubject, false)
	m.Correlation = text(headerCorrelation, false)
	m.Causation = text(headerCausation, false)
	m.TraceParent = text(headerTrace, false)
	if at := text(headerTime, true); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			errs = append(errs, fmt.Errorf("the header %s is no time", headerTime))
		}
		m.Time = t.UTC()
	}
	if v, ok := d.Headers[headerSequence]; ok {
		if m.Sequence, ok = whole(v); !ok {
			errs = append(errs, fmt.Errorf("the header %s is no number", headerSequence))
		}
	}
	if v, ok := d.Headers[headerVersion].(string); ok && !strings.HasPrefix(v, "1.") {
		errs = append(errs, fmt.Errorf("the CloudEvents version %q is none that is known here", v))
	}
	if len(errs) > 0 {
		return m, fmt.Errorf("the envelope cannot be read: %w", errors.Join(errs...))
	}
	return m, nil
}

// read reads a message that came through the exchange of events under the routing key of its type, which is what the
// server lets its publisher publish; under any other key the type is a claim that nobody checked.
func (b *Broker) read(d *amqp.Delivery) (events.Message, error) {
	m, err := decode(d)
	if err == nil && d.Exchange == b.names.events() && d.RoutingKey != m.Type {
		err = fmt.Errorf("the envelope says %s, and the routing key %s", m.Type, d.RoutingKey)
	}
	return m, err
}

// whole reads a number of any width.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case int16:
		return int64(n), true
	case int8:
		return int64(n), true
	case byte:
		return int64(n), true
	case int:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	}
	return 0, false
}

// attempts is how often the message was delivered before. Since 4.3 the server counts what was only given back apart
// from what failed.
func attempts(headers amqp.Table) int {
	failed, _ := whole(headers["x-delivery-count"])
	acquired, _ := whole(headers["x-acquired-count"])
	return int(max(failed, acquired))
}

// obituary says why and since when a message is on the dead queue: by our own hand, or by the server's.
func obituary(headers amqp.Table) (reason string, at time.Time) {
	reason, _ = headers[headerReason].(string)
	if s, ok := headers[headerDiedAt].(string); ok {
		at, _ = time.Parse(time.RFC3339Nano, s)
	}
	if deaths, ok := headers["x-death"].([]any); ok && len(deaths) > 0 && reason == "" {
		if death, ok := deaths[0].(amqp.Table); ok {
			queue, _ := death["queue"].(string)
			why, _ := death["reason"].(string)
			at, _ = death["time"].(time.Time)
			switch why {
			case "delivery_limit":
				reason = fmt.Sprintf("it was delivered more than %d times from %s and never settled", deliveryLimit, queue)
			default:
				reason = fmt.Sprintf("the broker moved it here from %s: %s", queue, why)
			}
		}
	}
	return reason, at.UTC()
}

// dying makes the copy of a delivery that goes to the dead queue.
func dying(d *amqp.Delivery, reason string, at time.Time) amqp.Publishing {
	headers := make(amqp.Table, len(d.Headers)+2)
	for name, value := range d.Headers {
		switch name {
		case "x-delivery-count", "x-acquired-count": // they belong to the queue that it leaves
		default:
			headers[name] = value
		}
	}
	headers[headerReason] = shorten(reason, maxReason)
	headers[headerDiedAt] = at.UTC().Format(time.RFC3339Nano)
	return amqp.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		CorrelationId: d.CorrelationId, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId,
		Body: d.Body,
	}
}

// shorten cuts a text to n bytes, between two characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// delivery makes what the consumer hands out.
func (b *Broker) delivery(d *amqp.Delivery, service string, q broker.Queue, settler broker.Settler) broker.Delivery {
	m, err := b.read(d)
	out := broker.Delivery{
		Message: m, Service: service, Queue: q, Err: err,
		Redelivered: d.Redelivered, Attempts: attempts(d.Headers), Settler: settler,
	}
	if q == broker.Dead {
		out.Reason, out.At = obituary(d.Headers)
	}
	return out
}
