package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
)

// listener reads server-sent events.
type listener struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
	beats  int
}

func (w *world) listen(t *testing.T, query url.Values, lastID string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"?"+query.Encode(), nil)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return &listener{t: t, answer: answer, lines: lines}
}

// next reads the next event.
func (l *listener) next() (name, id string, s logged) {
	l.t.Helper()
	data := ""
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			if value != "" {
				l.beats++
			} else if name != "" {
				require.NoError(l.t, json.Unmarshal([]byte(data), &s), data)
				return name, id, s
			}
		}
	}
	return "", "", s
}

func (l *listener) push() (string, logged) {
	l.t.Helper()
	for {
		name, id, s := l.next()
		require.NotEmpty(l.t, name, "the stream ended")
		if name == "push" {
			return id, s
		}
	}
}

func (l *listener) refused(t *testing.T) fault.Fault {
	t.Helper()
	assert.Equal(t, "application/problem+json", l.answer.Header.Get("Content-Type"))
	var f fault.Fault
	require.NoError(t, json.NewDecoder(l.answer.Body).Decode(&f))
	return f
}

func TestServerSentEventsAreTheSameStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Ping: 40 * time.Millisecond, Window: 4000})
	query := url.Values{"channel": {"portfolio.*", "subject:core"}}
	l := w.listen(t, query, "")
	assert.Equal(t, "text/event-stream", l.answer.Header.Get("Content-Type"))
	name, _, s := l.next()
	assert.Equal(t, "hello", name)
	require.NotNil(t, s.Hello)
	for range 2 {
		name, _, s = l.next()
		assert.Equal(t, "reply", name)
		assert.Contains(t, query["channel"], s.Result.Channel)
	}
	m := message("portfolio.created", "core", 1)
	m.Data = []byte("{\"n\":\n 1}") // a line end would end the event
	w.publish(message("prices.imported", "x", 0), m, message("prices.imported", "core", 2))
	id, s := l.push()
	assert.ElementsMatch(t, query["channel"], s.Push.Channels)
	assert.Equal(t, Position{s.Push.Position, s.Push.Event.ID}.String(), id)
	assert.JSONEq(t, `{"n":1}`, string(s.Push.Event.Data))

	for i := range 30 {
		w.publish(message("portfolio.updated", "core", 3+i))
	}
	back := w.listen(t, query, id)
	for i := range 31 {
		_, s = back.push()
		require.Equal(t, 2+i, s.Push.Event.Sequence)
	}
	from := w.listen(t, url.Values{"channel": query["channel"], "from": {id}}, "")
	_, s = from.push()
	assert.Equal(t, 2, s.Push.Event.Sequence)

	for back.beats == 0 { // a position is told along with a beat
		w.publish(message("prices.imported", "x", 0))
		name, id, _ = back.next()
		assert.Equal(t, "position", name)
		assert.NotEmpty(t, id)
	}
}

func TestServerSentEventsThatCannotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Ahead: time.Millisecond, Subscriptions: 2})
	for name, test := range map[string]struct {
		query  url.Values
		lastID string
		code   string
	}{
		"without a channel":      {nil, "", "channel_missing"},
		"a malformed channel":    {url.Values{"channel": {"A B"}}, "", "channel_malformed"},
		"a malformed position":   {url.Values{"channel": {"#"}, "from": {"12"}}, "", "position_malformed"},
		"a malformed id":         {url.Values{"channel": {"#"}}, "x;y", "position_malformed"},
		"a position of no event": {url.Values{"channel": {"#"}}, "999;x", "position_unknown"},
		"too many channels":      {url.Values{"channel": {"#", "a.b", "c.d"}}, "", "too_many_subscriptions"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.code, w.listen(t, test.query, test.lastID).refused(t).Code)
		})
	}
	answer, err := http.Post(w.url, "text/plain", nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, answer.StatusCode)
}

func TestServerSentEventsTellOfAnOperationThatIsOver(t *testing.T) {
	t.Parallel()
	known := &ledger{known: map[string]string{}}
	w := newWorld(t, Options{Operation: known.request})
	id := events.NewID()
	known.set(id, "succeeded")
	l := w.listen(t, url.Values{"channel": {"operation:" + id}}, "")
	l.next()
	_, _, s := l.next()
	assert.Contains(t, string(s.Result.Operation), "succeeded")
}

func TestServerSentEventsEndWithAVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	l := w.listen(t, url.Values{"channel": {"#"}}, "")
	l.next()
	l.next()
	w.hub.Drain(t.Context())
	name, _, _ := l.next()
	assert.Equal(t, "close", name)
	name, _, _ = l.next()
	assert.Empty(t, name)
}
