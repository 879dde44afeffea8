package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stega/broker"
)

// How far the log is read ahead of its reader.
const (
	aheadMessages = 256
	aheadBytes    = maxMessage + 1<<20

	readLimit = 10 * time.Second // for the first answer
	readBeat  = time.Second      // how often the server says that it is there; without it the reader begins again
	readAgain = 50 * time.Millisecond
)

// Log reads the log from a position on, then live. A position beyond the end is taken for the end.
func (b *Broker) Log(ctx context.Context, from uint64) (<-chan broker.LogEntry, error) {
	if !b.begin() {
		return nil, broker.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(b.ctx, cancel)
	end := func() {
		unlink()
		cancel()
		b.tasks.Done()
	}
	from, err := b.within(ctx, from)
	if err != nil {
		end()
		return nil, fmt.Errorf("read the event log: %w", err)
	}
	out := make(chan broker.LogEntry)
	go func() {
		defer end()
		defer close(out)
		for ctx.Err() == nil {
			if from, err = b.follow(ctx, from, out); err == nil {
				return
			}
			b.log.Debug("embedded broker: a reader of the event log begins again", "sequence", from, "cause", err)
			select {
			case <-time.After(readAgain):
			case <-ctx.Done():
			}
		}
	}()
	return out, nil
}

// within turns a position into a sequence of the stream: not before its beginning, nor after its end.
func (b *Broker) within(ctx context.Context, from uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	info, err := b.srv.log.Info(ctx)
	if err != nil {
		return 0, err
	}
	return min(max(from, b.srv.born+1)-b.srv.born, info.State.LastSeq+1), nil
}

// follow passes on the entries from a sequence on until ctx ends. With an error it returns where to go on.
func (b *Broker) follow(ctx context.Context, from uint64, out chan<- broker.LogEntry) (uint64, error) {
	asking, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	reader, err := b.srv.js.OrderedConsumer(asking, logStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return from, err
	}
	entries, err := reader.Messages(jetstream.PullMaxMessagesWithBytesLimit(aheadMessages, aheadBytes),
		jetstream.PullHeartbeat(readBeat))
	if err != nil {
		return from, err
	}
	defer entries.Stop()
	for {
		msg, err := entries.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return from, nil
		}
		if err != nil {
			return from, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return from, err
		}
		if meta.Sequence.Stream < from {
			continue
		}
		from = meta.Sequence.Stream + 1
		entry := broker.LogEntry{Position: b.srv.born + meta.Sequence.Stream}
		if entry.Message, err = decode(msg.Headers(), msg.Data()); err != nil {
			b.log.Warn("embedded broker: an entry of the event log cannot be read and is left out",
				"position", entry.Position, "cause", err)
			continue
		}
		select {
		case out <- entry:
		case <-ctx.Done():
			return from, nil
		}
	}
}

// LogBounds implements broker.Broker; the recent entry is the last one that can be read.
func (b *Broker) LogBounds(ctx context.Context) (broker.LogBounds, error) {
	if !b.begin() {
		return broker.LogBounds{}, broker.ErrClosed
	}
	defer b.tasks.Done()
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	info, err := b.srv.log.Info(ctx)
	if err != nil {
		return broker.LogBounds{}, fmt.Errorf("ask how far the event log reaches: %w", err)
	}
	bounds := broker.LogBounds{Empty: true, Exact: true, Origin: b.srv.born + 1, First: b.srv.born + max(info.State.FirstSeq, 1)}
	for seq := info.State.LastSeq; info.State.Msgs > 0 && seq >= info.State.FirstSeq; seq-- {
		msg, err := b.srv.log.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return broker.LogBounds{}, fmt.Errorf("read the end of the event log: %w", err)
		}
		m, err := decode(msg.Header, msg.Data)
		if err != nil {
			continue // readers leave it out, too
		}
		bounds.Empty = false
		bounds.Recent = broker.LogEntry{Position: b.srv.born + seq, Message: m}
		break
	}
	return bounds, nil
}
