// Package bench measures stega on a broker and databases: how fast events are published and handled, how fast commands
// are answered and visible in the read view of another service, and how fast prices are imported. It creates exchanges,
// queues and schemas under its own names, and removes them at the end.
package bench

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stega/process"
)

// Config is what to measure, and where.
type Config struct {
	BrokerURL   string // amqp:…, or empty for the embedded broker in Folder
	DatabaseURL string // postgres:… with {service} for the service's name, or empty for SQLite in Folder
	Folder      string // an empty folder

	Messages int // published, and handled
	Commands int
	Clients  int // that send commands at the same time
	Symbols  int // of the import
	Days     int

	Progress func(format string, args ...any) // reports the start of each measurement
	Log      *slog.Logger
}

// Report is the result. Rates are per second, latencies in milliseconds.
type Report struct {
	Broker   string   `json:"broker"`
	Database string   `json:"database"`
	Publish  Publish  `json:"publish"`
	Events   Events   `json:"events"`
	Commands Commands `json:"commands"`
	Import   Import   `json:"import"`
}

// Publish is the publishing of events of 512 bytes until the broker confirms them.
type Publish struct {
	Messages int     `json:"messages"`
	Rate     float64 `json:"rate"`  // pipelined
	Alone    Latency `json:"alone"` // of one at a time
}

// Events is the handling of events, with an inbox row and a row of a read view for each.
type Events struct {
	Messages int     `json:"messages"`
	Rate     float64 `json:"rate"`
}

// Commands is the creation of portfolios over HTTP, until the returns service shows them.
type Commands struct {
	Commands int     `json:"commands"`
	Clients  int     `json:"clients"`
	Rate     float64 `json:"rate"`     // of answers
	ViewRate float64 `json:"viewRate"` // of read views
	Loaded   Paths   `json:"loaded"`   // with all clients at once
	Paced    Paths   `json:"paced"`    // at a quarter of the rate
}

// Paths is how long a command takes.
type Paths struct {
	Answer Latency `json:"answer"` // until the client has its answer
	View   Latency `json:"view"`   // until the read view is committed and its event published
}

// Import is the import of a CSV of daily prices over HTTP, until the returns of all symbols are committed.
type Import struct {
	Prices    int     `json:"prices"`
	Answered  float64 `json:"answeredSeconds"`
	Settled   float64 `json:"settledSeconds"` // returns of every symbol are committed
	Rate      float64 `json:"rate"`           // prices a second, settled
	PeakBytes int64   `json:"peakBytes"`      // memory of this process, its client included; 0: not reported
}

// Latency is the latency of many requests.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	return Latency{P50: at(0.5), P99: at(0.99)}
}

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// Run measures everything, and removes what it created, also after an error.
func Run(ctx context.Context, cfg Config) (r Report, err error) {
	p, err := newEnvironment(ctx, cfg)
	if err != nil {
		return r, err
	}
	defer func() {
		if failed := p.remove(context.WithoutCancel(ctx)); err == nil {
			err = failed
		}
	}()
	r.Broker, r.Database = p.brokerKind, p.databaseKind
	cfg.Progress("publishing %d events", cfg.Messages)
	if r.Publish, err = publish(ctx, p); err != nil {
		return r, err
	}
	cfg.Progress("handling %d events", cfg.Messages)
	if r.Events, err = handle(ctx, p); err != nil {
		return r, err
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	over, address := make(chan error, 1), make(chan string, 1)
	tokenFile := filepath.Join(p.Folder, "token")
	go func() {
		over <- process.Run(ctx, process.Config{
			Services:  process.Names(),
			Roles:     []process.Role{process.API, process.Consumer},
			Addr:      "127.0.0.1:0",
			Migrate:   true,
			Database:  p.database,
			Broker:    p.open,
			Log:       cfg.Log,
			TokenFile: tokenFile,
		}, func(addr string) { address <- addr })
	}()
	select {
	case err := <-over:
		return r, err
	case addr := <-address:
		p.url = "http://" + addr
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return r, err
	}
	p.token = strings.TrimSpace(string(token))
	cfg.Progress("creating %d portfolios with %d clients", cfg.Commands, cfg.Clients)
	if r.Commands, err = commands(ctx, p); err == nil {
		cfg.Progress("importing %d prices", cfg.Symbols*cfg.Days)
		r.Import, err = imports(ctx, p)
	}
	stop()
	if ended := <-over; err == nil {
		err = ended
	}
	return r, err
}
