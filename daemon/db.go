package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"stega/fault"
)

// openDB opens a database that is the user's alone. The daemon is its only process, and uses one connection.
func openDB(ctx context.Context, path, schema string, pragmas ...string) (*sql.DB, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // what SQLite puts beside it gets the same mode
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Chmod(0o600), file.Close()); err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "temp_store(MEMORY)"}, pragmas...)}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// full reports whether the disk is full.
func full(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == lib.SQLITE_FULL || e.Code() == lib.SQLITE_IOERR_WRITE)
}

// damaged reports whether a file is no database any more.
func damaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == lib.SQLITE_CORRUPT || e.Code()&0xff == lib.SQLITE_NOTADB)
}

// unkept is why something could not be kept on disk.
func unkept(what string, err error) error {
	if full(err) {
		return fault.Unavailable("daemon_disk_full", "the disk is full, so %s could not be kept", what).
			WithHint("make room where the daemon has its files (see: stega doctor), then try again; nothing of it " +
				"was written, and the queue is whole").
			Because(err)
	}
	if damaged(err) {
		return fault.Unavailable("daemon_queue_damaged", "the queue of the daemon is damaged, so %s could not be kept",
			what).
			WithHint("stop the daemon and move its file away; stega doctor says where it is").Because(err)
	}
	return fmt.Errorf("keep %s: %w", what, err)
}
