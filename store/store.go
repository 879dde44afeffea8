// Package store is one service's database: the unit of work in which a handler changes rows and emits
// events, the outbox that carries those events to the broker, the inbox that makes a message count once,
// parked and dead messages, and operations. It runs on PostgreSQL and on SQLite with the same guarantees;
// storetest is the conformance suite of both.
package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"stega/events"
)

// DB is the database of one service.
type DB struct {
	service string
}

// Open connects to the database of a service: sqlite:///path/to/file.db or postgres://…. It does not
// migrate. A server that is not there is a fault of kind unavailable that says what to do, unless Patient is given.
func Open(ctx context.Context, service, url string, opts ...Option) (*DB, error) { panic("contract") }

// Option sets something of a DB.
type Option func(*DB)

// Service is the name of the service that the database belongs to.
func (d *DB) Service() string { return d.service }

// Read is for queries outside a unit of work; they run beside the writers.
func (d *DB) Read() bun.IDB { panic("contract") }

// Do runs fn as one unit of work: what it changes and emits is committed together, or nothing is. A
// unit that met a deadlock, a serialization failure or a busy database is run again from the start, so fn must have no
// effect but through tx. No unit of work may wait for anything outside the database.
func (d *DB) Do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	panic("contract")
}

// Committed is signalled (buffered, coalesced) after each commit that left rows in the outbox.
func (d *DB) Committed() <-chan struct{} { panic("contract") }

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { panic("contract") }

// Close ends all connections.
func (d *DB) Close() error { panic("contract") }

// Tx is a unit of work under way. It is a bun.IDB, for the handler's own tables, and for one goroutine.
type Tx struct {
	bun.IDB
}

// Because names the message whose handling the following emissions come from: they get its correlation and
// it becomes their causation.
func (t *Tx) Because(cause events.Envelope) { panic("contract") }

// Cause is what Because was last told.
func (t *Tx) Cause() events.Envelope { panic("contract") }

// Emit publishes an event if and when the unit commits: it joins the outbox with the subject's next
// sequence. It fails after the unit has ended.
func (t *Tx) Emit(e events.Typed) error { panic("contract") }

// Enqueue sends a deferred command to the command queue of a service (usually its own) if and when the unit commits.
func (t *Tx) Enqueue(service string, c events.Typed) error { panic("contract") }

// Later adds a statement whose result nobody needs, to be sent together with others in one round trip: before
// the next query of Flush, or at commit. Order among them is kept. bun queries (NewInsert() …) fit.
func (t *Tx) Later(q bun.Query) { panic("contract") }

// Flush sends what Later holds, and writes emitted events to the outbox.
func (t *Tx) Flush(ctx context.Context) error { panic("contract") }

// Once runs fn before the commit, once for each key however often it is called in this unit (a batch of
// messages shares one unit): for work that several messages make due together. The cause is the first caller's.
func (t *Tx) Once(key string, fn func(ctx context.Context, tx *Tx) error) { panic("contract") }

// Now is the time of the unit of work, UTC, in microseconds; one value for the whole unit.
func (t *Tx) Now() time.Time { panic("contract") }
