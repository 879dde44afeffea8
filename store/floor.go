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

// floor says after which id a scan for pending rows of PostgreSQL begins. A scan of all steps over what was deleted
// since the last vacuum, which under load costs more than the rows that it finds.
//
// It is no high-water mark: it moves up only when no transaction is left that could still commit a lower id, or an
// event would be sent before an earlier one of its subject. A unit that emits an event raises the counter of the
// subject first, so it has its transaction id before it takes an id of the outbox. Once an id was seen, every unit
// with a lower one has a transaction id below the next that the server would then give; when all below that are over,
// a scan finds whatever those units left. A unit that does nothing but send a command may take its id without that;
// commands have no order, and are found by the scan of all.
type floor struct {
	at     int64 // every lower row was read
	probed time.Time
	full   time.Time

	next  int64 // becomes at when all transactions below limit are over and a scan was begun after that; 0 without one
	limit int64
	clear bool // they were over when this scan began
}

// begin is told of the running transactions when a scan begins, and of the highest id that was seen before: the
// oldest that runs, and the next one. It answers after which id to scan.
func (f *floor) begin(now time.Time, seen, oldest, next int64) int64 {
	switch {
	case f.next == 0 && seen > f.at:
		f.next, f.limit = seen, next
	case f.next > 0 && oldest >= f.limit:
		f.clear = true
	}
	return f.from(now)
}

// from is after which id to scan.
func (f *floor) from(now time.Time) int64 {
	if now.Sub(f.full) >= floorFull {
		f.full = now
		return 0
	}
	return f.at
}

// end is told that a scan came to its end.
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
