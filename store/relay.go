package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/broker"
	"stega/events"
)

// Relay moves the outbox of one database to the broker, and nothing else does. One relay works per
// service at a time (an advisory lock on PostgreSQL, a process-wide one on SQLite); others stand by.
//
// It scans the pending rows, never a high-water mark over a serial, for a lower id can commit later; floor says how far back it looks. At most one message of a subject is unconfirmed at a time, so that a refused one cannot be overtaken by its successor; messages of different
// subjects are pipelined. A confirmed row is deleted by its id; with a Volatile broker it stays
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

// scan reads pending rows in the order of their ids, until it has seen all or the window is full.
//
// What one scan reads is of one snapshot: an event that was committed between two looks at the table could otherwise be found and sent while an
// earlier one of its subject, committed since the first look, is not. For the same reason a scan that the full window ended is not
// gone on with but begun anew, once there is room.
func (w *relaying) scan(ctx context.Context) error {
	if !w.wants() {
		return nil
	}
	w.crowded = false
	var after int64
	var err error
	if w.DB.Read().Dialect().Name() == dialect.PG {
		if after, err = w.floor.after(ctx, w.conn, w.seen); err != nil {
			return err
		}
	}
	ids, err := pending(ctx, w.conn, after, relayPage)
	if err != nil {
		return err
	}
	if len(ids) < relayPage { // all, by one statement
		if err := w.hold(ctx, w.conn, ids); err != nil {
			return err
		}
		return w.end()
	}
	return w.conn.RunInTx(ctx, &sql.TxOptions{Isolation: w.isolation(), ReadOnly: true}, func(ctx context.Context, tx bun.Tx) error {
		for {
			ids, err := pending(ctx, tx, after, relayPage)
			if err != nil {
				return err
			}
			if err := w.hold(ctx, tx, ids); err != nil {
				return err
			}
			if len(ids) < relayPage {
				return w.end()
			}
			if after = ids[len(ids)-1]; w.full() {
				w.crowded = true
				return nil
			}
		}
	})
}

