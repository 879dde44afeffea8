package bustest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/bus"
	"stega/events"
	"stega/store"
)

// write is a command as large as the creation of a portfolio.
type write struct{ ID, Name string }

func (write) Topic() string     { return "bench.write" }
func (w write) Subject() string { return w.ID }

// writers is the number of concurrent clients.
const writers = 32

// Commands measures how many commands per second the command bus executes for 32 clients. Each has an entity, its
// operation and an event, in the database only: nothing is relayed.
func Commands(b *testing.B, newStore NewStore) {
	b.Helper()
	db := newStore(b, "bench")
	err := db.Do(b.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx,
			`CREATE TABLE entities (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, assets TEXT NOT NULL)`)
		return err
	})
	require.NoError(b, err)
	d := bus.NewDispatcher("bench", bus.Standard(quiet(), bus.NewMetrics(nil))...)
	assets := `[` + strings.Repeat(`{"symbol":"AAPL","weight":"0.5"},`, 4) + `]`
	bus.Handle(d, func(ctx context.Context, tx *store.Tx, w write) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO entities (id, name, assets) VALUES (?, ?, ?)`, w.ID, w.Name,
			assets); err != nil {
			return err
		}
		return tx.Emit(happened{PortfolioID: w.ID, Version: 1})
	})
	require.NoError(b, d.Seal())
	commands := bus.NewCommandBus(d, db)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	var clients sync.WaitGroup
	for range writers {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				id := events.NewID()
				op, err := commands.Submit(b.Context(), bus.Submission{EntityID: id, Command: write{ID: id, Name: id}})
				if err != nil || op.Status != store.Succeeded {
					b.Errorf("%v %v", op, err)
				}
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	n, err := db.Read().NewSelect().Table("outbox").Count(b.Context())
	require.NoError(b, err)
	require.Equal(b, 2*b.N, int(n), "each emits its event and operation.resolved")
}
