package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Stats are the figures of a database that the metrics show.
type Stats struct {
	Outbox       int           // rows to publish or not handled everywhere yet
	OldestUnsent time.Duration // age of the oldest row that is not published
	Inbox        int
	Parked       int
	Dead         int
}

// Stats returns the counts of a database.
func (d *DB) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	var oldest sql.NullInt64
	err := d.Read().NewRaw(`SELECT (SELECT count(*) FROM outbox), (SELECT min(emitted_at) FROM outbox
		WHERE published = 0),
		(SELECT count(*) FROM inbox), (SELECT count(*) FROM parked WHERE state <> 'dead'),
		(SELECT count(*) FROM parked WHERE state = 'dead')`).
		Scan(ctx, &s.Outbox, &oldest, &s.Inbox, &s.Parked, &s.Dead)
	if err != nil {
		return s, d.explain(ctx, err)
	}
	if oldest.Valid {
		s.OldestUnsent = max(0, time.Since(at(oldest.Int64)))
	}
	return s, nil
}

// OldestUnsent returns the age of the oldest row of the outbox that waits to be sent; 0 when there is none.
func (d *DB) OldestUnsent(ctx context.Context) (time.Duration, error) {
	var emitted int64
	err := d.Read().NewRaw("SELECT emitted_at FROM outbox WHERE published = 0 ORDER BY id LIMIT 1").Scan(ctx, &emitted)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, d.explain(ctx, err)
	}
	return max(0, time.Since(at(emitted))), nil
}

// Retention is how long settled rows are kept.
type Retention struct {
	Inbox      time.Duration // default 7 days: longer than any redelivery can take
	Operations time.Duration // default 30 days, finished ones only
}

const (
	inboxRetention      = 7 * 24 * time.Hour
	operationsRetention = 30 * 24 * time.Hour
	tidyRows            = 5000 // in one unit of work, so that others are not held up
)

// Tidy deletes inbox rows and finished operations that are older than the retention, in small steps.
func (d *DB) Tidy(ctx context.Context, r Retention) error {
	if r.Inbox == 0 {
		r.Inbox = inboxRetention
	}
	if r.Operations == 0 {
		r.Operations = operationsRetention
	}
	for _, step := range []struct {
		query string
		keep  time.Duration
	}{
		{`DELETE FROM inbox WHERE (message_id, handler) IN
			(SELECT message_id, handler FROM inbox WHERE handled_at < ? ORDER BY handled_at LIMIT ?)`, r.Inbox},
		{`DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE finished_at > 0 AND finished_at < ? ` +
			`LIMIT ?)`,
			r.Operations},
	} {
		for n := int64(tidyRows); n == tidyRows; {
			err := d.Do(ctx, func(ctx context.Context, tx *Tx) error {
				result, err := tx.ExecContext(ctx, step.query, tx.now.Add(-step.keep).UnixMicro(), tidyRows)
				if err != nil {
					return err
				}
				n, err = result.RowsAffected()
				return err
			})
			if err != nil {
				return fmt.Errorf("tidy the database of %s: %w", d.service, err)
			}
		}
	}
	return nil
}
