package bus_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
	"stega/internal/servers"
)

// What a careful program without stega does with the same queue and the same SQL, to be measured beside it.
const (
	bareBatch    = 64
	bareQueued   = 15_000 // as in bustest.Throughput
	bareSubjects = 500
	bareWriters  = 32 // as in bustest.Commands
)

// bareDatabase is a database with stega's tables and those of the benchmarks.
func bareDatabase(b *testing.B) string {
	b.Helper()
	db := servers.Postgres(b)
	opened(b, "bare", db.URL())
	conn, err := pgx.Connect(b.Context(), db.URL())
	require.NoError(b, err)
	_, err = conn.Exec(b.Context(), `CREATE TABLE view (subject TEXT PRIMARY KEY, version BIGINT);
		CREATE TABLE entities (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, assets TEXT NOT NULL)`)
	require.NoError(b, err)
	require.NoError(b, conn.Close(b.Context()))
	return db.URL()
}

// BenchmarkEventsBare is one loop over a queue of events as BenchmarkEvents has it: 64 events in one transaction,
// whose statements are prepared and sent in one piece, and one ack for all of them.
func BenchmarkEventsBare(b *testing.B) {
	url := servers.RabbitMQ(b).URL()
	br := rabbitAt(b, url)
	topic := events.PortfolioReturnsUpdated{}.Topic()
	require.NoError(b, br.Declare(b.Context(),
		broker.Topology{Services: []broker.ServiceTopology{{Service: "bare", Topics: []string{topic}}}}))
	db, err := pgx.Connect(b.Context(), bareDatabase(b))
	require.NoError(b, err)
	defer func() { _ = db.Close(b.Context()) }()
	conn, err := amqp.Dial(url)
	require.NoError(b, err)
	defer func() { _ = conn.Close() }()
	b.ResetTimer()
	b.StopTimer()
	for n := 0; n < b.N; n += bareQueued {
		part := min(bareQueued, b.N-n)
		bareFill(b, br, topic, n, part)
		ch, err := conn.Channel()
		require.NoError(b, err)
		b.StartTimer()
		bareConsume(b, ch, db, part)
		b.StopTimer()
		require.NoError(b, ch.Close())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// bareFill publishes events from..from+n.
func bareFill(b *testing.B, br broker.Broker, topic string, from, n int) {
	var confirmed sync.WaitGroup
	for i := from; i < from+n; i++ {
		e := events.PortfolioReturnsUpdated{PortfolioID: fmt.Sprintf("subject-%03d", i%bareSubjects),
			Version: int64(i/bareSubjects + 1)}
		data, err := json.Marshal(e)
		require.NoError(b, err)
		confirmed.Add(1)
		require.NoError(b, br.Publish(b.Context(), broker.Outgoing{Message: events.Message{Envelope: events.Envelope{
			ID:          events.NewID(),
			Source:      events.Source("bare"),
			Type:        topic,
			Subject:     e.PortfolioID,
			Time:        time.Now().UTC(),
			Correlation: events.NewID(),
			Sequence:    e.Version,
			ContentType: "application/json",
		}, Data: data}}, func(err error) {
			if err != nil {
				b.Error(err)
			}
			confirmed.Done()
		}))
	}
	confirmed.Wait()
}

func bareConsume(b *testing.B, ch *amqp.Channel, db *pgx.Conn, n int) {
	require.NoError(b, ch.Qos(1024, 0, false))
	in, err := ch.Consume("stega.bare.events", "", false, false, false, false, nil)
	require.NoError(b, err)
	for done := 0; done < n; {
		var batch pgx.Batch
		var last amqp.Delivery
		batch.Queue("BEGIN")
		size := min(bareBatch, n-done) // all are in the queue: it is always full
		for range size {
			last = <-in
			var e events.PortfolioReturnsUpdated
			require.NoError(b, json.Unmarshal(last.Body, &e))
			batch.Queue(
				`INSERT INTO inbox (message_id, handler, handled_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
				last.Headers["cloudEvents:id"], "bare", time.Now().UnixMicro())
			batch.Queue(`INSERT INTO view (subject, version) VALUES ($1, $2) ON CONFLICT (subject) DO UPDATE SET `+
				`version = excluded.version`,
				e.PortfolioID, e.Version)
		}
		batch.Queue("COMMIT")
		require.NoError(b, db.SendBatch(b.Context(), &batch).Close())
		require.NoError(b, last.Ack(true))
		done += size
	}
}

// BenchmarkCommandsBare is the SQL of a command of BenchmarkCommands, from as many connections, prepared and sent in
// one piece.
func BenchmarkCommandsBare(b *testing.B) {
	url := bareDatabase(b)
	conns := make([]*pgx.Conn, bareWriters)
	for i := range conns {
		conn, err := pgx.Connect(b.Context(), url)
		require.NoError(b, err)
		defer func() { _ = conn.Close(b.Context()) }()
		conns[i] = conn
	}
	assets := `[` + strings.Repeat(`{"symbol":"AAPL","weight":"0.5"},`, 4) + `]`
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var writers sync.WaitGroup
	for _, conn := range conns {
		writers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := bareCommand(b, conn, assets); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

func bareCommand(b *testing.B, conn *pgx.Conn, assets string) error {
	id, op, now := events.NewID(), events.NewID(), time.Now().UnixMicro()
	data, err := json.Marshal(events.PortfolioReturnsUpdated{PortfolioID: id, Version: 1})
	if err != nil {
		return err
	}
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue(`INSERT INTO operations (id, command, subject, entity_id, status, error, accepted_at, finished_at,
		body_hash)
		VALUES ($1, $2, $3, $4, $5, '', $6, 0, $7) ON CONFLICT (id) DO NOTHING`, op, "bench.write", id, id, "running",
		now, id)
	batch.Queue(`INSERT INTO entities (id, name, assets) VALUES ($1, $2, $3)`, id, id, assets)
	batch.Queue(`UPDATE operations SET status = $1, finished_at = $2 WHERE id = $3`, "succeeded", now, op)
	batch.Queue(`INSERT INTO sequences (subject, value) VALUES ($1, 1) ON CONFLICT (subject) DO UPDATE SET value = `+
		`sequences.value + excluded.value`, id)
	logSettling, err := json.Marshal(events.OperationState{ID: op, Command: "bench.write", Service: "bench",
		Status: "succeeded"})
	if err != nil {
		return err
	}
	batch.Queue(`INSERT INTO outbox (message_id, service, topic, subject, emitted_at, correlation, causation,
		traceparent, data, sequence)
		VALUES ($1, '', $2, $3, $4, $5, $5, '', $6, (SELECT value FROM sequences WHERE subject = $3)), ($7, '', $8,
			$5, $4, $5, $5, '', $9, 0)`,
		events.NewID(), "returns.portfolio_updated", id, now, op, string(data), events.NewID(), "stega.operation",
		string(logSettling))
	batch.Queue("COMMIT")
	return conn.SendBatch(b.Context(), &batch).Close()
}
