package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"stega/broker"
	"stega/bus"
	"stega/events"
	"stega/store"
)

// event returns an event of 512 bytes, in JSON.
func event(subject string, version int64) (broker.Outgoing, error) {
	e := events.PortfolioReturnsUpdated{PortfolioID: subject, Version: version}
	data, err := json.Marshal(e)
	if err != nil {
		return broker.Outgoing{}, err
	}
	data = append(data, bytes.Repeat([]byte(" "), max(0, 512-len(data)))...)
	id := events.NewID()
	return broker.Outgoing{Message: events.Message{Data: data, Envelope: events.Envelope{
		ID:          id,
		Source:      events.Source("bench"),
		Type:        e.Topic(),
		Subject:     subject,
		Time:        time.Now().UTC(),
		Correlation: id,
		ContentType: "application/json",
	}}}, nil
}

// send publishes events pipelined, and returns when all are confirmed.
func send(ctx context.Context, b broker.Broker, n int) error {
	var waiting sync.WaitGroup
	var once sync.Once
	var failed error
	fail := func(err error) { once.Do(func() { failed = err }) }
	for i := range n {
		m, err := event(fmt.Sprintf("subject-%03d", i%500), int64(i/500+1))
		if err != nil {
			return err
		}
		waiting.Add(1)
		if err := b.Publish(ctx, m, func(err error) {
			if err != nil {
				fail(err)
			}
			waiting.Done()
		}); err != nil {
			waiting.Done()
			fail(err)
			break
		}
	}
	waiting.Wait()
	if failed != nil {
		return fmt.Errorf("publish: %w", failed)
	}
	return nil
}

func publish(ctx context.Context, p *environment) (r Publish, err error) {
	b, err := p.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { _ = b.Close() }()
	topic := events.PortfolioReturnsUpdated{}.Topic()
	if err := b.Declare(ctx, broker.Topology{Services: []broker.ServiceTopology{{Service: sink,
		Topics: []string{topic}}}}); err != nil {
		return r, err
	}
	c, err := b.Subscribe(ctx, sink, broker.Events, 1000)
	if err != nil {
		return r, err
	}
	defer func() { _ = c.Close() }()
	pause := make(chan struct{})
	go func() { // empties the queue meanwhile, because queues of the embedded broker are bounded
		if strings.HasPrefix(p.BrokerURL, "amqp") {
			<-pause // queues of RabbitMQ hold any number of messages, so publishing is measured alone
		}
		for d := range c.Deliveries() {
			_ = d.Ack()
		}
	}()
	if err := send(ctx, b, min(p.Messages, 1000)); err != nil { // to warm up
		return r, err
	}
	began := time.Now()
	if err := send(ctx, b, p.Messages); err != nil {
		return r, err
	}
	r = Publish{Messages: p.Messages, Rate: rate(p.Messages, time.Since(began))}
	close(pause)
	var took []time.Duration
	for range min(p.Messages, 1000) {
		began := time.Now()
		if err := send(ctx, b, 1); err != nil {
			return r, err
		}
		took = append(took, time.Since(began))
	}
	r.Alone = latency(took)
	return r, b.Declare(ctx, broker.Topology{Services: []broker.ServiceTopology{{Service: sink}}}) // ends the binding
}

// handle measures the event loop on queues that it fills before, in parts that fit the queues of the embedded broker.
func handle(ctx context.Context, p *environment) (r Events, err error) {
	const part = 15_000
	db, err := store.Open(ctx, bound, p.database(bound))
	if err != nil {
		return r, err
	}
	defer func() { _ = db.Close() }()
	if err := db.Migrate(ctx, nil); err != nil {
		return r, err
	}
	err = db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE bench_view (subject TEXT PRIMARY KEY, version BIGINT)`)
		return err
	})
	if err != nil {
		return r, err
	}
	b, err := p.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { _ = b.Close() }()
	d := bus.NewDispatcher(bound, bus.Standard(p.Log, bus.NewMetrics(nil))...)
	var handled sync.WaitGroup
	bus.Handle(d, func(_ context.Context, tx *store.Tx, e events.PortfolioReturnsUpdated) error {
		tx.Queue(tx.NewRaw(`INSERT INTO bench_view (subject, version) VALUES (?, ?)
			ON CONFLICT (subject) DO UPDATE SET version = excluded.version`, e.PortfolioID, e.Version))
		return nil
	})
	if err := b.Declare(ctx, broker.Topology{Services: []broker.ServiceTopology{{Service: bound,
		Topics: d.Topics()}}}); err != nil {
		return r, err
	}
	var took time.Duration
	for left := p.Messages; left > 0; left -= part {
		n := min(left, part)
		if err := send(ctx, b, n); err != nil {
			return r, err
		}
		ctx, stop := context.WithCancel(ctx)
		var failed error
		ready := make(chan struct{})
		began := time.Now()
		handled.Go(func() {
			consumer := &bus.Consumer{Dispatcher: d, DB: db, Broker: b, Log: p.Log}
			failed = consumer.Run(ctx, func() { close(ready) })
			stop()
		})
		err := empty(ctx, b)
		took += time.Since(began)
		select { // a consumer that is stopped before it is ready fails
		case <-ready:
		case <-ctx.Done():
		}
		stop()
		handled.Wait()
		if err == nil {
			err = failed
		}
		if err != nil {
			return r, err
		}
	}
	return Events{Messages: p.Messages, Rate: rate(p.Messages, took)}, nil
}

// empty blocks until the queue is empty.
func empty(ctx context.Context, b broker.Broker) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := b.Depth(ctx, bound, broker.Events)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
