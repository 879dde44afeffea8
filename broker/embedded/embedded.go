// Package embedded is a broker that lives in the process and needs no port. One SQLite file keeps the log of all
// events and the dead letters; queues in memory stand between the log and each service.
//
// The event and command queues are empty at each start. That loses nothing, for the broker is Volatile: the
// outbox keeps every message until all its services have settled it and sends the rest again at the next start,
// and the inbox drops the duplicates. The folder has only the log, the dead letters and the times of unclean ends,
// and losing the folder loses no more than these.
//
// Queues are bounded, and Publish blocks while a queue of the message is full. So a service that takes nothing holds up
// its publishers, and their messages stay in the outbox.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"stega/broker"
)

// Broker is the broker in the process. Close ends it.
type Broker struct {
	log  *slog.Logger
	dir  string
	now  func() time.Time
	file atomic.Pointer[file]

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	closed chan struct{} // closed when Close has done its work

	arrived   chan struct{} // pending has something
	completed chan struct{} // answered has something
	damaged   chan struct{} // the file is to be replaced
	deadID    atomic.Int64  // of the last dead letter

	// A message that ends its process would do so for ever, since queues are empty at each start, and with them the
	// counts of deliveries. So each start that followed an unclean end counts as a delivery of every message that was
	// emitted before it and comes again.
	uncleanEnds []time.Time // oldest first

	mu       sync.Mutex // guards all that follows, and the queues
	closing  bool
	failure  error               // why the file was not written last
	services map[string][]string // topics by declared service
	bound    map[string][]*queue // event queues by topic
	queues   map[name]*queue
	room     chan struct{} // closed when a waiting Publish may go on; nil when none waits
	inFlight load          // published, and not yet answered
	pending  []*publication
	answered []*publication // to be confirmed to their publishers
	handled  handled
}

// name is what a queue is called.
type name struct {
	service string
	kind    broker.Queue
}

var (
	_ broker.Broker   = (*Broker)(nil)
	_ broker.Volatile = (*Broker)(nil)
)

// Open starts the broker with its file in dir, which it makes when it is missing. A file that is damaged is moved
// aside, with a warning. Nothing is bound before Declare. The caller ensures that only one broker uses a folder.
func Open(ctx context.Context, dir string, log *slog.Logger) (*Broker, error) {
	b := &Broker{
		log: log, dir: dir, now: time.Now, closed: make(chan struct{}), arrived: make(chan struct{}, 1),
		completed: make(chan struct{}, 1), damaged: make(chan struct{}, 1),
		services: map[string][]string{}, bound: map[string][]*queue{}, queues: map[name]*queue{},
		handled: handled{open: map[string]int{}},
	}
	if err := b.open(ctx); err != nil {
		return nil, fmt.Errorf("start the embedded broker in %s: %w", dir, err)
	}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.tasks.Add(2)
	go b.write()
	go b.confirm()
	return b, nil
}

// open opens the file and loads what it has.
func (b *Broker) open(ctx context.Context) error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	_, former := os.Stat(filepath.Join(b.dir, formerStore))
	_, present := os.Stat(filepath.Join(b.dir, fileName))
	f, err := openUsable(ctx, b.dir, b.now(), b.log)
	if err != nil {
		return err
	}
	if former == nil && present != nil {
		b.log.Warn(
			"the event log of an earlier version is no longer used and may be deleted; no unhandled message is lost",
			"folder", filepath.Join(b.dir, formerStore))
	}
	err = b.loadDead(ctx, f)
	if errors.Is(err, errDamaged) {
		b.queues = map[name]*queue{}
		err = f.close()
		if f, err = replaceFile(ctx, b.dir, b.now(), b.log, errors.Join(errDamaged, err)); err != nil {
			return err
		}
	} else if err != nil {
		return errors.Join(err, f.close())
	}
	if b.uncleanEnds, err = f.beginRun(ctx, b.now()); err != nil {
		b.log.Warn("the embedded broker cannot record whether its last run was killed", "error", err)
	}
	b.file.Store(f)
	return nil
}

// formerStore is the folder in which an earlier version kept the log and the dead letters.
const formerStore = "jetstream"

// Declare binds the event queue of each service that t names to exactly the topics of t. Services that t does
// not name keep what they have.
func (b *Broker) Declare(_ context.Context, t broker.Topology) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return broker.ErrClosed
	}
	for _, s := range t.Services {
		topics := slices.Clone(s.Topics)
		slices.Sort(topics)
		b.services[s.Service] = slices.Compact(topics)
	}
	clear(b.bound)
	for service, topics := range b.services {
		q := b.queue(service, broker.Events)
		for _, topic := range topics {
			b.bound[topic] = append(b.bound[topic], q)
		}
	}
	return nil
}

// queue finds or makes a queue. The lock is held.
func (b *Broker) queue(service string, kind broker.Queue) *queue {
	key := name{service, kind}
	q := b.queues[key]
	if q == nil {
		q = &queue{b: b, name: key}
		b.queues[key] = q
	}
	return q
}

// Depth is the number of messages that wait in a queue or are not settled yet.
func (b *Broker) Depth(_ context.Context, service string, q broker.Queue) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return 0, broker.ErrClosed
	}
	if queue := b.queues[name{service, q}]; queue != nil {
		return queue.depth(), nil
	}
	return 0, nil
}

// State returns the state of the broker. It is blocked while the file cannot be written, as when the disk is full;
// publishes are refused then, and resume by themselves.
func (b *Broker) State() broker.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closing:
		return broker.State{Err: broker.ErrClosed}
	case b.failure != nil:
		return broker.State{Connected: true, Blocked: "the event log cannot be written; is the disk full?"}
	}
	return broker.State{Connected: true}
}

// Close ends all consumers and log readers, answers what is not confirmed with ErrUnknown, and closes the file. It may
// be called again, and then waits until the first call has done all that.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		<-b.closed
		return nil
	}
	b.closing = true
	b.wake()
	for _, q := range b.queues {
		for _, c := range slices.Clone(q.consumers) {
			c.end()
		}
	}
	b.mu.Unlock()
	b.cancel()
	b.tasks.Wait()
	f := b.file.Load()
	if err := errors.Join(f.endRun(), f.close()); err != nil {
		b.log.Warn("the file of the embedded broker could not be closed in order", "error", err)
	}
	close(b.closed)
	return nil
}

// deliveriesBefore returns in how many runs that ended uncleanly a message may have been delivered, at most.
func (b *Broker) deliveriesBefore(emitted time.Time) int {
	first := sort.Search(len(b.uncleanEnds), func(i int) bool { return b.uncleanEnds[i].After(emitted) })
	return len(b.uncleanEnds) - first
}

// begin reserves a place for work that Close waits for; it returns false once the broker is closing.
func (b *Broker) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.tasks.Add(1)
	return true
}

// wake makes every waiting Publish look for room again. The lock is held.
func (b *Broker) wake() {
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
}
