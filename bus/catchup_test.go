package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/rabbitmq"
	"stega/bus"
	"stega/events"
	"stega/fault"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/store"
)

// node is a service on RabbitMQ whose consumers note the versions that they see, by topic.
type node struct {
	t      *testing.T
	server *servers.Rabbit
	admin  broker.Broker
	db     *store.DB

	mu   sync.Mutex
	seen map[string][]int64
}

func newNode(t *testing.T, newStore func(t testing.TB, service string) *store.DB) *node {
	n := &node{t: t, server: servers.RabbitMQ(t), seen: map[string][]int64{}}
	n.admin = rabbitAt(t, n.server.URL())
	n.db = newStore(t, "node")
	return n
}

func (n *node) note(topic string, version int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[topic] = append(n.seen[topic], version)
}

func (n *node) noted(topic string) []int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen[topic])
}

const created, updated = "portfolio.created", "portfolio.updated"

// errand is a job of the node.
type errand struct {
	Version int64 `json:"version"`
}

func (errand) Topic() string   { return "node.errand" }
func (errand) Subject() string { return "e" }

const refused = 99

// dispatcher handles created and, in the second version, updated.
func (n *node) dispatcher(second bool) *bus.Dispatcher {
	d := bus.NewDispatcher("node")
	bus.Handle(d, func(_ context.Context, _ *store.Tx, e events.PortfolioCreated) error {
		n.note(created, e.Version)
		return nil
	})
	bus.Handle(d, func(_ context.Context, _ *store.Tx, e errand) error {
		n.note(errand{}.Topic(), e.Version)
		if e.Version == refused {
			return fault.Conflict("errand_refused", "the errand makes no sense")
		}
		return nil
	}, bus.Deferred())
	if second {
		bus.Handle(d, func(_ context.Context, _ *store.Tx, e events.PortfolioUpdated) error {
			n.note(updated, e.Version)
			return nil
		})
	}
	return d
}

func (n *node) declare(second bool) {
	n.t.Helper()
	require.NoError(n.t, n.admin.Declare(n.t.Context(), broker.Topology{Services: []broker.ServiceTopology{
		{Service: "node", Topics: n.dispatcher(second).Topics()},
	}}))
}

// run starts a consumer that has the rights of a service alone.
func (n *node) run(second bool) (c *bus.Consumer, stop func()) {
	n.t.Helper()
	own, err := rabbitmq.Open(n.t.Context(), rabbitmq.Config{
		URL: n.server.AddUser(n.t, "^$", `^stega\.(events|commands|dead)$`,
			`^(stega\.log|stega\.node\.(events|commands|dead))$`),
		Log: slog.New(slog.NewTextHandler(n.t.Output(), nil)),
	})
	require.NoError(n.t, err)
	c = &bus.Consumer{
		Dispatcher: n.dispatcher(second), DB: n.db, Broker: own, Log: slog.New(slog.NewTextHandler(n.t.Output(), nil)),
		Options: bus.ConsumerOptions{Inspect: 100 * time.Millisecond, Verify: 300 * time.Millisecond},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		require.NoError(n.t, err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			assert.NoError(n.t, <-done)
			assert.NoError(n.t, own.Close())
		})
	}
	n.t.Cleanup(stop)
	return c, stop
}

func (n *node) publish(topic string, versions ...int64) {
	n.t.Helper()
	for _, v := range versions {
		data, err := json.Marshal(events.Portfolio{ID: "p", Name: "p", Version: v})
		require.NoError(n.t, err)
		confirmed := make(chan error, 1)
		require.NoError(n.t,
			n.admin.Publish(n.t.Context(), broker.Outgoing{Message: events.Message{Envelope: events.Envelope{
				ID: events.NewID(), Source: events.Source("portfolio"), Type: topic, Subject: "p", Time: time.Now(),
				Correlation: events.NewID(), Sequence: v,
			}, Data: data}}, func(err error) { confirmed <- err }))
		require.NoError(n.t, <-confirmed)
	}
}

func (n *node) delete(path string) {
	n.t.Helper()
	n.server.API(n.t, http.MethodDelete, "/api/"+path, nil, nil)
}

