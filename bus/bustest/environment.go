// Package bustest is the conformance suite of the event loop and the job runner; RunLoop runs it on one pair of
// broker and store. Its handlers write their effects to a table of the same database, in their unit of work. So a
// scenario can state exactly what took effect, how often, and which events were emitted.
package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/civil"
	"stega/events"
	"stega/internal/wait"
	"stega/store"
)

// patience limits the wait of a scenario for an expected condition.
const patience = wait.Patience

// environment is one broker with services on it.
type environment struct {
	t      testing.TB
	broker broker.Broker
}

// service is one service in an environment.
type service struct {
	*environment
	name       string
	db         *store.DB
	dispatcher *bus.Dispatcher
	options    bus.ConsumerOptions
	consumer   *bus.Consumer
}

// happened is the event that the scenarios handle; noted is the event that their handlers emit.
type (
	happened = events.PortfolioReturnsUpdated
	noted    = events.AssetUpdated
)

func newEnvironment(t testing.TB, b broker.Broker) *environment { return &environment{t: t, broker: b} }

// service returns a service with unique names.
func (w *environment) service(newStore NewStore, register func(s *service)) *service {
	w.t.Helper()
	return w.serviceNamed("loop"+uuid.NewString()[:8], newStore, register)
}

func (w *environment) serviceNamed(name string, newStore NewStore, register func(s *service)) *service {
	w.t.Helper()
	s := &service{environment: w, name: name, db: newStore(w.t, name), dispatcher: dispatcher(name)}
	s.options = bus.ConsumerOptions{
		QuickDelay: time.Millisecond, RetryBase: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		ProbeBase: 10 * time.Millisecond, ProbeMax: 100 * time.Millisecond, Poll: 20 * time.Millisecond,
		MaxAttempts: 100_000, // no message dies on a slow machine; scenarios about dead messages set a limit
	}
	err := s.db.Do(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE effects (handler TEXT, subject TEXT, version BIGINT, n BIGINT)`)
		return err
	})
	require.NoError(w.t, err)
	register(s)
	require.NoError(w.t, s.dispatcher.Seal())
	return s
}

// dispatcher returns a dispatcher with the middleware of every process.
func dispatcher(service string) *bus.Dispatcher {
	return bus.NewDispatcher(service, bus.Standard(quiet(), bus.NewMetrics(nil))...)
}

// declare declares the topology of services, each with its handled topics.
func (w *environment) declare(services ...*service) {
	w.t.Helper()
	var topology broker.Topology
	for _, s := range services {
		topology.Services = append(topology.Services,
			broker.ServiceTopology{Service: s.name, Topics: s.dispatcher.Topics()})
	}
	require.NoError(w.t, w.broker.Declare(w.t.Context(), topology))
}

// note writes an effect, numbered within its handler and subject, and emits an event about it.
func note(ctx context.Context, tx *store.Tx, handler, subject string, version int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO effects (handler, subject, version, n)
		SELECT ?, ?, ?, count(*) + 1 FROM effects
		WHERE handler = ? AND subject = ?`, handler, subject, version, handler, subject)
	if err != nil {
		return err
	}
	day := civil.Of(2024, time.January, 31)
	return tx.Emit(noted{Symbol: handler + "/" + subject, Observations: int(version), ChangedFrom: day, ChangedTo: day,
		First: day, Last: day})
}

// effects returns, in order, the versions that a handler applied to a subject.
func (s *service) effects(handler, subject string) []int64 {
	s.t.Helper()
	versions := []int64{}
	err := s.db.Read().NewSelect().Table("effects").Column("version").
		Where("handler = ? AND subject = ?", handler, subject).Order("n").Scan(s.t.Context(), &versions)
	require.NoError(s.t, err)
	return versions
}

// count returns the number of effects of a handler.
func (s *service) count(handler string) int {
	s.t.Helper()
	n, err := s.db.Read().NewSelect().Table("effects").Where("handler = ?", handler).Count(s.t.Context())
	require.NoError(s.t, err)
	return int(n)
}

