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

// Away reports whether an error means that the database cannot be reached or takes no writes at present.
func Away(err error) bool {
	if Refuses(err) {
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := e.Code[:min(2, len(e.Code))]
		// connection exception, insufficient resources, operator intervention (shutdown), object in use, login refused
		return class == "08" || class == "53" || class == "57" && e.Code != "57014" || e.Code == "55006" ||
			class == "28"
	}
	if _, ok := errors.AsType[*sqlite.Error](err); ok {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, gone := range []error{
		driver.ErrBadConn, sql.ErrConnDone, errClosed, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNREFUSED,
		syscall.ECONNRESET,
		syscall.EPIPE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return strings.HasSuffix(err.Error(), "conn closed") // pgconn has no name for it
}

// SQLSTATE codes of a PostgreSQL server that takes no writes or no connections at present.
const (
	pgReadOnly    = "25006"
	pgDiskFull    = "53100"
	pgConnections = "53300"
	pgLimit       = "53400"
	pgResources   = "53000"
	pgStarting    = "57P03"
)

// Refuses reports whether an error means that the database takes no writes or no connections at present, for a reason
// that has nothing to do with the unit of work: it is read-only, its disk is full, or its connections are used up.
func Refuses(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case pgReadOnly, pgDiskFull, pgConnections, pgLimit, pgResources, pgStarting:
			return true
		}
		return false
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED, sqlitelib.SQLITE_FULL, sqlitelib.SQLITE_IOERR,
			sqlitelib.SQLITE_CANTOPEN,
			sqlitelib.SQLITE_READONLY:
			return true
		}
	}
	return errors.Is(err, errReadOnly)
}

// errReadOnly is the error of a server that is read-only.
var errReadOnly = errors.New("the server is read-only")

// explain turns an error of a database that is away into a fault, and returns any other error as it is.
func (d *DB) explain(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*fault.Fault](err); ok || err == nil || ctx.Err() != nil || !Away(err) {
		return err
	}
	return d.Unavailable(err)
}

// Unavailable returns the fault that this database cannot be used at present.
func (d *DB) Unavailable(err error) error { return unavailable(d.service, d.where, err) }

// unavailable returns the fault for an error of a database that cannot be used at present.
func unavailable(service, where string, err error) error {
	code := ""
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = e.Code
	}
	e, sqlite3 := errors.AsType[*sqlite.Error](err)
	switch {
	case code == pgDiskFull, sqlite3 && e.Code()&0xff == sqlitelib.SQLITE_FULL:
		return fault.Unavailable("disk_full", "the disk of the database of %s is full", service).
			WithHint("make room on the disk that holds %s", where).Because(err)
	case code == pgConnections:
		return fault.Unavailable("too_many_connections", "the database server of %s has too many connections", service).
			WithHint("raise max_connections of PostgreSQL, or give each process fewer: " +
				"--database-connections, STEGA_DATABASE_CONNECTIONS").
			Because(err)
	case code == pgReadOnly, errors.Is(err, errReadOnly), sqlite3 && e.Code()&0xff == sqlitelib.SQLITE_READONLY:
		return fault.Unavailable("database_read_only", "the database of %s takes no writes: it is read-only", service).
			WithHint("wait until it is writable again, or point --database-url at the server that is").Because(err)
	}
	return fault.Unavailable("database_unavailable", "the database of %s does not answer", service).
		WithHint("wait a moment; an operator finds the reason in the log").Because(err)
}

// Conflict reports whether an error means that a unique value is taken.
func Conflict(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}
