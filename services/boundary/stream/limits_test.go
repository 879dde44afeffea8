package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
)

func (w *world) closes(code int) float64 {
	return testutil.ToFloat64(w.hub.metrics.closes.WithLabelValues(strconv.Itoa(code)))
}

func TestMessagesThatCannotBeObeyedAreAnsweredClearly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	t.Run("those with an id by an error, and the connection goes on", func(t *testing.T) {
		p := w.client()
		for text, code := range map[string]string{
			`{"id":7,"shout":{}}`: "verb_unknown",
			`{"id":7}`:            "verb_missing",
			`{"id":7,"ping":{},"auth":{"token":"x"}}`:                 "verb_missing",
			`{"id":7,"subscribe":{"channel":"a b"}}`:                  "channel_malformed",
			`{"id":7,"subscribe":{"channel":""}}`:                     "channel_malformed",
			`{"id":7,"subscribe":{"channel":"operation:7"}}`:          "channel_malformed",
			`{"id":7,"subscribe":{"channel":"portfolio.#"}}`:          "channel_malformed",
			`{"id":7,"subscribe":{"channel":"a..b"}}`:                 "channel_malformed",
			`{"id":7,"subscribe":{"channel":3}}`:                      "command_malformed",
			`{"id":7,"subscribe":{"channel":"#","where":"x"}}`:        "command_malformed",
			`{"id":7,"subscribe":null}`:                               "command_malformed",
			`{"id":7,"subscribe":{"channel":"#","from":{"pos":"x"}}}`: "command_malformed",
			`{"id":7,"unsubscribe":{"channel":"portfolio.*"}}`:        "not_subscribed",
			`{"id":7,"subscribe":{"channel":"#","channel":"a.b"}}`:    "field_repeated",
			`{"id":6,"id":7,"ping":{}}`:                               "field_repeated",
			`{"id":7,"ping":{},"ping":{}}`:                            "field_repeated",
		} {
			p.write(text)
			s := p.next()
			assert.EqualValues(t, 7, s.ID, text)
			require.NotNil(t, s.Error, text)
			assert.Equal(t, code, s.Error.Code, text)
			assert.NotEmpty(t, s.Error.Detail, text)
		}
		assert.Nil(t, p.request("ping", struct{}{}).Error)
	})
	for _, text := range []string{`{"subscribe":{"channel":"#"}}`, `{"id":0,"ping":{}}`, `{"id":-1,"ping":{}}`,
		`{"id":"1","ping":{}}`, `[]`, `null`, `{`, ``, "\xff", `{"id":1,"ping":` + strings.Repeat("[", 40) +
			strings.Repeat("]", 40) + `}`} {
		t.Run(fmt.Sprintf("%q by an error without an id, and the end", text), func(t *testing.T) {
			p := w.client()
			p.write(text)
			s := p.next()
			require.NotNil(t, s.Error)
			assert.Equal(t, codeBad, p.closed())
		})
	}
	t.Run("a binary one by the end", func(t *testing.T) {
		p := w.client()
		require.NoError(t, p.ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"id":1,"ping":{}}`)))
		assert.Equal(t, codeBad, p.closed())
	})
	t.Run("one that is too big by the end", func(t *testing.T) {
		p := w.client()
		_ = p.ws.Write(t.Context(), websocket.MessageText, make([]byte, 300<<10))
		assert.Equal(t, int(websocket.StatusMessageTooBig), p.closed())
	})
}

// bare is a connection whose frames are written by hand.
func (w *world) bare() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(w.t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(wait.Patience)))
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	require.NoError(w.t, err)
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusSwitchingProtocols, answer.StatusCode)
	return conn, in
}

// verdictOf reads frames until the close, and returns its code.
func verdictOf(t *testing.T, in io.Reader) int {
	t.Helper()
	for {
		var head [2]byte
		_, err := io.ReadFull(in, head[:])
		require.NoError(t, err)
		n := int(head[1])
		if n == 126 {
			var long [2]byte
			_, err = io.ReadFull(in, long[:])
			require.NoError(t, err)
			n = int(long[0])<<8 | int(long[1])
		}
		body := make([]byte, n)
		_, err = io.ReadFull(in, body)
		require.NoError(t, err)
		if head[0] == 0x88 {
			return int(body[0])<<8 | int(body[1])
		}
	}
}

func TestFramesThatBreakTheProtocolEndTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	for name, frame := range map[string][]byte{
		"without a mask":               {0x81, 0x02, '{', '}'},
		"of an unknown kind":           {0x83, 0x80, 0, 0, 0, 0},
		"with reserved bits":           {0xc1, 0x80, 0, 0, 0, 0},
		"that continue nothing":        {0x80, 0x80, 0, 0, 0, 0},
		"of control that are too long": {0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			conn, in := w.bare()
			_, err := conn.Write(frame)
			require.NoError(t, err)
			assert.Equal(t, int(websocket.StatusProtocolError), verdictOf(t, in))
		})
	}
}

func TestAMessageThatTakesTooLongEndsTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Read: 50 * time.Millisecond})
	conn, in := w.bare()
	_, err := conn.Write([]byte{0x81, 0x90, 0, 0, 0, 0, '{'}) // and no more
	require.NoError(t, err)
	assert.Equal(t, codeBad, verdictOf(t, in))
}

func TestLimitsAreSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Subscriptions: 3, PerAddress: 2, Rate: 0.001, Burst: 6})
	p := w.client()
	for i := range 3 {
		p.subscribed(fmt.Sprintf("subject:%d", i), nil)
	}
	assert.Equal(t, "too_many_subscriptions", p.subscribe("subject:3", nil).Error.Code)
	assert.Equal(t, "already_subscribed", p.subscribe("subject:1", nil).Error.Code)
	require.Nil(t, p.request("ping", struct{}{}).Error)
	assert.Equal(t, "rate_limited", p.request("ping", struct{}{}).Error.Code)

	second := w.client()
	assert.Equal(t, codeCrowded, w.connect(nil).closed())
	require.NoError(t, second.ws.Close(websocket.StatusNormalClosure, ""))
	wait.Until(t, "there is room again", func() bool {
		third := w.connect(nil)
		defer third.ws.CloseNow()
		s, err := third.hear()
		return err == nil && s.Hello != nil
	})
	answer, err := http.Get(w.url + "?channel=%23") // with the room gone again, perhaps
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
}

// One that does not read is closed, and no other one notices.
func TestASlowClientIsClosedAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Queue: 64 << 10})
	slow, quick := w.client(), w.client()
	slow.subscribed("#", nil)
	quick.subscribed("#", nil)
	data, _ := json.Marshal(strings.Repeat("x", 40<<10))
	n := 0
	wait.Until(t, "the slow one is closed", func() bool {
		m := message("portfolio.created", "core", n)
		m.Data = data
		w.publish(m)
		require.NotNil(t, quick.push().Push)
		n++
		return w.closes(codeSlow) > 0
	})
	assert.EqualValues(t, 1, w.closes(codeSlow))
	read := 0
	for { // what was on its way can still be read; the code only when the client reads in time
		s, err := slow.hear()
		if err != nil {
			if code := websocket.CloseStatus(err); code != -1 {
				assert.EqualValues(t, codeSlow, code)
			}
			break
		}
		if s.Push != nil {
			read++
		}
	}
	assert.Less(t, read, n)
}

func TestAnEventThatIsLargerThanAQueueArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Queue: 16 << 10, Window: 1 << 20})
	m := message("portfolio.created", "core", 1)
	m.Data, _ = json.Marshal(strings.Repeat("x", 200<<10))
	first := message("portfolio.created", "core", 0)
	w.publish(first)
	w.read(first)
	at := w.hub.Position()
	w.publish(m, message("portfolio.created", "core", 2))
	p := w.client()
	p.subscribed("#", &at)
	assert.Equal(t, 1, p.push().Push.Event.Sequence)
	assert.Equal(t, 2, p.push().Push.Event.Sequence)
}

func TestOfCoalescedPushesTheNewestStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Queue: 256 << 10})
	p := w.client()
	require.Nil(t, p.request("subscribe", map[string]any{"channel": "portfolio.*", "coalesce": true}).Error)
	const n = 300
	for i := range n {
		m := message("portfolio.updated", "core", i)
		m.Data, _ = json.Marshal(strings.Repeat("x", 40<<10))
		w.publish(m)
	}
	got, last := 0, -1
	for last < n-1 {
		s := p.push().Push
		require.Greater(t, s.Event.Sequence, last)
		last = s.Event.Sequence
		got++
	}
	assert.Less(t, got, n)
}

func TestAQueueKeepsOneOfEachKey(t *testing.T) {
	t.Parallel()
	var q queue
	push := func(key, text string) pushed { return q.push(item{frame: []byte(text), key: key}, 8) }
	assert.Equal(t, pushedFirst, push("a", "a1"))
	assert.Equal(t, pushedQuietly, push("", "--"))
	push("b", "b1")
	push("a", "a2")
	push("b", "b2")
	push("a", "a3")
	assert.Equal(t, 6, q.waiting())
	batch, finish := q.take(nil, 100)
	assert.False(t, finish)
	var out []string
	for _, it := range batch {
		out = append(out, string(it.frame))
	}
	assert.Equal(t, []string{"--", "b2", "a3"}, out)
	push("a", "a4")
	assert.Equal(t, pushedTooMuch, push("", "no"), "what is being written counts, too")
	q.wrote(6, 0)
	assert.Equal(t, pushedQuietly, push("", "larger than the whole queue"))
	assert.Equal(t, 4, q.waiting())
	batch, _ = q.take(nil, 1)
	assert.Len(t, batch, 1)
	assert.False(t, q.end(true))
	assert.Equal(t, pushedNowhere, push("", "x"))
	_, finish = q.take(nil, 1)
	assert.True(t, finish)
}

func TestDrainTellsEveryClientToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Drain: 50 * time.Millisecond})
	peers := make([]*peer, 20)
	for i := range peers {
		peers[i] = w.client()
		peers[i].subscribed("#", nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	defer cancel()
	drained := make(chan struct{})
	go func() { defer close(drained); w.hub.Drain(ctx) }()
	for _, p := range peers {
		assert.Equal(t, codeShutdown, p.closed())
	}
	w.await("the hub is drained", drained)
	_, answer, err := w.dial(nil)
	require.Error(t, err)
	assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
}

func TestTheEndOfTheHubCutsOffWhoIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	p := w.client()
	p.subscribed("#", nil)
	watched, stop := w.hub.Watch("#")
	defer stop()
	w.stop()
	_ = p.closed()
	for range watched { // ends
	}
}
