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

// The headers of the CloudEvents attributes, and of dead letters.
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
	maxHeader = 64 << 10 // of all attributes; a header larger than a frame would end the connection
	maxData   = 16 << 20 // the server's default limit
	maxReason = 8 << 10
)

// encode returns the publishing of a message, or an error for a message that the protocol cannot carry.
func encode(m events.Message) (amqp.Publishing, error) {
	e := m.Envelope
	size := len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.Correlation) + len(e.Causation) +
		len(e.TraceParent)
	switch {
	case e.ID == "" || e.Type == "" || e.Source == "":
		return amqp.Publishing{}, errors.New("a message needs an id, a source and a type")
	case len(e.ID) > maxShort || len(e.Type) > maxShort || len(e.ContentType) > maxShort:
		return amqp.Publishing{}, fmt.Errorf(
			"the id, the type or the content type of a message is longer than %d bytes",
			maxShort)
	case size > maxHeader:
		return amqp.Publishing{}, fmt.Errorf("the envelope of message %s has %d bytes, more than %d", e.ID, size,
			maxHeader)
	case len(m.Data) > maxData:
		return amqp.Publishing{}, fmt.Errorf("the data of message %s have %d bytes, more than %d", e.ID, len(m.Data),
			maxData)
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
	// The protocol's own type and timestamp are not set: the server decodes each and, for the log, converts it.
	return amqp.Publishing{
		Headers: headers, ContentType: e.ContentType, DeliveryMode: amqp.Persistent, MessageId: e.ID, Body: m.Data,
	}, nil
}

// decode returns a message. With an error, Data is the raw body, and the envelope is what could be decoded.
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
			errs = append(errs, fmt.Errorf("the header %s is not text", name))
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
			errs = append(errs, fmt.Errorf("the header %s is not a time", headerTime))
		}
		m.Time = t.UTC()
	}
	if v, ok := d.Headers[headerSequence]; ok {
		if m.Sequence, ok = integer(v); !ok {
			errs = append(errs, fmt.Errorf("the header %s is not a number", headerSequence))
		}
	}
	if v, ok := d.Headers[headerVersion].(string); ok && !strings.HasPrefix(v, "1.") {
		errs = append(errs, fmt.Errorf("the CloudEvents version %q is not supported", v))
	}
	if len(errs) > 0 {
		return m, fmt.Errorf("the envelope cannot be read: %w", errors.Join(errs...))
	}
	return m, nil
}

// read decodes a message and checks that its type equals its routing key. The server authorizes publishers by routing
// key, so under another key the type is an unchecked claim.
func (b *Broker) read(d *amqp.Delivery) (events.Message, error) {
	m, err := decode(d)
	if err == nil && d.Exchange == b.names.events() && d.RoutingKey != m.Type {
		err = fmt.Errorf("the envelope has type %s, but routing key %s", m.Type, d.RoutingKey)
	}
	return m, err
}

// integer returns an integer of any width.
func integer(v any) (int64, bool) {
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

// attempts returns the number of earlier deliveries. Since 4.3 the server counts releases apart from failures.
func attempts(headers amqp.Table) int {
	failed, _ := integer(headers["x-delivery-count"])
	acquired, _ := integer(headers["x-acquired-count"])
	return int(max(failed, acquired))
}

// deathReason returns why and since when a message is on the dead queue, whether this code or the server moved it.
func deathReason(headers amqp.Table) (reason string, at time.Time) {
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
				reason = fmt.Sprintf("it was delivered more than %d times from %s and never settled", deliveryLimit,
					queue)
			default:
				reason = fmt.Sprintf("the broker moved it here from %s: %s", queue, why)
			}
		}
	}
	return reason, at.UTC()
}

// deadLetter returns the copy of a delivery for the dead queue.
func deadLetter(d *amqp.Delivery, reason string, at time.Time) amqp.Publishing {
	headers := make(amqp.Table, len(d.Headers)+2)
	for name, value := range d.Headers {
		switch name {
		case "x-delivery-count", "x-acquired-count": // counters of the former queue
		default:
			headers[name] = value
		}
	}
	headers[headerReason] = truncate(reason, maxReason)
	headers[headerDiedAt] = at.UTC().Format(time.RFC3339Nano)
	return amqp.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		CorrelationId: d.CorrelationId, MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId,
		Body: d.Body,
	}
}

// truncate shortens a text to n bytes at most, between two characters.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// delivery returns the delivery for the consumer.
func (b *Broker) delivery(d *amqp.Delivery, service string, q broker.Queue, settler broker.Settler) broker.Delivery {
	m, err := b.read(d)
	out := broker.Delivery{
		Message: m, Service: service, Queue: q, Err: err,
		Redelivered: d.Redelivered, Attempts: attempts(d.Headers), Settler: settler,
	}
	if q == broker.Dead {
		out.Reason, out.At = deathReason(d.Headers)
	}
	return out
}
