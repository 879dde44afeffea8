package store

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"stega/broker"
	"stega/events"
)

// Relay moves the outbox of one database to the broker, and nothing else does. One relay works per
// service at a time (an advisory lock on PostgreSQL, a process-wide one on SQLite); others stand by.
//
// It scans the pending rows, never a high-water mark over a serial, for a lower id can commit later; floor says how far
// back it looks. At most one message of a subject is unconfirmed at a time, so that a refused one cannot be overtaken by
// its successor; messages of different subjects are pipelined. A confirmed row is deleted by its id; with a Volatile broker it stays
// until the message was handled everywhere, and is published again at the next start.
type Relay struct {
	DB     *DB
	Broker broker.Broker
	Log    *slog.Logger
}

// What the relay holds and how often it looks.
const (
	relayPage   = 512      // rows read at a time
	relayWindow = 4096     // rows held in memory
	relayBytes  = 32 << 20 // their data
	relayPoll   = 25 * time.Millisecond
	relaySettle = 10 * time.Millisecond // how long confirmed rows are collected before they are deleted
	settleRows  = 1000                  // deleted at a time
	markAfter   = 2 * time.Second       // published and not handled: the row is marked, so that scans pass it over
	retryMin    = 50 * time.Millisecond
	retryMax    = 5 * time.Second
)

// Run relays until ctx ends; ready is called once the relay works or stands by. It survives the absence of the broker and of the
// database.
func (r *Relay) Run(ctx context.Context, ready func()) error {
	ready()
	for pause := retryMin; ; {
		lead, err := r.DB.engine.lead(ctx, r.DB.service)
		if err == nil {
			pause = retryMin
			err = r.work(ctx, lead)
			lead.release()
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		r.Log.Warn("the relay starts anew", "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, retryMax)
	}
}

// outboxRow is a row of the table outbox.
type outboxRow struct {
	bun.BaseModel `bun:"table:outbox"`

	ID          int64 `bun:",pk"`
	MessageID   string
	Service     string
	Topic       string
	Subject     string
	EmittedAt   int64
	Correlation string
	Causation   string
	Traceparent string
	Sequence    int64
	Data        []byte
}

// line is the messages of one subject that are held, in order; the first may be on its way.
type line struct {
	rows   []outboxRow
	flying bool
	tries  int
	due    time.Time // not before
}

// result is what became of a message on its way.
type result struct {
	row *outboxRow
	err error
}

// relaying is a relay at work, while it leads.
type relaying struct {
	*Relay
	*leadership
	volatile bool

	held   map[int64]bool // rows that were read and are not deleted, by id
	bytes  int
	lines  map[lineKey]*line
	open   []*line // lines whose head can be sent
	seen   int64   // the highest id
	floor  floor   // where a scan begins
	caught bool    // the last one has seen all

	crowded bool // the last one was ended by the full window

	mu        sync.Mutex
	results   []result
	handled   []string // message ids, from a Volatile broker
	news      chan struct{}
	flight    map[string]bool        // by message id: on its way; true when it was handled before its confirmation was seen
	published map[string]publication // by message id: waits to be handled
	settled   []int64                // ids to delete
	settledAt time.Time
}

type publication struct {
	id int64
	at time.Time
}

type lineKey struct{ service, subject string }

// line is the line that a row belongs to. Commands compete: they have no order to keep.
func (r *outboxRow) line() lineKey {
	if r.Service != "" {
		return lineKey{r.Service, r.MessageID}
	}
	return lineKey{subject: r.Subject}
}

func (r *Relay) work(ctx context.Context, lead *leadership) error {
	w := &relaying{
		Relay: r, leadership: lead, held: map[int64]bool{}, lines: map[lineKey]*line{}, news: make(chan struct{}, 1),
		flight: map[string]bool{}, published: map[string]publication{},
	}
	if v, ok := r.Broker.(broker.Volatile); ok {
		w.volatile = true
		stop := v.OnHandled(w.onHandled)
		defer stop()
		// What the broker had when the process ended may be lost.
		err := r.DB.Do(ctx, func(ctx context.Context, tx *Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE outbox SET published = 0 WHERE published <> 0")
			return err
		})
		if err != nil {
			return err
		}
	}
	defer w.last(ctx)
	tick := time.NewTicker(relayPoll)
	defer tick.Stop()
	for {
		if err := w.scan(ctx); err != nil {
			return err
		}
		if err := w.send(ctx); err != nil {
			return err
		}
		if err := w.settle(ctx, false); err != nil {
			return err
		}
		if len(w.open) > 0 || w.wants() {
			if w.collect(); ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		select {
		case <-w.news:
		case <-r.DB.Committed():
			w.caught = false
		case <-tick.C:
			w.caught = false
		case <-ctx.Done():
			return ctx.Err()
		}
		w.collect()
	}
}

func (w *relaying) full() bool { return len(w.held) >= relayWindow || w.bytes >= relayBytes }

// onHandled hears from a Volatile broker that a message was handled everywhere.
func (w *relaying) onHandled(id string) {
	w.mu.Lock()
	w.handled = append(w.handled, id)
	w.mu.Unlock()
	w.wake()
}

func (w *relaying) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// send publishes the heads of the lines that are due.
func (w *relaying) send(ctx context.Context) error {
	if len(w.open) == 0 {
		return nil
	}
	open := w.open
	w.open = nil
	now := time.Now()
	for i, l := range open {
		if l.due.After(now) {
			w.open = append(w.open, l)
			continue
		}
		row := &l.rows[0]
		l.flying, w.flight[row.MessageID] = true, false
		err := w.Broker.Publish(ctx, w.outgoing(row), func(err error) {
			w.mu.Lock()
			w.results = append(w.results, result{row, err})
			w.mu.Unlock()
			w.wake()
		})
		if err != nil {
			l.flying = false
			delete(w.flight, row.MessageID)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.open = append(w.open, open[i:]...)
			return err
		}
	}
	// Lines that only wait for another try keep nobody busy.
	waiting := true
	for _, l := range w.open {
		waiting = waiting && l.due.After(now)
	}
	if waiting && len(w.open) > 0 {
		w.pause(ctx)
	}
	return nil
}

// pause waits a little while nothing can be sent, unless there is news.
func (w *relaying) pause(ctx context.Context) {
	timer := time.NewTimer(relayPoll)
	defer timer.Stop()
	select {
	case <-w.news:
	case <-timer.C:
		w.caught = false
	case <-ctx.Done():
	}
}

func (w *relaying) outgoing(r *outboxRow) broker.Outgoing {
	return broker.Outgoing{Service: r.Service, Message: events.Message{Envelope: events.Envelope{
		ID: r.MessageID, Source: events.Source(w.DB.service), Type: r.Topic, Subject: r.Subject, Time: at(r.EmittedAt), Correlation: r.Correlation,
		Causation: r.Causation, Sequence: r.Sequence, TraceParent: r.Traceparent, ContentType: "application/json",
	}, Data: r.Data}}
}
