package embedded

import (
	"context"
	"fmt"
	"time"

	"stega/broker"
)

// storeDead writes a dead letter to the file.
func (b *Broker) storeDead(service string, it *item, reason string) (*item, error) {
	letter := &item{
		message: it.message, size: it.size, attempts: it.attempts, copies: it.copies, err: it.err,
		reason: reason, at: b.now().UTC().Truncate(time.Microsecond), ids: []int64{b.deadID.Add(1)},
	}
	err := b.file.Load().storeDead(letter.ids[0], service, letter)
	b.record(err)
	if err != nil {
		return nil, fmt.Errorf("store the dead letter %s of %s: %w", it.message.ID, service, err)
	}
	return letter, nil
}

// addDead puts a stored dead letter on its queue. A message that is there already stays as it is, and answers for the
// new copy too. The lock is held.
func (b *Broker) addDead(service string, letter *item) {
	q := b.queue(service, broker.Dead)
	if q.dead == nil {
		q.dead = map[string]*item{}
	}
	if first := q.dead[letter.message.ID]; first != nil {
		first.copies += letter.copies
		first.ids = append(first.ids, letter.ids...)
		return
	}
	q.dead[letter.message.ID] = letter
	q.load.add(letter.size)
	q.put(letter)
	q.serve()
}

// deleteDead deletes a dead letter from the file, with the copies that come meanwhile. The lock is held before and
// after.
func (b *Broker) deleteDead(q *queue, it *item) error {
	for len(it.ids) > 0 {
		id := it.ids[0]
		b.mu.Unlock()
		err := b.file.Load().deleteDead(id)
		b.record(err)
		b.mu.Lock()
		if err != nil {
			return fmt.Errorf("delete the dead letter %s: %w", it.message.ID, err)
		}
		it.ids = it.ids[1:]
	}
	delete(q.dead, it.message.ID)
	return nil
}

// loadDead reads the dead letters that an earlier run left. Ids continue from the clock, so none comes back after the
// file was lost or replaced.
func (b *Broker) loadDead(ctx context.Context, f *file) error {
	b.deadID.Store(b.now().UnixMicro())
	err := f.dead(ctx, func(service string, letter *item) {
		b.deadID.Store(max(b.deadID.Load(), letter.ids[0]))
		b.addDead(service, letter)
	})
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	return nil
}
