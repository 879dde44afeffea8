package brokertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
)

// Run runs the suite on one kind of broker.
func Run(t *testing.T, h Harness) {
	alone := []struct {
		name string
		ok   bool
		test func(*env)
	}{
		{"a stale ack after a reconnect acks nothing", h.CutConnections != nil, staleAck},
		{"a stale reject or release after a reconnect does nothing", h.CutConnections != nil, staleReject},
		{"a cut connection right after acks loses no unacked message", h.CutConnections != nil, cutAfterAcks},
		{"cut connections in the middle of 4,000 messages lose none", h.CutConnections != nil, cutInTheMiddle},
		{"a log reader resumes at its position after a cut connection", h.CutConnections != nil, logAfterCut},
		{"a broker restart in the middle of 10,000 messages loses none", h.Restart != nil, restartInTheMiddle},
		{"dead letters and the log survive a broker restart", h.Restart != nil, restartKeeps},
		{"a refused publish is reported as refused", h.Refuse != nil, refused},
	}
	for _, test := range alone {
		t.Run(test.name, func(t *testing.T) {
			if !test.ok {
				t.Skip("this broker does not support it")
			}
			test.test(newEnv(t, h))
		})
	}
	for name, test := range map[string]func(*env){
		"an event reaches every subscribed service and no other":                      reachesSubscribers,
		"a command reaches its service and no other":                                  commandReaches,
		"the envelope and the data arrive unchanged":                                  preserved,
		"the order of a queue is kept over 2,000 messages":                            ordered,
		"an event without subscribers is confirmed":                                   noSubscriber,
		"a command for a service that was never declared is unroutable":               unroutable,
		"a removed topic no longer reaches its service":                               topicRemoved,
		"declaring one service keeps the bindings of another":                         declaredApart,
		"declaring the same again changes and loses nothing":                          declaredTwice,
		"done is called exactly once for every publish":                               doneOnce,
		"a publisher may publish again from done":                                     publishFromDone,
		"a message published on one connection is consumed on another":                twoConnections,
		"unacked messages are redelivered, flagged, when their consumer closes":       redelivered,
		"unacked messages are redelivered when their connection closes":               connectionClosed,
		"released messages are redelivered in order, before later ones":               released,
		"a message is settled once":                                                   settledOnce,
		"acks may come in any order":                                                  acksInAnyOrder,
		"acks around an open delivery do not ack it":                                  openInTheMiddle,
		"an open delivery does not block later ones":                                  openForLong,
		"a reject and a release among acks concern one message each":                  mixedSettling,
		"acked messages are never redelivered, however the consumer ends":             ackedAtTheEnd,
		"hundreds of acks around open deliveries count when the consumer closes":      ackedInPieces,
		"a prefetch of one delivers one message after the other":                      oneAtATime,
		"one consumer of events is active, and the next takes over when it stops":     singleActive,
		"the next consumer receives the unsettled messages of a closed one, in order": takeOver,
		"consumers of commands compete":                                               compete,
		"at most the prefetch is delivered unsettled":                                 prefetch,
		"a stop lets deliveries in flight finish and delivers nothing new":            drains,
		"a rejected event reaches the dead queue with its reason and time": func(w *env) {
			rejected(w, broker.Events)
		},
		"a rejected command reaches the dead queue with its reason and time": func(w *env) {
			rejected(w, broker.Commands)
		},
		"an undecodable message is delivered with its error":              undecodable,
		"the log has all events from the start, then live, in order":      wholeLog,
		"the log is read from a position":                                 logFrom,
		"the end of the log begins with the next event":                   logEnd,
		"a reader of the log ends with its context":                       logEnds,
		"the bounds of the log have its start and an entry near its end":  logBounds,
		"the depth counts waiting and unsettled messages":                 depth,
		"the state reports connected":                                     state,
		"a close ends consumers and readers, and later calls are refused": closes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newEnv(t, h))
		})
	}
}

// The services and topics of the suite.
const (
	alpha, beta, gamma = "alpha", "beta", "gamma"
	red, green, blue   = "suite.reddened", "suite.greened", "suite.blued"
)

// env is the environment of a test: a connection in a separate namespace, and a deadline.
type env struct {
	t   *testing.T
	h   Harness
	ctx context.Context
	b   broker.Broker
}

func newEnv(t *testing.T, h Harness) *env {
	ctx, cancel := context.WithTimeout(t.Context(), 10*h.patience())
	t.Cleanup(cancel)
	return &env{t: t, h: h, ctx: ctx, b: h.Open(t)}
}

func (w *env) declare(services ...broker.ServiceTopology) {
	w.t.Helper()
	require.NoError(w.t, w.b.Declare(w.ctx, broker.Topology{Services: services}))
}

func service(name string, topics ...string) broker.ServiceTopology {
	return broker.ServiceTopology{Service: name, Topics: topics}
}

