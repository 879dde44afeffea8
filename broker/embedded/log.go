package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stega/broker"
)

// readAgain is the pause after an error before the log is read again.
const readAgain = 50 * time.Millisecond

// Log reads the log from a position on, then live. A position beyond the end stands for the end.
func (b *Broker) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	if !b.begin() {
		return nil, fmt.Errorf("read the event log: %w", broker.ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(b.ctx, cancel)
	f := b.file.Load()
	next, _, _ := f.end()
	out := make(chan broker.LogEntry)
	go func() {
		defer b.tasks.Done()
		defer cancel()
		defer unlink()
		defer close(out)
		b.follow(ctx, f, min(from, next), out)
	}()
	return out, nil
}

// follow sends the entries from a position on until ctx ends or the file is replaced.
func (b *Broker) follow(ctx context.Context, f *file, from uint64, out chan<- broker.LogEntry) {
	for ctx.Err() == nil {
		_, grown, closed := f.end()
		if closed {
			return
		}
		entries, err := f.read(ctx, from)
		for _, e := range entries {
			select {
			case out <- e:
				from = e.Position + 1
			case <-ctx.Done():
				return
			}
		}
		var again <-chan time.Time
		switch {
		case errors.Is(err, errDamaged):
			ring(b.damaged)
		case err != nil:
			b.log.Debug("the event log is read again after an error", "position", from, "error", err)
			again = time.After(readAgain)
		case len(entries) > 0:
			continue
		}
		select {
		case <-grown:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// LogBounds implements broker.Log; the recent entry is the last one.
func (b *Broker) LogBounds(ctx context.Context) (broker.LogBounds, error) {
	if !b.begin() {
		return broker.LogBounds{}, fmt.Errorf("read the bounds of the event log: %w", broker.ErrClosed)
	}
	defer b.tasks.Done()
	bounds, err := b.file.Load().bounds(ctx)
	if err != nil {
		return broker.LogBounds{}, fmt.Errorf("read the bounds of the event log: %w", err)
	}
	return bounds, nil
}
