package returns_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/bus"
	"stega/events"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/migrations"
	"stega/services/returns"
	"stega/store"
)

// Lanes handle a portfolio and the first prices of its two symbols concurrently. In whatever order they commit, the
// last event of the portfolio lists no missing symbol.
func TestTheLastEventOfAPortfolioIsComplete(t *testing.T) {
	db, err := store.Open(t.Context(), "returns", servers.Postgres(t).URL())
	require.NoError(t, err)
	defer func() { assert.NoError(t, db.Close()) }()
	files, err := migrations.Of("returns")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := embedded.Open(t.Context(), t.TempDir(), log)
	require.NoError(t, err)
	defer func() { assert.NoError(t, b.Close()) }()
	d := bus.NewDispatcher("returns")
	returns.New(db).Register(d)
	require.NoError(t, d.Seal())
	require.NoError(
		t,
		b.Declare(t.Context(),
			broker.Topology{Services: []broker.ServiceTopology{{Service: "returns", Topics: d.Topics()}}}),
	)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	ready := make(chan struct{})
	consumer := &bus.Consumer{Dispatcher: d, DB: db, Broker: b, Log: log, Options: bus.ConsumerOptions{Lanes: 4}}
	go func() { ended <- consumer.Run(ctx, func() { close(ready) }) }()
	go func() { ended <- (&store.Relay{DB: db, Broker: b, Log: log}).Run(ctx, func() {}) }()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
	}()
	<-ready

	publish := func(topic, subject, data string) {
		id := events.NewID()
		m := events.Message{Envelope: events.Envelope{
			ID: id, Source: "stega/test", Type: topic, Subject: subject, Time: time.Now().UTC(), Correlation: id,
			ContentType: "application/json",
		}, Data: []byte(data)}
		require.NoError(t, b.Publish(t.Context(), broker.Outgoing{Message: m}, func(err error) {
			assert.NoError(t, err)
		}))
	}
	prices := func(symbol string) {
		publish(
			"marketdata.prices_imported", symbol,
			fmt.Sprintf(`{"symbol":%q,"dates":["2024-01-02","2024-01-03"],"close":["1","2"]}`, symbol),
		)
	}
	const pairs = 300
	handled := 0
	for i := range pairs {
		first, second, portfolio := fmt.Sprintf("A%d", i), fmt.Sprintf("B%d", i), fmt.Sprintf(
			"00000000-0000-7000-8000-%012d", i,
		)
		create := fmt.Sprintf(
			`{"id":%q,"name":"p","version":1,"assets":[{"symbol":%q,"weight":"0.5"},{"symbol":%q,"weight":"0.5"}]}`,
			portfolio,
			first, second,
		)
		switch i % 3 {
		case 0:
			publish("portfolio.created", portfolio, create)
			prices(first)
			prices(second)
		case 1:
			prices(first)
			publish("portfolio.created", portfolio, create)
			prices(second)
		default:
			prices(first)
			prices(second)
			publish("portfolio.created", portfolio, create)
		}
		handled += 3
		wait.Until(t, "all three are handled", func() bool {
			n, err := db.Read().NewSelect().Table("inbox").Count(t.Context())
			require.NoError(t, err)
			return int(n) == handled
		})
	}
	wait.Until(t, "every event is sent", func() bool {
		s, err := db.Stats(t.Context())
		require.NoError(t, err)
		return s.OldestUnsent == 0 && s.Parked+s.Dead == 0
	})
	bounds, err := b.LogBounds(t.Context())
	require.NoError(t, err)
	read, stop := context.WithTimeout(t.Context(), wait.Patience)
	defer stop()
	entries, err := b.Log(read, 0)
	require.NoError(t, err)
	last := map[string][]string{}
	for e := range entries {
		if e.Type == (events.PortfolioReturnsUpdated{}).Topic() {
			var updated events.PortfolioReturnsUpdated
			require.NoError(t, json.Unmarshal(e.Data, &updated))
			last[updated.PortfolioID] = updated.Missing
		}
		if e.Position >= bounds.Recent.Position && len(last) == pairs {
			break
		}
	}
	stop()
	for range entries { // drain it until it closes
		continue
	}
	wrong := 0
	for _, missing := range last {
		if len(missing) > 0 {
			wrong++
		}
	}
	assert.Len(t, last, pairs)
	assert.Zero(t, wrong, "last events with missing symbols, of %d", pairs)
}
