package stream

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
	"stega/fault"
)

func FuzzCommand(f *testing.F) {
	for _, text := range []string{
		`{"id":1,"subscribe":{"channel":"portfolio.*","from":{"position":12,"id":"x"},"coalesce":true}}`,
		`{"id":2,"unsubscribe":{"channel":"#"}}`,
		`{"id":3,"auth":{"token":"stega_x"}}`, `{"id":4,"ping":{}}`, `{"id":18446744073709551615,"ping":{}}`,
		`{"id":1e3,"ping":{}}`, `{"id":1,"id":2,"ping":{}}`,
		`{"id":1,"ping":{}}{}`, `{"id":1,"subscribe":{"channel":"operation:0199c7f2-0000-7000-8000-000000000000"}}`,
		`[]`,
		`null`, "\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCommand(data)
		if err != nil {
			require.Equal(t, fault.KindMalformed, fault.Of(err).Kind, "a fault that can be answered")
			_, err := json.Marshal(reply{ID: c.ID, Error: fault.Of(err)})
			require.NoError(t, err)
			return
		}
		require.NotZero(t, c.ID)
		verbs := 0
		for _, has := range []bool{c.Subscribe != nil, c.Unsubscribe != nil, c.Auth != nil, c.Ping != nil} {
			if has {
				verbs++
			}
		}
		require.Equal(t, 1, verbs)
		if c.Subscribe != nil {
			if channel, err := parseChannel(c.Subscribe.Channel); err == nil {
				channel.takes(newEntry(broker.LogEntry{Message: message("portfolio.created", "core", 1)}, nil))
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, text := range []string{"12;x", "0;", ";", "-1;x", "18446744073709551615;a;b", " 7;y "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			require.Equal(t, "position_malformed", fault.Of(err).Code)
			return
		}
		again, err := ParsePosition(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func TestChannelsCarryWhatTheyName(t *testing.T) {
	t.Parallel()
	internal := map[string]bool{"stega.handled": true}
	const id = "0199c7f2-0000-7000-8000-000000000000"
	for _, test := range []struct {
		channel, topic, subject string
		carries                 bool
	}{
		{"portfolio.created", "portfolio.created", "a", true},
		{"portfolio.created", "portfolio.created.v2", "a", false},
		{"portfolio.*", "portfolio.created", "a", true},
		{"portfolio.*", "portfolio.created.v2", "a", true},
		{"portfolio.*", "portfolio", "a", false},
		{"*.created", "portfolio.created", "a", true},
		{"*.created", "portfolio.deleted", "a", false},
		{"*.created", "a.b.created", "a", false},
		{"*.*", "portfolio.created", "a", true},
		{"*", "portfolio.created", "a", true},
		{"#", "portfolio.created", "a", true},
		{"#", "operation.settled", id, false},
		{"*.settled", "operation.settled", id, false},
		{"operation.*", "operation.settled", id, true},
		{"operation.settled", "operation.settled", id, true},
		{"subject:" + id, "operation.settled", id, false},
		{"#", "stega.handled", "", false},
		{"stega.*", "stega.handled", "", false},
		{"stega.*", "stega.replay_requested", "", true},
		{"stega.handled", "stega.handled", "", true},
		{"subject:a", "portfolio.created", "a", true},
		{"subject:a", "portfolio.created", "b", false},
		{"operation:" + id, "portfolio.created", id, false},
	} {
		c, err := parseChannel(test.channel)
		require.NoError(t, err)
		m := message(test.topic, test.subject, 1)
		e := newEntry(broker.LogEntry{Message: m}, internal)
		assert.Equal(t, test.carries, c.takes(e), "%s carries %s of %s", test.channel, test.topic, test.subject)
		x := index{}
		x.open(c)
		assert.Equal(t, test.carries, len(x.match(e)) == 1, "%s is found for %s of %s", test.channel, test.topic,
			test.subject)
		x.release(c)
		assert.Empty(t, x.channels)
		assert.Empty(t, x.patterns.next)
	}
}

func TestAWindowIsBoundedAndKnowsWhatItHas(t *testing.T) {
	t.Parallel()
	w := window{limit: 20 * 800}
	w.begin(true, 100)
	assert.True(t, w.covers(0), "of a log that was empty it has all")
	for i := range 500 {
		w.add(newEntry(broker.LogEntry{Position: uint64(100 + 2*i), Message: message("portfolio.created", "core", i)},
			nil))
		require.LessOrEqual(t, w.bytes, w.limit)
	}
	assert.EqualValues(t, 100+2*499, w.tail.Position)
	assert.False(t, w.covers(0))
	assert.False(t, w.covers(w.floor.Position))
	assert.True(t, w.covers(w.floor.Position+1))
	kept := w.from(w.floor.Position + 1)
	assert.Less(t, len(kept), 30)
	assert.Len(t, w.entries[w.head:], len(kept))
	assert.Len(t, w.from(w.tail.Position), 1)
	assert.Empty(t, w.from(w.tail.Position+1))
	id, inside := w.at(w.floor.Position)
	assert.True(t, inside)
	assert.Equal(t, w.floor.ID, id)
	id, inside = w.at(kept[3].Position)
	assert.True(t, inside)
	assert.Equal(t, kept[3].ID, id)
	id, inside = w.at(kept[3].Position + 1)
	assert.True(t, inside, "between two entries there is nothing")
	assert.Empty(t, id)
	_, inside = w.at(w.floor.Position - 2)
	assert.False(t, inside)
}

func TestDataThatIsNoJSONIsLeftOut(t *testing.T) {
	t.Parallel()
	m := message("portfolio.created", "core", 1)
	m.Data = []byte(`{"a":`)
	e := newEntry(broker.LogEntry{Message: m}, nil)
	assert.True(t, json.Valid(e.json()))
	assert.Equal(t, "null", string(e.Data))
}

func TestWatchersGetTheirChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	watched, stop := w.hub.Watch("portfolio.*")
	full, stopFull := w.hub.Watch("#")
	none, stopNone := w.hub.Watch("no channel")
	stopNone()
	_, open := <-none
	assert.False(t, open)
	p := w.client() // on the same channel
	p.subscribed("portfolio.*", nil)
	w.publish(message("prices.imported", "x", 0), message("portfolio.created", "core", 1))
	e := <-watched
	assert.EqualValues(t, 1, e.Sequence)
	assert.JSONEq(t, `{"n":1}`, string(e.Data))
	assert.Equal(t, w.hub.Position(), Position{e.Position, e.ID})
	stop()
	stop() // again does nothing
	_, open = <-watched
	assert.False(t, open)
	var last events.Message
	for i := range watchAhead {
		last = message("portfolio.created", "core", 2+i)
		w.publish(last)
	}
	w.read(last)
	n := 0
	for range full { // ends, for it fell behind
		n++
	}
	assert.Equal(t, watchAhead, n)
	stopFull()
	assert.Equal(t, 1, p.push().Push.Event.Sequence)
}

func TestAVerdictFollowsFromTheFault(t *testing.T) {
	t.Parallel()
	assert.Equal(t, codeToken, verdict(fault.New(fault.KindUnauthorized, "x", "x")))
	assert.Equal(t, codeForbidden, verdict(fault.New(fault.KindForbidden, "x", "x")))
	assert.Equal(t, codeAgain, verdict(errors.New("x")))
}

// Who publishes repeats what was not confirmed, so an event can stand in the log twice. It is pushed once, and its
// second position is one to resume from.
func TestAnEventThatStandsInTheLogTwiceIsPushedOnce(t *testing.T) {
	t.Parallel()
	all, err := parseChannel("#")
	require.NoError(t, err)
	w := window{limit: 20 * 800}
	w.begin(true, 1)
	one, other := message("portfolio.created", "core", 1), message("portfolio.updated", "core", 2)
	var pushed []uint64
	for i, m := range []events.Message{one, other, one, other, other} {
		e := newEntry(broker.LogEntry{Position: uint64(1 + i), Message: m}, nil)
		w.add(e)
		if all.takes(e) {
			pushed = append(pushed, e.Position)
		}
	}
	assert.Equal(t, []uint64{1, 2}, pushed)
	id, inside := w.at(3)
	assert.True(t, inside)
	assert.Equal(t, one.ID, id)
	for i := range 100 {
		w.add(newEntry(broker.LogEntry{Position: uint64(10 + i), Message: message("portfolio.created", "core", 3+i)},
			nil))
	}
	assert.Len(t, w.ids, len(w.entries[w.head:]), "what has left the window is forgotten")
}
