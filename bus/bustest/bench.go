package bustest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/store"
)

// queued is the number of events in the queue before the start; queues of the embedded broker hold at most 20,000.
const queued = 15_000

// Throughput measures how many events per second the loop handles from a filled queue, with the inbox and one row of
// a read view for each.
func Throughput(b *testing.B, newBroker func(t testing.TB) broker.Broker, newStore NewStore) {
	w := newEnvironment(b, newBroker(b))
	s := w.service(newStore, func(s *service) {
		bus.Handle(s.dispatcher, func(_ context.Context, tx *store.Tx, m happened) error {
			tx.Queue(tx.NewRaw(`INSERT INTO view (subject, version) VALUES (?, ?)
				ON CONFLICT (subject) DO UPDATE SET version = excluded.version`, m.PortfolioID, m.Version))
			return nil
		})
	})
	s.options = bus.ConsumerOptions{}
	err := s.db.Do(b.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE TABLE view (subject TEXT PRIMARY KEY, version BIGINT)`)
		return err
	})
	require.NoError(b, err)
	w.declare(s)
	const subjects = 500
	out := make([]broker.Outgoing, b.N)
	for i := range out {
		out[i] = broker.Outgoing{Message: message(fmt.Sprintf("subject-%03d", i%subjects), int64(i/subjects+1))}
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for part := range slices.Chunk(out, queued) {
		w.send(part...)
		b.StartTimer()
		r := s.run()
		s.empty(broker.Events)
		b.StopTimer()
		r.stop()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	n, err := s.db.Read().NewSelect().Table("view").Count(b.Context())
	require.NoError(b, err)
	require.Equal(b, min(b.N, subjects), int(n))
}
