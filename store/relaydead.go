package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stega/events"
)

// sendTries is how often a message that the broker refuses for its own sake is sent until it is given up.
const sendTries = 6

// Unsent is the handler of a dead letter that is a row of the outbox which the broker did not take. The row stays in
// the outbox, marked, and holds the later ones of its subject until the dead letter is tried again or dropped.
const Unsent = "outbox"

// givenUp marks such a row.
const givenUp = 2

// giveUpHeads makes dead letters of the heads that were refused too often.
func (w *activeRelay) giveUpHeads(ctx context.Context) error {
	for _, l := range slices.Clone(w.open) {
		if l.faults < sendTries {
			continue
		}
		head := &l.rows[0]
		if err := w.DB.Do(ctx, func(ctx context.Context, tx *Tx) error { return tx.giveUp(ctx, head, l) }); err != nil {
			return fmt.Errorf("give up message %s: %w", head.MessageID, err)
		}
		w.Log.Error("a message cannot be sent and is dead", "message", head.MessageID, "topic", head.Topic, "subject",
			shown(head.Subject),
			"tries", l.tries, "error", l.err)
		for i := range l.rows {
			delete(w.held, l.rows[i].ID)
			w.bytes -= len(l.rows[i].Data)
		}
		delete(w.lines, head.line())
		w.open = slices.DeleteFunc(w.open, func(other *line) bool { return other == l })
		if err := w.stops(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stops reads which rows were given up. When they are others than before, all rows are looked at again.
func (w *activeRelay) stops(ctx context.Context) error {
	w.deadAt = time.Now()
	var rows []outboxRow
	err := w.onSession(ctx, func(ctx context.Context) error {
		return w.conn.NewSelect().Model(&rows).Column("id", "subject", "service").Where("published = ?",
			givenUp).OrderExpr("id").Scan(ctx)
	})
	if err != nil {
		return err
	}
	ids, subjects := make([]int64, 0, len(rows)), make([]string, 0, len(rows))
	for _, r := range rows {
		if ids = append(ids, r.ID); r.Service == "" {
			subjects = append(subjects, r.Subject)
		}
	}
	if slices.Equal(ids, w.dead) {
		return nil
	}
	w.dead, w.stopped, w.caught, w.floor = ids, subjects, false, floor{}
	return nil
}

// giveUp marks the head of a line and makes a dead letter of it.
func (t *Tx) giveUp(ctx context.Context, head *outboxRow, l *line) error {
	result, err := t.ExecContext(ctx, "UPDATE outbox SET published = ? WHERE id = ? AND published = 0", givenUp,
		head.ID)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 { // another relay has sent it
		return err
	}
	m := ParkedMessage{
		Handler: Unsent, Message: head.outgoing(t.db.service).Message, State: Dead, Attempts: l.tries,
		LastError: shown(l.err.Error()), Cause: "the broker does not take it", ParkedAt: t.now, DiedAt: t.now,
	}
	m.Message.Subject = shown(m.Message.Subject)
	e := m.Message.Envelope
	t.receipts.Add(events.Receipt{
		Message:   e.ID,
		Topic:     e.Type,
		About:     e.Subject,
		Operation: e.Correlation,
		State:     events.ReceiptDead,
		SentAt:    e.Time,
		Attempts:  m.Attempts,
		Error:     m.LastError,
	})
	return t.inbox.Park(ctx, m)
}

// maxShown bounds what is shown of a text that may be long.
const maxShown = 512

func shown(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return plain(s)
}

// resend makes a row of the outbox that was given up pending again, with other data if there are any.
func (t *Tx) resend(ctx context.Context, messageID string, data []byte) error {
	query := t.NewUpdate().Table("outbox").Set("published = 0").Where("message_id = ? AND published = ?", messageID,
		givenUp)
	if data != nil {
		query = query.Set("data = ?", string(data))
	}
	_, err := query.Exec(ctx)
	t.wrote++
	return err
}