// isolation is that of a transaction whose statements see one snapshot. Those of SQLite always do.
func (w *relaying) isolation() sql.IsolationLevel {
	if w.DB.Read().Dialect().Name() == dialect.PG {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// pending are the ids of rows, which an index has: the data of those that are held already need not be read again.
func pending(ctx context.Context, db bun.IDB, after int64, limit int) (ids []int64, err error) {
	err = db.NewSelect().Table("outbox").Column("id").Where("published = 0").Where("id > ?", after).OrderExpr("id").Limit(int64(limit)).Scan(ctx, &ids)
	return ids, err
}

// wants reports whether there may be rows that the window has room for. A window that was full is filled again when half of it is free, as the
// rows that it holds are read once more then.
func (w *relaying) wants() bool {
	return !w.caught && !w.full() && (!w.crowded || len(w.held) <= relayWindow/2 && w.bytes <= relayBytes/2)
}

// end notes that a scan has seen all.
func (w *relaying) end() error {
	w.floor.end()
	w.caught = true
	return nil
}

// hold takes those rows into the window that are not in it yet. A row is changed and deleted by the relay alone, so they may be read later than their ids.
func (w *relaying) hold(ctx context.Context, db bun.IDB, ids []int64) error {
	fresh := make([]int64, 0, len(ids))
	for _, id := range ids {
		w.seen = max(w.seen, id)
		if !w.held[id] {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	var rows []outboxRow
	if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(fresh)).OrderExpr("id").Scan(ctx); err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		w.held[row.ID] = true
		w.bytes += len(row.Data)
		key := row.line()
		l := w.lines[key]
		if l == nil {
			l = &line{}
			w.lines[key] = l
		}
		l.rows = append(l.rows, *row)
		if len(l.rows) == 1 {
			w.open = append(w.open, l)
		}
	}
	return nil
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

// collect takes in what became of messages on their way.
func (w *relaying) collect() {
	w.mu.Lock()
	results, handled := w.results, w.handled
	w.results, w.handled = nil, nil
	w.mu.Unlock()
	for _, r := range results {
		w.result(r)
	}
	for _, id := range handled {
		if p, ok := w.published[id]; ok {
			delete(w.published, id)
			w.done(p.id)
		} else if _, flying := w.flight[id]; flying { // others are of other services
			w.flight[id] = true
		}
	}
}

func (w *relaying) result(r result) {
	key := r.row.line()
	l := w.lines[key]
	handled := w.flight[r.row.MessageID]
	delete(w.flight, r.row.MessageID)
	l.flying = false
	if r.err != nil {
		l.tries++
		wait := min(retryMin<<min(l.tries, 10), retryMax)
		l.due = time.Now().Add(wait/2 + rand.N(wait/2))
		w.open = append(w.open, l)
		if l.tries&(l.tries-1) == 0 {
			w.Log.Warn("a message was not taken and is sent again", "message", r.row.MessageID, "topic", r.row.Topic, "tries", l.tries, "error", r.err)
		}
		return
	}
	id, message := r.row.ID, r.row.MessageID
	w.bytes -= len(r.row.Data)
	l.rows[0] = outboxRow{}
	l.rows, l.tries, l.due = l.rows[1:], 0, time.Time{}
	if len(l.rows) > 0 {
		w.open = append(w.open, l)
	} else {
		delete(w.lines, key)
	}
	if !w.volatile {
		w.done(id)
		return
	}
	if handled {
		w.done(id)
		return
	}
	w.published[message] = publication{id, time.Now()}
}

func (w *relaying) done(id int64) {
	if len(w.settled) == 0 {
		w.settledAt = time.Now()
	}
	w.settled = append(w.settled, id)
}

// settle deletes the rows that are done, when there are enough of them or they have waited; at the end all.
func (w *relaying) settle(ctx context.Context, all bool) error {
	for len(w.settled) > 0 && (all || len(w.settled) >= settleRows || time.Since(w.settledAt) > relaySettle) {
		n := min(len(w.settled), settleRows)
		ids := w.settled[:n]
		if err := w.change(ctx, "DELETE FROM outbox WHERE id IN (?)", ids); err != nil {
			return err
		}
		for _, id := range ids {
			delete(w.held, id)
		}
		w.settled = w.settled[n:]
	}
	if w.volatile && len(w.held) >= relayWindow/2 {
		return w.mark(ctx)
	}
	return nil
}

// mark makes scans pass over rows whose message was published a while ago and is not handled everywhere yet.
func (w *relaying) mark(ctx context.Context) error {
	var ids []int64
	for _, p := range w.published {
		if p.id != 0 && w.held[p.id] && time.Since(p.at) > markAfter {
			ids = append(ids, p.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := w.change(ctx, "UPDATE outbox SET published = 1 WHERE id IN (?)", ids); err != nil {
		return err
	}
	for _, id := range ids {
		delete(w.held, id)
	}
	return nil
}

// change runs a statement over ids.
func (w *relaying) change(ctx context.Context, query string, ids []int64) error {
	if w.write != nil {
		_, err := w.write.ExecContext(ctx, query, bun.List(ids))
		return err
	}
	return w.DB.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Later(tx.NewRaw(query, bun.List(ids)))
		return nil
	})
}

// lastWords is how long the relay waits at its end for what is on its way.
const lastWords = 2 * time.Second

// last takes in what is still on its way and deletes what is done, so that less is sent twice.
func (w *relaying) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	for len(w.flight) > 0 {
		select {
		case <-w.news:
			w.collect()
		case <-ctx.Done():
			return
		}
	}
	w.collect()
	if err := w.settle(ctx, true); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.Log.Debug("what was sent is sent again at the next start", "error", err)
	}
}
