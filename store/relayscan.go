package store

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// scan reads pending rows in the order of their ids, until it has seen all or the window is full.
//
// What one scan reads is of one snapshot: an event that was committed between two looks at the table could otherwise
// be found and sent while an earlier one of its subject, committed since the first look, is not. For the same reason
// a scan that the full window ended is not gone on with but begun anew, once there is room.
func (w *activeRelay) scan(ctx context.Context) error {
	if !w.wants() {
		return nil
	}
	return w.onSession(ctx, w.read)
}

// read is one scan.
func (w *activeRelay) read(ctx context.Context) error {
	w.crowded = false
	var after int64
	var err error
	if w.DB.Read().Dialect().Name() == dialect.PG {
		if after, err = w.floor.after(ctx, w.conn, w.seen); err != nil {
			return err
		}
	}
	ids, err := w.pending(ctx, w.conn, after)
	if err != nil {
		return err
	}
	if len(ids) < relayPage { // all, by one statement
		if err := w.hold(ctx, w.conn, ids); err != nil || w.crowded {
			return err
		}
		return w.end()
	}
	return w.conn.RunInTx(ctx, &sql.TxOptions{Isolation: w.isolation(), ReadOnly: true},
		func(ctx context.Context, tx bun.Tx) error {
			for {
				ids, err := w.pending(ctx, tx, after)
				if err != nil {
					return err
				}
				if err := w.hold(ctx, tx, ids); err != nil || w.crowded {
					return err
				}
				if len(ids) < relayPage {
					return w.end()
				}
				if after = ids[len(ids)-1]; w.full() {
					w.crowded = true
					return nil
				}
			}
		})
}

// isolation is that of a transaction whose statements see one snapshot. Those of SQLite always do.
func (w *activeRelay) isolation() sql.IsolationLevel {
	if w.DB.Read().Dialect().Name() == dialect.PG {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// pending reads ids of rows, which an index has: the data of those that are held already need not be read again.
func (w *activeRelay) pending(ctx context.Context, db bun.IDB, after int64) (ids []int64, err error) {
	query := db.NewSelect().Table("outbox").Column("id").Where("published = 0").Where("id > ?",
		after).OrderExpr("id").Limit(relayPage)
	if len(w.stopped) > 0 {
		query = query.Where("service <> '' OR subject NOT IN (?)", bun.List(w.stopped))
	}
	err = query.Scan(ctx, &ids)
	return ids, err
}

// wants reports whether there may be rows that the window has room for. A window that was full is filled again when
// half of it is free, as the rows that it holds are read once more then.
func (w *activeRelay) wants() bool {
	return !w.caught && !w.full() && (!w.crowded || len(w.held) <= relayWindow/2 && w.bytes <= relayBytes/2)
}

// end notes that a scan has seen all.
func (w *activeRelay) end() error {
	w.floor.end()
	w.caught = true
	return nil
}

// hold takes those rows into the window that are not in it yet, until it is full. A row is changed and deleted by the
// relay alone, so they may be read later than their ids.
func (w *activeRelay) hold(ctx context.Context, db bun.IDB, ids []int64) error {
	added := make([]int64, 0, len(ids))
	for _, id := range ids {
		w.seen = max(w.seen, id)
		if !w.held[id] {
			added = append(added, id)
		}
	}
	for n := relayFirst; len(added) > 0; {
		if w.full() {
			w.crowded = true
			return nil
		}
		n = min(n, len(added))
		before := w.bytes
		if err := w.take(ctx, db, added[:n]); err != nil {
			return err
		}
		added = added[n:]
		// As many more as have about an eighth of the window's bytes.
		n = min(max(relayBytes/8*n/max(w.bytes-before, 1), 1), relayPage)
	}
	return nil
}

// take reads rows into the window.
func (w *activeRelay) take(ctx context.Context, db bun.IDB, ids []int64) error {
	var rows []outboxRow
	if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).OrderExpr("id").Scan(ctx); err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		w.held[row.ID] = true
		if w.confirmed[row.MessageID] {
			w.done(pair{row.ID, row.MessageID})
			continue
		}
		if _, sent := w.published[row.MessageID]; sent {
			continue
		}
		w.bytes += len(row.Data)
		key := row.line()
		l := w.lines[key]
		if l == nil {
			l = &line{}
			w.lines[key] = l
		}
		l.rows = append(l.rows, *row)
		if len(l.rows) == 1 {
			w.open = append(w.open, l)
		}
	}
	return nil
}
