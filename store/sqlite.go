package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver

	"stega/fault"
)

// sqliteEngine has one writing connection, on which one goroutine runs the units of work, and a pool that reads beside
// it. Units that wait together share a transaction, each behind a savepoint of its own, and so one flush to the disk.
type sqliteEngine struct {
	db      *DB
	observe func(string)
	writing *bun.DB
	writer  bun.Conn
	reading *bun.DB
	units   chan *unit
	closing chan struct{}
	done    chan struct{}
	once    sync.Once
}

// unit is a unit of work that waits for its turn.
type unit struct {
	ctx   context.Context
	fn    func(ctx context.Context, tx *Tx) error
	err   error
	panic any
	taken atomic.Bool // by the writer, or given up by its caller
	done  chan struct{}
}

// A group of units ends when it has taken this long or this many.
const (
	groupTime  = 10 * time.Millisecond
	groupUnits = 128
)

func openSQLite(ctx context.Context, d *DB, rest string, o options) (engine, string, error) {
	path := strings.TrimPrefix(rest, "//")
	path, _, _ = strings.Cut(path, "?")
	if path == "" {
		return nil, "", fault.Usage("database_url_invalid", "the database URL of %s names no file", d.service).
			WithHint("give one such as sqlite:///var/lib/stega/%s.db", d.service)
	}
	missing := func(err error) error {
		return fault.Unavailable("database_unavailable", "the database file %s cannot be opened", path).
			WithHint("check that its folder exists, that it may be written, and that the disk has room").Because(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, "", missing(err)
	}
	s := &sqliteEngine{db: d, observe: o.observe, units: make(chan *unit, groupUnits), closing: make(chan struct{}),
		done: make(chan struct{})}
	var err error
	if s.writing, err = sqlitePool(path, 1, "synchronous(FULL)", "cache_size(-2000)"); err != nil {
		return nil, "", missing(err)
	}
	if s.writer, err = s.writing.Conn(ctx); err != nil {
		return nil, "", errors.Join(missing(err), s.writing.Close())
	}
	if s.reading, err = sqlitePool(path, 4, "query_only(1)"); err != nil {
		return nil, "", errors.Join(missing(err), s.writing.Close())
	}
	go s.write()
	return s, path, nil
}

func sqlitePool(path string, connections int, pragmas ...string) (*bun.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "temp_store(MEMORY)"},
		pragmas...)}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return bun.NewDB(pool, sqlitedialect.New()), nil
}

func (s *sqliteEngine) read() *bun.DB { return s.reading }

func (s *sqliteEngine) ping(ctx context.Context) error {
	_, err := s.reading.ExecContext(ctx, "SELECT 1")
	return err
}

// sqlitePoll is how often a relay of SQLite scans without news. All that commits is in its process and wakes it.
const sqlitePoll = time.Second

func (s *sqliteEngine) lead(context.Context) (*leadership, error) {
	// The file has one process, and the process one relay.
	return &leadership{conn: s.reading, release: func() {}, poll: sqlitePoll}, nil
}

func (s *sqliteEngine) close() error {
	s.once.Do(func() { close(s.closing) })
	<-s.done
	return errors.Join(s.reading.Close(), s.writer.Close(), s.writing.Close())
}

func (s *sqliteEngine) do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	u := &unit{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case s.units <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return errClosed
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		if u.taken.CompareAndSwap(false, true) {
			return ctx.Err() // the writer passes over it
		}
		<-u.done
	case <-s.done:
		select {
		case <-u.done:
		default:
			return errClosed
		}
	}
	if u.panic != nil {
		panic(u.panic)
	}
	return u.err
}

var errClosed = errors.New("the database is closed")

// write runs units until the database is closed.
func (s *sqliteEngine) write() {
	defer close(s.done)
	for {
		select {
		case u := <-s.units:
			s.group(u)
		case <-s.closing:
			return
		}
	}
}

// group runs a unit and those that wait behind it in one transaction.
func (s *sqliteEngine) group(first *unit) {
	group := []*unit{}
	start := time.Now()
	if err := s.exec("BEGIN IMMEDIATE"); err != nil {
		first.taken.Store(true)
		first.end(fmt.Errorf("begin: %w", err))
		return
	}
	for u := first; u != nil; u = s.waiting(start, len(group)) {
		if !u.taken.CompareAndSwap(false, true) {
			continue
		}
		if err := u.ctx.Err(); err != nil {
			u.end(err)
			continue
		}
		err := s.run(u)
		if err == nil {
			group = append(group, u)
			continue
		}
		if lost := s.undo(); lost != nil { // the transaction is gone, and with it what the others did
			u.end(err)
			for _, other := range group {
				other.end(&lostGroup{lost})
			}
			_ = s.exec("ROLLBACK")
			return
		}
		u.end(err)
	}
	if len(group) == 0 {
		_ = s.exec("ROLLBACK")
		return
	}
	err := s.exec("COMMIT")
	if err != nil {
		_ = s.exec("ROLLBACK")
		err = fmt.Errorf("commit: %w", err)
	}
	for _, u := range group {
		u.end(err)
	}
}

// waiting is the next unit that shares the transaction, if there is one and it is not full.
func (s *sqliteEngine) waiting(start time.Time, n int) *unit {
	if n >= groupUnits || time.Since(start) > groupTime {
		return nil
	}
	select {
	case u := <-s.units:
		return u
	default:
		return nil
	}
}

func (u *unit) end(err error) {
	u.err = err
	close(u.done)
}

// run runs one unit behind a savepoint.
func (s *sqliteEngine) run(u *unit) (err error) {
	if err := s.exec("SAVEPOINT unit"); err != nil {
		return err
	}
	session := &session{Conn: s.writer, db: s.writing, observe: s.observe, steady: true}
	tx := newTx(s.db, session)
	defer func() {
		tx.ended = true
		if v := recover(); v != nil {
			u.panic = v
			err = errPanicked
		}
	}()
	if err := u.fn(u.ctx, tx); err != nil {
		return err
	}
	if err := tx.finish(u.ctx); err != nil {
		return err
	}
	if err := session.flush(u.ctx); err != nil {
		return err
	}
	return s.exec("RELEASE unit")
}

var errPanicked = errors.New("the unit of work panicked")

// undo takes back what a unit did; an error means that the whole transaction is gone.
func (s *sqliteEngine) undo() error {
	if err := s.exec("ROLLBACK TO unit"); err != nil {
		return err
	}
	return s.exec("RELEASE unit")
}

func (s *sqliteEngine) exec(query string) error {
	if s.observe != nil {
		s.observe(query)
	}
	_, err := s.writer.Conn.ExecContext(context.Background(), query)
	return err
}

// lostGroup is the error of a unit whose transaction was taken back because of another; it is run again.
type lostGroup struct{ err error }

func (l *lostGroup) Error() string { return "the transaction was rolled back: " + l.err.Error() }