// running is a running consumer.
type running struct {
	s    *service
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// run starts the consumer of a service, on another broker if one is given.
func (s *service) run(stand ...broker.Broker) *running {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{s: s, stop: cancel, done: make(chan struct{})}
	s.consumer = &bus.Consumer{
		Dispatcher: s.dispatcher, DB: s.db, Broker: s.broker, Log: quiet(), Options: s.options,
	}
	if len(stand) > 0 {
		s.consumer.Broker = stand[0]
	}
	ready := make(chan struct{})
	go func() {
		defer close(r.done)
		r.err = s.consumer.Run(ctx, func() { close(ready) })
	}()
	select {
	case <-ready:
	case <-r.done:
		require.NoError(s.t, r.err)
	case <-time.After(patience):
		s.t.Fatal("the consumer is not ready in time")
	}
	var once sync.Once
	r.stop = func() {
		once.Do(cancel)
		select {
		case <-r.done:
		case <-time.After(patience):
			s.t.Error("the consumer does not stop in time")
		}
	}
	s.t.Cleanup(r.stop)
	return r
}

// relay runs the relay of a service until the test ends.
func (s *service) relay() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	relay := &store.Relay{DB: s.db, Broker: s.broker, Log: quiet()}
	go func() {
		defer close(done)
		_ = relay.Run(ctx, func() {})
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// message returns an event of a subject.
func message(subject string, version int64) events.Message {
	data, err := json.Marshal(happened{PortfolioID: subject, Version: version})
	if err != nil {
		panic(err)
	}
	return raw(happened{}.Topic(), subject, data)
}

func raw(topic, subject string, data []byte) events.Message {
	id := events.NewID()
	return events.Message{Envelope: events.Envelope{
		ID: id, Source: "stega/bustest", Type: topic, Subject: subject, Time: time.Now().UTC(), Correlation: id,
		ContentType: "application/json",
	}, Data: data}
}

// publish sends events in order, and waits for their confirmation.
func (w *environment) publish(messages ...events.Message) {
	w.t.Helper()
	for _, m := range messages {
		w.send(broker.Outgoing{Message: m})
	}
}

func (w *environment) send(out ...broker.Outgoing) {
	w.t.Helper()
	taken := make(chan error, len(out))
	for _, o := range out {
		require.NoError(w.t, w.broker.Publish(w.t.Context(), o, func(err error) { taken <- err }))
	}
	for range out {
		select {
		case err := <-taken:
			require.NoError(w.t, err)
		case <-time.After(patience):
			w.t.Fatal("the broker does not confirm")
		}
	}
}

// eventually waits until a condition holds.
func (w *environment) eventually(what string, so func() bool) {
	w.t.Helper()
	wait.Until(w.t, what, so)
}

// empty waits until a queue of the service has neither waiting nor unsettled messages.
func (s *service) empty(q broker.Queue) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the %s are settled", q), func() bool {
		n, err := s.broker.Depth(s.t.Context(), s.name, q)
		return err == nil && n == 0
	})
}

// parked returns the parked messages, oldest first, as "subject/version state".
func (s *service) parked() []string {
	s.t.Helper()
	letters := s.letters("")
	out := make([]string, 0, len(letters))
	for i := len(letters) - 1; i >= 0; i-- {
		var data happened
		_ = json.Unmarshal(letters[i].Message.Data, &data)
		out = append(out, fmt.Sprintf("%s/%d %s", letters[i].Message.Subject, data.Version, letters[i].State))
	}
	return out
}

func (s *service) letters(state store.ParkedState) []store.ParkedMessage {
	s.t.Helper()
	letters, err := s.db.DeadLetters(s.t.Context(), state, 1000, 0)
	require.NoError(s.t, err)
	return letters
}

// emitted collects the first n events that the handlers of the service emitted, in the order of the log.
func (s *service) emitted(n int) map[string][]int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	entries, err := s.broker.Log(ctx, 0)
	require.NoError(s.t, err)
	got := map[string][]int{}
	seen := 0
	for e := range entries {
		if e.Source != events.Source(s.name) || events.IsInternal(e.Type) {
			continue
		}
		var data noted
		require.NoError(s.t, json.Unmarshal(e.Data, &data))
		got[data.Symbol] = append(got[data.Symbol], data.Observations)
		if seen++; seen == n {
			break
		}
	}
	cancel()
	for range entries { // until it is closed
		continue
	}
	require.Equal(s.t, n, seen, "events in the log of %s: %v", s.name, got)
	return got
}
