package embedded

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
)

func FuzzHeaders(f *testing.F) {
	f.Add("id", "subject", int64(0), int64(0))
	f.Add("", " lead, trail \t", int64(-1), int64(1700000000123456789))
	f.Add("ce-id: x\r\n\r\n", "100%41 \"\x00\xff東", int64(1<<62), int64(-1))
	f.Fuzz(func(t *testing.T, id, subject string, sequence, nanos int64) {
		m := events.Message{Envelope: events.Envelope{
			ID: id, Source: subject, Type: id, Subject: subject, Time: time.Unix(0, nanos).UTC(), Correlation: id,
			Causation: subject, Sequence: sequence, TraceParent: id, ContentType: subject,
		}}
		header := encode(&m)
		for _, values := range header {
			for _, v := range values {
				for i := range len(v) {
					require.True(t, plain(v[i]) || v[i] == '%', "%q", v)
				}
			}
		}
		got, err := decode(header, nil)
		require.NoError(t, err)
		assert.Equal(t, m, got)
	})
}

func TestHeadersThatAreNotOursAreAnError(t *testing.T) {
	t.Parallel()
	for _, h := range []nats.Header{nil, {"ce-id": {"x"}}, {ceSpec: specVersion, ceTime: {"noon"}}, {ceSpec: specVersion, ceSequence: {"x"}}} {
		_, err := decode(h, nil)
		assert.Error(t, err, "%v", h)
	}
}
