package brokertest

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
)

func reachesSubscribers(w *env) {
	w.declare(service(alpha, red, green), service(beta, red), service(gamma, blue))
	a, b, c := w.subscribe(alpha, broker.Events, 10), w.subscribe(beta, broker.Events, 10),
		w.subscribe(gamma, broker.Events, 10)
	w.publish(event(red, 1), event(green, 2), event(blue, 3))
	for _, d := range append(w.take(a, 2), append(w.take(b, 1), w.take(c, 1)...)...) {
		assert.NoError(w.t, d.Err)
		assert.Equal(w.t, broker.Events, d.Queue)
		assert.False(w.t, d.Redelivered)
		want := map[string][]string{red: {alpha, beta}, green: {alpha}, blue: {gamma}}
		assert.Contains(w.t, want[d.Type], d.Service)
		require.NoError(w.t, d.Ack())
	}
	w.nothing(a)
	w.nothing(b)
	w.nothing(c)
	for _, s := range []string{alpha, beta, gamma} {
		w.empty(s, broker.Events)
	}
}

func commandReaches(w *env) {
	w.declare(service(alpha, "suite.do"), service(beta)) // no event has the topic of a command
	w.publish(command(beta, 1))
	d := w.handle(w.subscribe(beta, broker.Commands, 10), 1)[0]
	assert.Equal(w.t, beta, d.Service)
	assert.Equal(w.t, broker.Commands, d.Queue)
	w.nothing(w.subscribe(alpha, broker.Events, 10))
	w.nothing(w.subscribe(alpha, broker.Commands, 10))
	w.nothing(w.subscribe(beta, broker.Events, 10))
	w.empty(beta, broker.Commands)
}

func preserved(w *env) {
	w.declare(service(alpha, red))
	all := map[string]events.Message{
		"all fields": {
			Envelope: events.Envelope{
				ID: events.NewID(), Source: "stega/portfolio", Type: red, Subject: "BRK.B",
				Time:        time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC),
				Correlation: events.NewID(), Causation: events.NewID(), Sequence: 1<<53 + 1,
				TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ContentType: "application/json",
			},
			Data: []byte(`{"a":"b"}`),
		},
		"few fields": {
			Envelope: events.Envelope{ID: events.NewID(), Source: "stega/portfolio", Type: red, Time: time.Unix(0, 0).
				UTC()},
		},
		"unicode": {
			Envelope: events.Envelope{
				ID: events.NewID(), Source: "stega/börse", Type: red, Subject: " 東京証券取引所 🗼 \"100%\"\t%41 ",
				Time: time.Now().UTC().Truncate(time.Microsecond), Correlation: "ß:ö;ü=ä", Causation: "line\r\nbreak",
			},
			Data: []byte(`{"名":"Ünï\u0000cødé 🙂"}`),
		},
		"large": {
			Envelope: events.Envelope{ID: events.NewID(), Source: "s", Type: red, Subject: strings.Repeat("s", 200),
				Time: time.Now()},
			Data: bytes.Repeat([]byte{0, 1, 254, 255, '\r', '\n', '"', 'x'}, 256<<10/8),
		},
	}
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	ev, co := w.subscribe(alpha, broker.Events, 10), w.subscribe(alpha, broker.Commands, 10)
	for name, m := range all {
		w.publish(broker.Outgoing{Message: m}, broker.Outgoing{Message: m, Service: alpha})
		for _, c := range []broker.Consumer{ev, co} {
			d := w.handle(c, 1)[0]
			require.NoError(w.t, d.Err, name)
			w.same(name, m, d.Message)
		}
		w.same(name, m, w.read(entries, 1)[0].Message)
	}
}

// same asserts that a message arrived unchanged; its time to the microsecond.
func (w *env) same(name string, want, got events.Message) {
	w.t.Helper()
	assert.WithinDuration(w.t, want.Time, got.Time, time.Microsecond, name)
	assert.Equal(w.t, time.UTC, got.Time.Location(), name)
	assert.True(w.t, bytes.Equal(want.Data, got.Data), "%s: the data differ", name)
	want.Time = got.Time
	assert.Equal(w.t, want.Envelope, got.Envelope, name)
}

func ordered(w *env) {
	w.declare(service(alpha, red), service(beta, red, green))
	const n = 2000
	a, b := w.subscribe(alpha, broker.Events, 100), w.subscribe(beta, broker.Events, 7)
	var takers sync.WaitGroup
	var got [2][]int64
	for i, c := range []broker.Consumer{a, b} {
		takers.Go(func() {
			for d := range c.Deliveries() {
				got[i] = append(got[i], d.Sequence)
				if d.Ack() != nil || len(got[i]) == n {
					return
				}
			}
		})
	}
	w.publish(many(red, n)...)
	all := make(chan struct{})
	go func() {
		takers.Wait()
		close(all)
	}()
	w.await("all are delivered", all)
	assert.Equal(w.t, span(1, n), got[0])
	assert.Equal(w.t, span(1, n), got[1])
	w.empty(alpha, broker.Events)
	w.empty(beta, broker.Events)
}

