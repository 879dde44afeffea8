// Package store is one service's database: the unit of work in which a handler changes rows and emits
// events, the outbox that carries those events to the broker, the inbox that makes a message count once,
// parked and dead messages, and operations. It runs on PostgreSQL and on SQLite with the same guarantees;
// storetest is the conformance suite of both.
package store

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"stega/fault"
	"stega/internal/backoff"
)

// DB is the database of one service.
type DB struct {
	service   string
	where     string // for people: the file or server, without a password
	engine    engine
	committed chan struct{}
	revived   chan struct{}
	waiters   waiters
	refused   atomic.Bool // the last write that is known of was refused
	migrating atomic.Int32
}

// engine is what differs between the two kinds of database.
type engine interface {
	// do runs a unit of work once.
	do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error
	// read is a pool for queries beside the writers.
	read() *bun.DB
	// ping reports whether the server answers and takes writes.
	ping(ctx context.Context) error
	// lead waits until this process is the one that relays, and returns a connection that keeps it so as long as it
	// lives. While it waits, it notifies the relay of another process of what this one commits.
	lead(ctx context.Context) (*leadership, error)
	close() error
}

// leadership is the right to relay; queries on conn fail when it is lost.
type leadership struct {
	conn    bun.IDB
	release func()
	poll    time.Duration // between scans without news

	// listen takes conn until stop is called, and signals notified when another process has committed, or conn is
	// lost. It is nil where no other process commits.
	listen   func() (stop func())
	notified <-chan struct{}
}

// Open connects to the database of a service: sqlite:///path/to/file.db or postgres://…. It does not
// migrate. A database that is not there is a fault of kind unavailable with a hint.
func Open(ctx context.Context, service, url string, opts ...Option) (*DB, error) {
	d := &DB{service: service, committed: make(chan struct{}, 1), revived: make(chan struct{}, 1)}
	var o options
	for _, set := range opts {
		set(&o)
	}
	var err error
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		d.engine, d.where, err = openSQLite(ctx, d, rest, o)
	case "postgres", "postgresql":
		d.engine, d.where, err = openPostgres(ctx, d, url, o)
	default:
		return nil, fault.Usage("database_url_invalid", "the database URL of %s is neither sqlite: nor postgres:",
			service).
			WithHint("give one such as sqlite:///var/lib/stega/%s.db or postgres://user:password@host/%s", service,
				service)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Option sets something of a DB.
type Option func(*options)

type options struct {
	connections int
	observe     func(query string)
}

// DefaultConnections is how many connections the pool of a database on PostgreSQL has at most, besides the one of the
// relay: with them, the twelve processes of a default installation fit into the hundred of a default server.
const DefaultConnections = 6

// Connections bounds the connections of the pool (PostgreSQL; 0: DefaultConnections).
func Connections(n int) Option { return func(o *options) { o.connections = n } }

// Observe calls fn before each statement of a unit of work, its commit included. Tests use it to stop a process between
// any two of them.
func Observe(fn func(query string)) Option { return func(o *options) { o.observe = fn } }

// Service returns the name of the service that the database belongs to.
func (d *DB) Service() string { return d.service }

// Read returns the pool for queries outside a unit of work; they run beside the writers.
func (d *DB) Read() bun.IDB { return d.engine.read() }

// maxTries bounds how often a unit that met a deadlock or the like is run.
const maxTries = 12

// Do runs fn as one unit of work: what it changes and emits is committed together, or nothing is. A unit that met a
// deadlock, a serialization failure or a busy database is run again from the start, so fn must have no effect but
// through tx. No unit of work may wait for anything outside the database.
//
// A statement that failed fails the unit, even if fn passes over it. A database that cannot be reached is a fault of
// kind unavailable; whether the unit was committed is then not known when the connection ended during the commit.
//
// A unit inside a unit of the same database is an error: it would wait for itself.
func (d *DB) Do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if ctx.Value(unitKey{d}) != nil {
		return errNested
	}
	for try := 1; ; try++ {
		var last *Tx
		err := d.engine.do(context.WithValue(ctx, unitKey{d}, true), func(ctx context.Context, tx *Tx) error {
			last = tx
			return fn(ctx, tx)
		})
		if err == nil {
			d.after(last)
			return nil
		}
		if Refuses(err) {
			d.refused.Store(true)
		}
		if !again(err) || try == maxTries || ctx.Err() != nil {
			return d.explain(ctx, err)
		}
		if !backoff.Sleep(ctx, backoff.Full(backoff.Exponential(time.Millisecond, 128*time.Millisecond, try))) {
			return ctx.Err()
		}
	}
}

// unitKey marks a context as that of a unit of work of a database.
type unitKey struct{ db *DB }

// after wakes those who wait for what a committed unit left.
func (d *DB) after(tx *Tx) {
	if tx == nil {
		return
	}
	if tx.wrote > 0 {
		signal(d.committed)
	}
	d.waiters.wake(tx.operations.finished)
}

// signal sends to a channel with a buffer of one; signals that nobody has received yet are one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Committed is signalled (buffered, coalesced) after each commit that left rows in the outbox.
func (d *DB) Committed() <-chan struct{} { return d.committed }

// Revived is signalled (buffered, coalesced) after a parked message was revived or dropped by this process.
func (d *DB) Revived() <-chan struct{} { return d.revived }

// Ping reports whether the database answers and takes writes. After a write that was refused, only another one shows
// that; it changes nothing.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.engine.ping(ctx); err != nil {
		return d.explain(ctx, err)
	}
	if !d.refused.Load() {
		return nil
	}
	err := d.Do(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE schema_migrations SET applied_at = applied_at
			WHERE name = (SELECT min(name) FROM schema_migrations)`)
		return err
	})
	if err != nil && (Away(err) || ctx.Err() != nil) {
		return err
	}
	d.refused.Store(false)
	return nil
}

// Close ends all connections.
func (d *DB) Close() error { return d.engine.close() }

// waiters are the waits for operations to finish.
type waiters struct {
	mu sync.Mutex
	of map[string][]chan struct{}
}

func (w *waiters) add(id string) (finished <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string][]chan struct{}{}
	}
	c := make(chan struct{}, 1)
	w.of[id] = append(w.of[id], c)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, other := range w.of[id] {
			if other == c {
				w.of[id] = append(w.of[id][:i], w.of[id][i+1:]...)
				break
			}
		}
		if len(w.of[id]) == 0 {
			delete(w.of, id)
		}
	}
}

func (w *waiters) wake(ids []string) {
	if len(ids) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		for _, c := range w.of[id] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