func (n *node) unbind(topic string) {
	n.delete("bindings/" + n.server.Vhost + "/e/stega.events/q/stega.node.events/" + topic)
}

func (n *node) has(topic string, versions ...int64) {
	n.t.Helper()
	wait.Until(n.t, "all events took effect", func() bool { return len(n.noted(topic)) >= len(versions) })
	assert.Equal(n.t, versions, n.noted(topic))
}

// misses waits until a consumer misses something, and has a hint for it.
func (n *node) misses(c *bus.Consumer, code string) {
	n.t.Helper()
	wait.Until(n.t, "the consumer misses something: "+code, func() bool {
		return slices.ContainsFunc(c.Lacks(), func(l broker.Lack) bool {
			f, ok := errors.AsType[*fault.Fault](l.Err)
			return ok && f.Code == code && strings.Contains(f.Hint, "stega migrate")
		})
	})
}

func (n *node) whole(c *bus.Consumer) {
	n.t.Helper()
	wait.Until(n.t, "the consumer misses nothing", func() bool { return len(c.Lacks()) == 0 })
}

func onBothStores(t *testing.T, test func(n *node)) {
	for name, newStore := range map[string]func(t testing.TB, service string) *store.DB{"SQLite": sqliteStore,
		"PostgreSQL": postgresStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newNode(t, newStore))
		})
	}
}

// What was published while a queue was gone is confirmed, as the log takes it, and the consumer takes it from there.
func TestWhatCameWhileAQueueWasGoneIsTakenFromTheLogInOrder(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		c, _ := n.run(false)
		n.publish(created, 1, 2)
		n.has(created, 1, 2)
		n.delete("queues/" + n.server.Vhost + "/stega.node.events")
		n.misses(c, "queue_missing")
		n.publish(created, 3, 4, 5)
		n.declare(false)
		n.publish(created, 6)
		n.has(created, 1, 2, 3, 4, 5, 6)
		n.whole(c)
	})
}

func TestWhatCameWhileABindingWasGoneIsTakenFromTheLog(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		c, _ := n.run(false)
		n.publish(created, 1, 2)
		n.has(created, 1, 2)
		n.unbind(created)
		n.misses(c, "binding_missing")
		n.publish(created, 3, 4)
		n.declare(false)
		n.has(created, 1, 2, 3, 4)
		n.whole(c)
		n.publish(created, 5)
		n.has(created, 1, 2, 3, 4, 5)
	})
}

// Nobody noticed: the consumer was away all the while.
func TestWhatCameWhileNobodyConsumedIsComparedWithTheLogAtTheStart(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		_, stop := n.run(false)
		n.publish(created, 1)
		n.has(created, 1)
		stop()
		n.publish(created, 2)
		n.delete("queues/" + n.server.Vhost + "/stega.node.events")
		n.publish(created, 3)
		n.declare(false)
		n.run(false)
		n.has(created, 1, 2, 3)
	})
}

// A migration of the second version binds a topic that the running first version has no handler for.
func TestANewVersionTakesWhatTheOldOneHadNoHandlerFor(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		_, stop := n.run(false)
		n.publish(updated, 1) // before the second version is thought of
		n.publish(created, 1)
		n.has(created, 1)
		n.declare(true)
		n.publish(updated, 2, 3, 4)
		n.publish(created, 2)
		n.has(created, 1, 2)
		wait.Until(n.t, "the first version has settled all", func() bool {
			depth, err := n.admin.Depth(n.t.Context(), "node", broker.Events)
			return err == nil && depth == 0
		})
		n.run(true)
		n.publish(updated, 5)
		stop()
		n.publish(updated, 6)
		wait.Until(n.t, "the second version has all that came since",
			func() bool { return slices.Contains(n.noted(updated), 6) && len(n.noted(updated)) >= 5 })
		got := n.noted(updated)
		slices.Sort(got)
		assert.Equal(n.t, []int64{2, 3, 4, 5, 6}, slices.DeleteFunc(got, func(v int64) bool { return v == 1 }))
		assert.Equal(n.t, []int64{1, 2}, n.noted(created), "and nothing twice")
	})
}