func noSubscriber(w *env) {
	w.declare(service(alpha, red))
	entries, err := w.b.Log(w.ctx, 0)
	require.NoError(w.t, err)
	w.publish(event(green, 1))
	assert.Equal(w.t, green, w.read(entries, 1)[0].Type)
	w.empty(alpha, broker.Events)
}

func unroutable(w *env) {
	w.declare(service(alpha, red))
	errs := w.send(command(alpha, 1), command(beta, 2), command(alpha, 3))
	assert.NoError(w.t, errs[0])
	assert.ErrorIs(w.t, errs[1], broker.ErrUnroutable)
	assert.NoError(w.t, errs[2])
	assert.Equal(w.t, []int64{1, 3}, numbers(w.handle(w.subscribe(alpha, broker.Commands, 10), 2)))
	w.declare(service(beta))
	w.publish(command(beta, 4))
	assert.Equal(w.t, []int64{4}, numbers(w.handle(w.subscribe(beta, broker.Commands, 10), 1)))
}

func topicRemoved(w *env) {
	w.declare(service(alpha, red, green), service(beta, red))
	a, b := w.subscribe(alpha, broker.Events, 10), w.subscribe(beta, broker.Events, 10)
	w.publish(event(red, 1))
	w.handle(a, 1)
	w.handle(b, 1)
	w.declare(service(alpha, green, blue), service(beta, red))
	w.publish(event(red, 2), event(green, 3), event(blue, 4))
	assert.Equal(w.t, []int64{3, 4}, numbers(w.handle(a, 2)))
	assert.Equal(w.t, []int64{2}, numbers(w.handle(b, 1)))
	w.empty(alpha, broker.Events)
}

func declaredApart(w *env) {
	w.declare(service(alpha, red))
	w.declare(service(beta, red))
	w.publish(event(red, 1), command(alpha, 2))
	w.handle(w.subscribe(alpha, broker.Events, 10), 1)
	w.handle(w.subscribe(alpha, broker.Commands, 10), 1)
	w.handle(w.subscribe(beta, broker.Events, 10), 1)
}

func declaredTwice(w *env) {
	w.declare(service(alpha, red, green), service(beta))
	a := w.subscribe(alpha, broker.Events, 1)
	w.publish(event(red, 1), event(green, 2), command(beta, 3))
	first := w.take(a, 1)
	w.declare(service(alpha, red, green), service(beta))
	require.NoError(w.t, first[0].Ack())
	assert.Equal(w.t, []int64{2}, numbers(w.handle(a, 1)))
	w.publish(event(red, 4))
	assert.Equal(w.t, []int64{4}, numbers(w.handle(a, 1)))
	w.nothing(a)
	w.handle(w.subscribe(beta, broker.Commands, 1), 1)
}

func doneOnce(w *env) {
	w.declare(service(alpha, red))
	const publishers, each = 4, 300
	var pending [publishers * each]atomic.Int32
	var first, running sync.WaitGroup
	for p := range publishers {
		running.Go(func() {
			for i := range each {
				m := event(red, i)
				switch i % 3 {
				case 1:
					m = command(alpha, i)
				case 2:
					m = command(gamma, i) // unroutable
				}
				first.Add(1)
				if !assert.NoError(w.t, w.b.Publish(w.ctx, m, func(err error) {
					assert.Equal(w.t, m.Service == gamma, err != nil)
					if pending[p*each+i].Add(1) == 1 {
						first.Done()
					}
				})) {
					return
				}
			}
		})
	}
	all := make(chan struct{})
	go func() {
		running.Wait()
		first.Wait()
		close(all)
	}()
	w.await("every publish is answered", all)
	require.NoError(w.t, w.b.Close())
	for i := range pending {
		assert.EqualValues(w.t, 1, pending[i].Load())
	}
}

func publishFromDone(w *env) {
	w.declare(service(alpha, red))
	a := w.subscribe(alpha, broker.Events, 10)
	const n = 20
	var again func(i int) func(error)
	again = func(i int) func(error) {
		return func(err error) {
			if assert.NoError(w.t, err) && i < n {
				assert.NoError(w.t, w.b.Publish(w.ctx, event(red, i+1), again(i+1)))
			}
		}
	}
	require.NoError(w.t, w.b.Publish(w.ctx, event(red, 1), again(1)))
	assert.Equal(w.t, span(1, n), numbers(w.handle(a, n)))
}

func twoConnections(w *env) {
	w.declare(service(alpha, red))
	other := *w
	other.b = w.h.Open(w.t)
	c := other.subscribe(alpha, broker.Events, 10)
	w.publish(event(red, 1), event(red, 2))
	assert.Equal(w.t, []int64{1, 2}, numbers(w.handle(c, 2)))
	other.empty(alpha, broker.Events)
}
