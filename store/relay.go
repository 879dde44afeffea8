package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"stega/broker"
	"stega/events"
	"stega/internal/backoff"
)

// Relay moves the outbox of one database to the broker, and nothing else does. One relay works per service at a time
// (an advisory lock on PostgreSQL, a process-wide one on SQLite); others stand by.
//
// It scans the pending rows, never a high-water mark over a serial, for a lower id can commit later; floor says how
// far back it looks. At most one message of a subject is unconfirmed at a time, so that a refused one cannot be
// overtaken by its successor; messages of different subjects are pipelined. A confirmed row is deleted by its id;
// with a Volatile broker it stays until the message was handled everywhere, and is published again at the next start.
//
// The lock saves work and does not keep the order. A relay sends a message only after it has seen the one before
// confirmed, or deleted, which a relay does after the confirmation. So two relays that overlap, since one was frozen
// or cut off, repeat messages, which the inboxes drop, and never send one before its predecessor.
type Relay struct {
	DB     *DB
	Broker broker.Publisher
	Log    *slog.Logger

	mu        sync.Mutex
	results   []result
	handled   []string // message ids, from a Volatile broker
	news      chan struct{}
	volatile  bool
	confirmed map[string]bool        // by message id: sent for good, and the row is not deleted yet
	published map[string]publication // by message id: waits to be handled
}

// What the relay holds and how often it looks.
const (
	relayPage   = 512                   // rows read at a time
	relayFirst  = 32                    // of them, before it is known how large they are
	relayWindow = 4096                  // rows held in memory
	relayBytes  = 32 << 20              // their data
	relayPause  = 25 * time.Millisecond // between looks at what can be sent again
	relaySettle = 10 * time.Millisecond // how long confirmed rows are collected before they are deleted
	settleRows  = 1000                  // deleted at a time
	markAfter   = 2 * time.Second       // published and not handled: the row is marked, so that scans pass it over
	markLate    = 10 * time.Second      // the same while the window has room
	retryMin    = 50 * time.Millisecond
	retryMax    = 5 * time.Second
	retryReset  = 4 * retryMax    // a relay that worked for so long starts anew without a long pause
	sendLimit   = 5 * time.Second // how long the broker may take to accept a message
)

