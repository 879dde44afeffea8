package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

const (
	floorProbe = 25 * time.Millisecond  // how often the running transactions are looked at
	floorFull  = 500 * time.Millisecond // how often a scan is of all
)

// floor is the id after which a scan for pending rows of PostgreSQL begins. A scan of all rows steps over those
// deleted since the last vacuum, which under load costs more than the rows that it finds.
//
// It is no high-water mark: it moves up only when no transaction is left that could still commit a lower id, or an
// event would be sent before an earlier one of its subject. A unit that emits an event raises the counter of the
// subject first, so it has its transaction id before it takes an id of the outbox. When the relay sees outbox id N,
// every transaction that can still commit an id below N has an xid below the xmax of the snapshot. Once xmin passes
// that xmax, the next scan finds all of their rows, and later scans can start at N. A unit that only sends a command
// may take its id without a transaction id; commands have no order, and the scan of all finds them.
type floor struct {
	at     int64 // every lower row was read
	probed time.Time
	full   time.Time

	next  int64 // becomes at when all transactions below limit are over and a scan was begun after that; 0 without one
	limit int64
	clear bool // they were over when this scan began
}

// begin returns the id after which a scan begins. seen is the highest id of earlier scans; oldest and next are the
// oldest running transaction id and the next one to be given.
func (f *floor) begin(now time.Time, seen, oldest, next int64) int64 {
	switch {
	case f.next == 0 && seen > f.at:
		f.next, f.limit = seen, next
	case f.next > 0 && oldest >= f.limit:
		f.clear = true
	}
	return f.from(now)
}

// from returns the id after which to scan.
func (f *floor) from(now time.Time) int64 {
	if now.Sub(f.full) >= floorFull {
		f.full = now
		return 0
	}
	return f.at
}

// end records that a scan came to its end.
func (f *floor) end() {
	if f.clear {
		f.at, f.next, f.clear = f.next, 0, false
	}
}

// after begins a scan.
func (f *floor) after(ctx context.Context, conn bun.IConn, seen int64) (int64, error) {
	now := time.Now()
	if now.Sub(f.probed) < floorProbe {
		return f.from(now), nil
	}
	f.probed = now
	rows, err := conn.QueryContext(ctx,
		"SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s")
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	var oldest, next int64
	for rows.Next() {
		if err := rows.Scan(&oldest, &next); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return f.begin(now, seen, oldest, next), nil
}
