package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// A queue of the broker can vanish with the commands in it, which no log has. So a service keeps the deferred
// commands that it sends itself until they are settled, and sends those again that are lost.

// commandPatience is how long a command may be on its way from the outbox to its job before it is taken for lost,
// unless it waits in the queue.
const commandPatience = 10 * time.Second

// lostCommands is how many commands are sent again at a time.
const lostCommands = 100

var keepCommand = NewUpsert("commands", 1, "message_id", "topic", "subject", "emitted_at", "correlation", "causation",
	"traceparent", "data", "due_at")

// keepCommands writes the commands among what was emitted that the service sends to itself.
func (t *Tx) keepCommands(emitted []emission) {
	due := t.now.Add(commandPatience).UnixMicro()
	for i := range emitted {
		if m := &emitted[i]; m.service == t.db.service {
			t.Put(keepCommand, m.ID, m.Type, m.Subject, m.Time.UnixMicro(), m.Correlation, m.Causation, m.TraceParent,
				string(m.Data), due)
		}
	}
}

// CommandBegun records that a job runs, for a limited time, so that its command is not taken for lost.
func (in *Inbox) CommandBegun(id string, lease time.Duration) {
	in.tx.Queue(in.tx.NewRaw("UPDATE commands SET due_at = ? WHERE message_id = ?", in.tx.now.Add(lease).UnixMicro(),
		id))
}

// CommandSettled records that a command needs no sending any more: its job has ended, or is parked.
func (in *Inbox) CommandSettled(id string) {
	in.tx.Queue(in.tx.NewRaw("DELETE FROM commands WHERE message_id = ?", id))
}

// lost selects the commands that are due, and not about to be sent.
const lost = "due_at <= ? AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = commands.message_id)"

// LostCommands returns the ids of commands that were sent, and whose jobs have neither begun nor ended in time; the
// oldest first.
func (d *DB) LostCommands(ctx context.Context) (ids []string, err error) {
	err = d.Read().NewRaw("SELECT message_id FROM commands WHERE "+lost+" ORDER BY due_at LIMIT ?", now().UnixMicro(),
		lostCommands).Scan(ctx, &ids)
	return ids, d.explain(ctx, err)
}

// SendCommandsAgain puts those of some commands into the outbox that are still lost, and returns how many.
func (d *DB) SendCommandsAgain(ctx context.Context, ids []string) (n int, err error) {
	err = d.Do(ctx, func(ctx context.Context, tx *Tx) error {
		var mine []string // and no other process's
		err := tx.NewRaw("UPDATE commands SET due_at = ? WHERE message_id IN (?) AND "+lost+" RETURNING message_id",
			tx.now.Add(commandPatience).UnixMicro(), bun.List(ids), tx.now.UnixMicro()).Scan(ctx, &mine)
		if n = len(mine); err != nil || n == 0 {
			return err
		}
		tx.wrote += n
		_, err = tx.ExecContext(ctx, `INSERT INTO outbox
			(message_id, service, topic, subject, emitted_at, correlation, causation, traceparent, data, sequence)
			SELECT message_id, ?, topic, subject, emitted_at, correlation, causation, traceparent, data, 0 FROM commands
			WHERE message_id IN (?) ORDER BY message_id`, d.service, bun.List(mine))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send commands again: %w", err)
	}
	return n, nil
}