// A log that began anew has none of the old marks; what is in it is compared with the inbox.
func TestALogThatBeganAnewIsComparedFromItsBeginning(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		_, stop := n.run(false)
		n.publish(created, 1, 2, 3, 4)
		n.has(created, 1, 2, 3, 4)
		stop()
		n.delete("queues/" + n.server.Vhost + "/stega.log")
		n.delete("queues/" + n.server.Vhost + "/stega.node.events")
		n.declare(false)
		n.unbind(created)
		n.publish(created, 5)
		n.declare(false)
		n.publish(created, 6)
		n.run(false)
		wait.Until(n.t, "both are there", func() bool { return len(n.noted(created)) >= 6 })
		got := n.noted(created)
		slices.Sort(got)
		assert.Equal(n.t, []int64{1, 2, 3, 4, 5, 6}, got)
	})
}

// relay moves the outbox to the broker until it is stopped.
func (n *node) relay() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = (&store.Relay{DB: n.db, Broker: n.admin, Log: slog.New(slog.NewTextHandler(n.t.Output(), nil))}).Run(ctx,
			func() {})
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	n.t.Cleanup(stop)
	return stop
}

func (n *node) submit(version int64) store.Operation {
	n.t.Helper()
	op, err := bus.NewCommandBus(n.dispatcher(false), n.db).
		Submit(n.t.Context(), bus.Submission{Command: errand{version}})
	require.NoError(n.t, err)
	return op
}

// sent waits until all commands have left the outbox and wait in the queue.
func (n *node) sent(commands int) {
	n.t.Helper()
	wait.Until(n.t, "the commands wait in the queue", func() bool {
		var rows int
		if err := n.db.Read().NewRaw("SELECT count(*) FROM outbox WHERE service <> ''").Scan(n.t.Context(),
			&rows); err != nil || rows > 0 {
			return false
		}
		depth, err := n.admin.Depth(n.t.Context(), "node", broker.Commands)
		return err == nil && depth == commands
	})
}

func (n *node) status(op store.Operation, want store.OperationStatus) {
	n.t.Helper()
	wait.Until(n.t, "the operation is over", func() bool {
		now, err := n.db.Operation(n.t.Context(), op.ID)
		return err == nil && now.Status == want
	})
}

// settledCommands waits until no command is kept.
func (n *node) settledCommands() {
	n.t.Helper()
	wait.Until(n.t, "no command is kept", func() bool {
		var rows int
		err := n.db.Read().NewRaw("SELECT (SELECT count(*) FROM commands) + (SELECT count(*) FROM outbox WHERE "+
			"service <> '')").Scan(n.t.Context(), &rows)
		return err == nil && rows == 0
	})
}

// Commands that were accepted and wait in a queue that is deleted are sent again once the queue is back, and run once.
func TestCommandsInAQueueThatVanishedRunOnce(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		n.relay()
		first, second, bad, cancelled := n.submit(1), n.submit(2), n.submit(refused), n.submit(3)
		n.sent(4)
		n.delete("queues/" + n.server.Vhost + "/stega.node.commands")
		require.NoError(t, n.db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return store.OperationsOf(tx).RequestCancel(ctx, cancelled.ID)
		}))
		n.declare(false)
		n.run(false)
		n.status(first, store.Succeeded)
		n.status(second, store.Succeeded)
		n.status(bad, store.Failed)
		n.status(cancelled, store.Failed)
		n.settledCommands()
		got := n.noted(errand{}.Topic())
		slices.Sort(got)
		assert.Equal(t, []int64{1, 2, refused}, got, "each once, and not the one that was cancelled")
	})
}

// The queue vanishes while the consumer runs and the relay still has commands for it.
func TestCommandsThatCameWhileTheirQueueWasGoneRunOnce(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(n *node) {
		n.declare(false)
		c, _ := n.run(false)
		stop := n.relay()
		n.status(n.submit(1), store.Succeeded)
		n.delete("queues/" + n.server.Vhost + "/stega.node.commands")
		n.misses(c, "queue_missing")
		op := n.submit(2)
		n.declare(false)
		n.whole(c)
		n.status(op, store.Succeeded)
		stop()
		n.settledCommands()
		assert.Equal(t, []int64{1, 2}, n.noted(errand{}.Topic()))
	})
}