// Run relays until ctx ends; ready is called once the relay works or stands by. It survives the absence of the broker
// and of the database.
func (r *Relay) Run(ctx context.Context, ready func()) error {
	ready()
	r.news, r.confirmed, r.published = make(chan struct{}, 1), map[string]bool{}, map[string]publication{}
	if v, ok := r.Broker.(broker.Volatile); ok {
		r.volatile = true
		stop := v.OnHandled(r.onHandled)
		defer stop()
	}
	pause := backoff.Backoff{Base: retryMin, Max: retryMax}
	for {
		lead, err := r.DB.engine.lead(ctx)
		if err == nil {
			began := time.Now()
			err = r.work(ctx, lead)
			lead.release()
			if time.Since(began) > retryReset {
				pause.Reset()
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if Refuses(err) {
			r.DB.refused.Store(true)
		}
		r.Log.Warn("relay restarting", "error", err)
		if !pause.Sleep(ctx) {
			return nil
		}
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
	faults int       // of them, those that may be the message's own
	err    error     // the last
	due    time.Time // not before
}

// suspect reports whether the head of a line may be what ends the channel, and with it the flight of others: it is
// sent alone.
func (l *line) suspect() bool { return l.faults > 0 }

// result is what became of a message on its way.
type result struct {
	of  *activeRelay
	row *outboxRow
	err error
}

// activeRelay is a Relay while it leads.
type activeRelay struct {
	*Relay
	*leadership

	held   map[int64]bool // rows that were read and are not deleted, by id
	bytes  int
	lines  map[lineKey]*line
	open   []*line // lines whose head can be sent
	seen   int64   // the highest id
	floor  floor   // where a scan begins
	caught bool    // the last one has seen all

	crowded bool // the last one was ended by the full window

	flight    map[string]bool // by message id: on its way; true when it was handled before its confirmation was seen
	settled   []pair          // to delete
	settledAt time.Time
	marked    time.Time // when rows were last marked for their age
	usedAt    time.Time // when the session was last used
	alone     *line     // a suspect that was sent
	dead      []int64   // rows that were given up
	stopped   []string  // subjects of theirs, whose later rows wait
	deadAt    time.Time // when these were last read
}

// pair is the id of a row of the outbox and that of the message in it.
type pair struct {
	id      int64
	message string
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
	w := &activeRelay{
		Relay: r, leadership: lead, held: map[int64]bool{}, lines: map[lineKey]*line{}, flight: map[string]bool{},
		usedAt: time.Now(),
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	defer w.last(ctx)
	tick := time.NewTicker(lead.poll)
	defer tick.Stop()
	for {
		if err := w.round(ctx); err != nil {
			return err
		}
		if len(w.open) > 0 || w.wants() {
			if w.collect(); ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		if err := w.idle(ctx, tick.C); err != nil {
			return err
		}
		w.collect()
	}
}

// idle waits until something may be to do.
func (w *activeRelay) idle(ctx context.Context, tick <-chan time.Time) error {
	if w.listen != nil {
		stop := w.listen()
		defer stop()
	}
	select {
	case <-w.news:
		return nil
	case <-w.DB.Committed():
	case <-w.notified:
	case <-tick:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.caught = false
	return nil
}

// begin prepares a relay that leads now. What a Volatile broker had when the process ended may be lost; what it was
// given since, it has.
func (w *activeRelay) begin(ctx context.Context) error {
	if w.volatile && len(w.published) == 0 {
		err := w.DB.Do(ctx, func(ctx context.Context, tx *Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE outbox SET published = 0 WHERE published = 1")
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := w.stops(ctx); err != nil {
		return err
	}
	if len(w.confirmed) == 0 {
		return nil
	}
	if err := w.scan(ctx); err != nil { // finds the rows that were confirmed, to delete them before anything is sent
		return err
	}
	return w.settle(ctx, true)
}

// round reads, deletes and sends what there is.
func (w *activeRelay) round(ctx context.Context) error {
	if len(w.dead) > 0 && time.Since(w.deadAt) > leadPoll {
		if err := w.stops(ctx); err != nil {
			return err
		}
	}
	if err := w.scan(ctx); err != nil {
		return err
	}
	if err := w.settle(ctx, false); err != nil {
		return err
	}
	if err := w.send(ctx); err != nil {
		return err
	}
	return w.beat(ctx)
}

// beat uses the session now and then, or the server would end it.
func (w *activeRelay) beat(ctx context.Context) error {
	if time.Since(w.usedAt) < leadBeat {
		return nil
	}
	return w.onSession(ctx, func(ctx context.Context) error {
		_, err := w.conn.ExecContext(ctx, "SELECT 1")
		return err
	})
}

// onSession runs a query on the session, for a limited time. A session that does not answer is given up, and with it
// the lock.
func (w *activeRelay) onSession(ctx context.Context, query func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, leadQuery)
	defer cancel()
	err := query(ctx)
	w.usedAt = time.Now()
	return err
}

func (w *activeRelay) full() bool { return len(w.held) >= relayWindow || w.bytes >= relayBytes }

// onHandled is called by a Volatile broker when a message was handled everywhere.
func (r *Relay) onHandled(id string) {
	r.mu.Lock()
	r.handled = append(r.handled, id)
	r.mu.Unlock()
	r.wake()
}

func (r *Relay) wake() { signal(r.news) }

// send publishes the heads of the lines that are due. While one of them is suspect, nothing else is on its way.
func (w *activeRelay) send(ctx context.Context) error {
	if len(w.open) == 0 {
		return nil
	}
	now := time.Now()
	if err := w.giveUpHeads(ctx); err != nil {
		return err
	}
	alone := slices.IndexFunc(w.open, func(l *line) bool { return l.suspect() && !l.due.After(now) })
	open := w.open
	switch {
	case w.alone != nil && w.alone.flying, alone >= 0 && len(w.flight) > 0:
		w.pause(ctx)
		return nil
	case alone >= 0:
		w.alone = w.open[alone]
		open = []*line{w.alone}
		w.open = slices.Delete(w.open, alone, alone+1)
	default:
		w.open = nil
	}
	for i, l := range open {
		if l.due.After(now) {
			w.open = append(w.open, l)
			continue
		}
		err := w.publish(ctx, l)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, broker.ErrClosed):
			w.open = append(w.open, open[i:]...)
			return err
		case errors.Is(err, context.DeadlineExceeded): // the broker takes nothing at present
			w.open = append(append(w.open, open[i+1:]...), l)
			return nil
		default:
			w.again(l, err, true)
		}
	}
	// Lines that only wait for another try do not keep the relay busy.
	waiting := true
	for _, l := range w.open {
		waiting = waiting && l.due.After(now)
	}
	if waiting && len(w.open) > 0 {
		w.pause(ctx)
	}
	return nil
}

// publish sends the head of a line. An error means that it was not sent.
func (w *activeRelay) publish(ctx context.Context, l *line) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	row := &l.rows[0]
	l.flying, w.flight[row.MessageID] = true, false
	err := w.Broker.Publish(ctx, row.outgoing(w.DB.service), func(err error) {
		w.mu.Lock()
		w.results = append(w.results, result{w, row, err})
		w.mu.Unlock()
		w.wake()
	})
	if err != nil {
		l.flying = false
		delete(w.flight, row.MessageID)
	}
	return err
}

// pause waits a little while nothing can be sent, unless there is news.
func (w *activeRelay) pause(ctx context.Context) {
	timer := time.NewTimer(relayPause)
	defer timer.Stop()
	select {
	case <-w.news:
	case <-timer.C:
		w.caught = false
	case <-ctx.Done():
	}
}

func (r *outboxRow) outgoing(service string) broker.Outgoing {
	return broker.Outgoing{Service: r.Service, Message: events.Message{Envelope: events.Envelope{
		ID: r.MessageID, Source: events.Source(service), Type: r.Topic, Subject: r.Subject, Time: at(r.EmittedAt),
		Correlation: r.Correlation,
		Causation:   r.Causation, Sequence: r.Sequence, TraceParent: r.Traceparent, ContentType: "application/json",
	}, Data: r.Data}}
}