// event returns the nth event of a topic.
func event(topic string, n int) broker.Outgoing {
	return broker.Outgoing{Message: events.Message{
		Envelope: events.Envelope{
			ID: events.NewID(), Source: events.Source("suite"), Type: topic, Subject: "subject",
			Time: time.Now().UTC().Truncate(time.Microsecond), Correlation: events.NewID(), Sequence: int64(n),
			ContentType: "application/json",
		},
		Data: fmt.Appendf(nil, `{"n":%d}`, n),
	}}
}

// command returns the nth command for a service.
func command(service string, n int) broker.Outgoing {
	m := event("suite.do", n)
	m.Service = service
	return m
}

// many returns events 1 to n of a topic.
func many(topic string, n int) []broker.Outgoing {
	out := make([]broker.Outgoing, n)
	for i := range out {
		out[i] = event(topic, i+1)
	}
	return out
}

// send publishes all in order, and returns the outcome of each.
func (w *env) send(messages ...broker.Outgoing) []error {
	w.t.Helper()
	errs := make([]error, len(messages))
	var pending sync.WaitGroup
	for i, m := range messages {
		pending.Add(1)
		require.NoError(w.t, w.b.Publish(w.ctx, m, func(err error) {
			errs[i] = err
			pending.Done()
		}))
	}
	all := make(chan struct{})
	go func() {
		pending.Wait()
		close(all)
	}()
	w.await("every publish is answered", all)
	return errs
}

// publish publishes all in order, and requires their confirmation.
func (w *env) publish(messages ...broker.Outgoing) {
	w.t.Helper()
	for i, err := range w.send(messages...) {
		require.NoError(w.t, err, "message %d", i)
	}
}

func (w *env) await(what string, c <-chan struct{}) {
	w.t.Helper()
	select {
	case <-c:
	case <-time.After(w.h.patience()):
		require.FailNow(w.t, "waited too long", "for: %s", what)
	}
}

func (w *env) eventually(what string, condition func() bool) {
	w.t.Helper()
	require.Eventually(w.t, condition, w.h.patience(), 5*time.Millisecond, what)
}

func (w *env) subscribe(service string, q broker.Queue, prefetch int) broker.Consumer {
	w.t.Helper()
	c, err := w.b.Subscribe(w.ctx, service, q, prefetch)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() }) // most tests have closed it already
	return c
}

// take receives the next n deliveries.
func (w *env) take(c broker.Consumer, n int) []broker.Delivery {
	w.t.Helper()
	taken := make([]broker.Delivery, 0, n)
	deadline := time.After(w.h.patience())
	for len(taken) < n {
		select {
		case d, open := <-c.Deliveries():
			require.True(w.t, open, "the deliveries ended after %d of %d", len(taken), n)
			taken = append(taken, d)
		case <-deadline:
			require.FailNow(w.t, "waited too long", "for %d deliveries; there were %d", n, len(taken))
		}
	}
	return taken
}

// handle receives the next n deliveries and acks each at once.
func (w *env) handle(c broker.Consumer, n int) []broker.Delivery {
	w.t.Helper()
	taken := make([]broker.Delivery, 0, n)
	for range n {
		taken = append(taken, w.take(c, 1)...)
		require.NoError(w.t, taken[len(taken)-1].Ack())
	}
	return taken
}

// nothing checks for a while that nothing is delivered.
func (w *env) nothing(c broker.Consumer) {
	w.t.Helper()
	select {
	case d, open := <-c.Deliveries():
		if open {
			assert.Failf(w.t, "there is a delivery", "%s %s, message %d", d.Service, d.Type, d.Sequence)
		} else {
			assert.Fail(w.t, "the deliveries ended")
		}
	case <-time.After(none):
	}
}

// empty waits until a queue has neither waiting nor unsettled messages.
func (w *env) empty(service string, q broker.Queue) {
	w.t.Helper()
	w.deep(service, q, 0)
}

func (w *env) deep(service string, q broker.Queue, n int) {
	w.t.Helper()
	var depth int
	var err error
	if !assert.Eventually(w.t, func() bool {
		depth, err = w.b.Depth(w.ctx, service, q)
		return err == nil && depth == n
	}, w.h.patience(), 5*time.Millisecond) {
		require.FailNow(w.t, "the depth is another", "of the %s of %s: %d (%v), not %d", q, service, depth, err, n)
	}
}

// numbers returns the sequence numbers of deliveries.
func numbers(taken []broker.Delivery) []int64 {
	out := make([]int64, len(taken))
	for i, d := range taken {
		out[i] = d.Sequence
	}
	return out
}

// span returns from, from+1, … to.
func span(from, to int64) []int64 {
	var out []int64
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

// flags returns the redelivered flags of deliveries.
func flags(taken []broker.Delivery) []bool {
	out := make([]bool, len(taken))
	for i, d := range taken {
		out[i] = d.Redelivered
	}
	return out
}
