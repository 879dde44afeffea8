package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"stega/fault"
)

// again reports whether the same unit of work may succeed when it is run again at once.
func again(err error) bool {
	if _, ok := errors.AsType[*lostGroup](err); ok {
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01" // serialization failure, deadlock
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlitelib.SQLITE_BUSY || e.Code()&0xff == sqlitelib.SQLITE_LOCKED
	}
	return false
}

// Away reports whether an error says that the database cannot be reached or take writes at present.
func Away(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := e.Code[:min(2, len(e.Code))]
		// connection exception, insufficient resources (a full disk), operator intervention (shutdown), object in use, read only, login refused
		return class == "08" || class == "53" || class == "57" && e.Code != "57014" || e.Code == "25006" || e.Code == "55006" || class == "28"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED, sqlitelib.SQLITE_FULL, sqlitelib.SQLITE_IOERR, sqlitelib.SQLITE_CANTOPEN,
			sqlitelib.SQLITE_READONLY:
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, gone := range []error{
		driver.ErrBadConn, sql.ErrConnDone, errClosed, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNREFUSED, syscall.ECONNRESET,
		syscall.EPIPE,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return strings.HasSuffix(err.Error(), "conn closed") // pgconn has no name for it
}

// explain makes a fault of what says that the database is away; other errors stay as they are.
func (d *DB) explain(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*fault.Fault](err); ok || err == nil || ctx.Err() != nil || !Away(err) {
		return err
	}
	return d.Unavailable(err)
}

// Unavailable is the fault that this database cannot be used at present.
func (d *DB) Unavailable(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlitelib.SQLITE_FULL {
		return fault.Unavailable("disk_full", "the disk of the database of %s is full", d.service).
			WithHint("make room on the disk that holds %s", d.where).Because(err)
	}
	return fault.Unavailable("database_unavailable", "the database of %s does not answer", d.service).
		WithHint("wait a moment; an operator finds the reason in the log").Because(err)
}

// Conflict reports whether an error says that a unique value is taken.
func Conflict(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}
