package store

import (
	"context"
	"log/slog"

	"stega/broker"
)

// Relay moves the outbox of one database to the broker, and nothing else does. One relay works per
// service at a time (an advisory lock on PostgreSQL, a process-wide one on SQLite); others stand by.
//
// It scans the pending rows, never a high-water mark over a serial, for a lower id can commit later. At most one
// message of a subject is unconfirmed at a time, so that a refused one cannot be overtaken by its successor; messages of different
// subjects are pipelined. A confirmed row is deleted by its id; with a Volatile broker it stays, marked
// as published, until the message was handled everywhere, and is published again at the next start.
type Relay struct {
	DB     *DB
	Broker broker.Broker
	Log    *slog.Logger
}

// Run relays until ctx ends; ready is called once the relay works or stands by. It survives the absence of the broker and of the
// database.
func (r *Relay) Run(ctx context.Context, ready func()) error { panic("contract") }
