package store

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/broker"
	"stega/internal/backoff"
)

// collect takes in what became of messages on their way.
func (w *activeRelay) collect() {
	w.mu.Lock()
	results, handled := w.results, w.handled
	w.results, w.handled = nil, nil
	w.mu.Unlock()
	for _, r := range results {
		if r.of == w {
			w.result(r)
		}
	}
	for _, id := range handled {
		if p, ok := w.published[id]; ok {
			delete(w.published, id)
			w.done(pair{p.id, id})
		} else if _, flying := w.flight[id]; flying { // others are of other services
			w.flight[id] = true
		}
	}
}

func (w *activeRelay) result(r result) {
	key := r.row.line()
	l := w.lines[key]
	handled := w.flight[r.row.MessageID]
	delete(w.flight, r.row.MessageID)
	l.flying = false
	if r.err != nil {
		w.again(l, r.err, errors.Is(r.err, broker.ErrInvalid))
		return
	}
	sent := pair{r.row.ID, r.row.MessageID}
	w.next(key, l)
	if w.volatile && !handled {
		w.published[sent.message] = publication{sent.id, time.Now()}
		return
	}
	w.done(sent)
}

// next takes the head from a line.
func (w *activeRelay) next(key lineKey, l *line) {
	w.bytes -= len(l.rows[0].Data)
	l.rows[0] = outboxRow{}
	l.rows, l.tries, l.faults, l.due = l.rows[1:], 0, 0, time.Time{}
	if len(l.rows) > 0 {
		w.open = append(w.open, l)
	} else {
		delete(w.lines, key)
	}
}

// again delays the head of a line that was not taken; fault means that the message itself may be the reason.
func (w *activeRelay) again(l *line, err error, fault bool) {
	l.tries++
	if fault {
		l.faults++
	}
	l.err = err
	l.due = time.Now().Add(backoff.Half(backoff.Exponential(retryMin, retryMax, l.tries)))
	w.open = append(w.open, l)
	if l.tries&(l.tries-1) == 0 {
		head := &l.rows[0]
		w.Log.Warn("a message was not taken and is sent again", "message", head.MessageID, "topic", head.Topic, "tries",
			l.tries, "error", err)
	}
}

// done notes a row that is to be deleted.
func (w *activeRelay) done(r pair) {
	w.confirmed[r.message] = true
	if len(w.settled) == 0 {
		w.settledAt = time.Now()
	}
	w.settled = append(w.settled, r)
}

// settle deletes the rows that are done, when there are enough of them or they have waited; at the end all.
func (w *activeRelay) settle(ctx context.Context, all bool) error {
	for len(w.settled) > 0 && (all || len(w.settled) >= settleRows || time.Since(w.settledAt) > relaySettle) {
		n := min(len(w.settled), settleRows)
		ids := make([]int64, n)
		for i, r := range w.settled[:n] {
			ids[i] = r.id
		}
		if err := w.change(ctx, "DELETE FROM outbox WHERE id IN (?)", ids); err != nil {
			return err
		}
		for _, r := range w.settled[:n] {
			delete(w.held, r.id)
			delete(w.confirmed, r.message)
		}
		w.settled = w.settled[n:]
	}
	switch {
	case w.volatile && len(w.held) >= relayWindow/2:
		return w.mark(ctx, markAfter)
	case w.volatile && time.Since(w.marked) > markLate/2:
		w.marked = time.Now()
		return w.mark(ctx, markLate)
	}
	return nil
}

// mark makes scans pass over rows whose message was published a while ago and is not handled everywhere yet. Such a
// row does not count as unsent.
func (w *activeRelay) mark(ctx context.Context, age time.Duration) error {
	var ids []int64
	for _, p := range w.published {
		if p.id != 0 && w.held[p.id] && time.Since(p.at) > age {
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

// change runs a statement over ids. On PostgreSQL it uses the session that has the lock: a relay that lost it deletes
// nothing more.
func (w *activeRelay) change(ctx context.Context, query string, ids []int64) error {
	if w.DB.Read().Dialect().Name() == dialect.PG {
		return w.onSession(ctx, func(ctx context.Context) error {
			_, err := w.conn.ExecContext(ctx, query, bun.List(ids))
			return err
		})
	}
	return w.DB.Do(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Queue(tx.NewRaw(query, bun.List(ids)))
		return nil
	})
}

// How long the relay waits at its end: for the next confirmation, for the last one, and then for the database.
const (
	lastWord  = 5 * time.Second
	lastWords = 3 * lastWord
)

// last takes in what is still on its way and deletes what is done, so that less is sent twice.
func (w *activeRelay) last(ctx context.Context) {
	over := time.Now().Add(lastWords)
	late := time.NewTimer(lastWord)
	defer late.Stop()
	for waiting := true; waiting && len(w.flight) > 0; {
		select {
		case <-w.news:
			w.collect()
			late.Reset(min(lastWord, time.Until(over)))
		case <-late.C:
			waiting = false
		}
	}
	w.collect()
	if n := len(w.flight); n > 0 {
		w.Log.Warn("messages on their way were not confirmed in time, and are sent again at the next start", "messages",
			n)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if err := w.settle(ctx, true); err != nil {
		w.Log.Warn("messages that were sent are sent again at the next start", "messages", len(w.settled), "error", err)
	}
}
