package embedded

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"stega/events"
)

// The attributes of a message are headers "ce-<name>", as the CloudEvents binding for NATS has it: a name with a
// colon, as AMQP has it, cannot be told from its value here.
const (
	ceSpec        = "ce-specversion"
	ceID          = "ce-id"
	ceSource      = "ce-source"
	ceType        = "ce-type"
	ceSubject     = "ce-subject"
	ceTime        = "ce-time"
	ceCorrelation = "ce-correlationid"
	ceCausation   = "ce-causationid"
	ceSequence    = "ce-sequence"
	ceTraceParent = "ce-traceparent"
	ceContentType = "ce-datacontenttype"
)

var specVersion = []string{"1.0"}

// encode writes the envelope as headers; what is empty is left out.
func encode(m *events.Message) nats.Header {
	h := make(nats.Header, 12)
	h[ceSpec] = specVersion
	values := make([]string, 0, 12) // one array for all of them
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(ceID, escape(m.ID))
	set(ceSource, escape(m.Source))
	set(ceType, escape(m.Type))
	set(ceSubject, escape(m.Subject))
	if !m.Time.IsZero() {
		set(ceTime, m.Time.UTC().Format(time.RFC3339Nano))
	}
	set(ceCorrelation, escape(m.Correlation))
	set(ceCausation, escape(m.Causation))
	if m.Sequence != 0 {
		set(ceSequence, strconv.FormatInt(m.Sequence, 10))
	}
	set(ceTraceParent, escape(m.TraceParent))
	set(ceContentType, escape(m.ContentType))
	return h
}

// decode reads what encode wrote. When it returns an error, the message has what could be read.
func decode(h nats.Header, data []byte) (events.Message, error) {
	m := events.Message{Data: data}
	m.ID = unescape(h.Get(ceID))
	m.Source = unescape(h.Get(ceSource))
	m.Type = unescape(h.Get(ceType))
	m.Subject = unescape(h.Get(ceSubject))
	m.Correlation = unescape(h.Get(ceCorrelation))
	m.Causation = unescape(h.Get(ceCausation))
	m.TraceParent = unescape(h.Get(ceTraceParent))
	m.ContentType = unescape(h.Get(ceContentType))
	var errs []error
	if h.Get(ceSpec) == "" {
		errs = append(errs, errors.New("it has no CloudEvents headers"))
	}
	if s := h.Get(ceTime); s != "" {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("read its time: %w", err))
		}
		m.Time = t
	}
	if s := h.Get(ceSequence); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("read its sequence: %w", err))
		}
		m.Sequence = n
	}
	return m, errors.Join(errs...)
}

// plain says whether a header can carry the byte as it is.
func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '%' && c != '"' }

// escape percent-encodes what a header cannot carry.
func escape(s string) string {
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if plain(s[i]) {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// unescape reads what escape wrote, and leaves as it is what it cannot have written.
func unescape(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return plain
}

// sizeOf is what headers take on the wire, at most.
func sizeOf(h nats.Header) int {
	n := 16
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// cause is the error, or a word for one that the library does not name.
func cause(err error) error {
	if err == nil {
		return errors.New("the connection inside the process ended")
	}
	return err
}
