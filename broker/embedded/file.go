package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"stega/broker"
	"stega/events"
)

// What the file keeps, and for how long.
const (
	fileName = "log.db"

	logBytes   = 1 << 30
	logAge     = 7 * 24 * time.Hour
	pruneBytes = 16 << 20 // written between two looks at the size of the log

	// A reader takes so much of the log at a time.
	readEntries = 256
	readBytes   = 1 << 20

	// maxEnds bounds the unclean ends that are remembered. No reader of the counts distinguishes as many.
	maxEnds = 32
)

// schema makes the tables. Positions and ids are given by the broker, times are unix microseconds.
const schema = `
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unclean_ends (noticed_at INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, stored_at INTEGER NOT NULL, ` + envelopeTypes + `);
CREATE TABLE IF NOT EXISTS dead (id INTEGER PRIMARY KEY, service TEXT NOT NULL, reason TEXT NOT NULL,
	dead_at INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT, ` + envelopeTypes + `);`

// The columns of a message. Its time is in unix nanoseconds; NULL stands for no time.
const (
	envelopeTypes = `message_id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
	time INTEGER, correlation TEXT NOT NULL, causation TEXT NOT NULL, sequence INTEGER NOT NULL,
	traceparent TEXT NOT NULL, content_type TEXT NOT NULL, data BLOB NOT NULL`
	envelopeColumns = `message_id, source, type, subject, time, correlation, causation, sequence, traceparent,
	content_type, data`
	envelopeValues = `?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`
)

// errDamaged marks a file that cannot be used, whatever is done about permissions and room.
var errDamaged = errors.New("the file is damaged")

// file is the SQLite file with the event log, the dead letters, and the times of unclean ends. A killed process loses
// none of it. A power failure can lose what was written last, since a commit does not wait for the disk.
type file struct {
	writing *sql.DB // one connection
	reading *sql.DB
	insert  *sql.Stmt
	origin  uint64 // where the first entry of the log stands, or will

	mu       sync.Mutex
	next     uint64        // the position of the next entry
	grown    chan struct{} // closed, and made anew, when next moves or the file is closed
	closed   bool
	unpruned int // bytes written since the last look at the size
}

// openFile opens the file in a folder, and makes it when it is missing.
func openFile(ctx context.Context, dir string, now time.Time) (*file, error) {
	path := filepath.Join(dir, fileName)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file", errDamaged, path)
	}
	private, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite gives its other files the same mode
	if err != nil {
		return nil, err
	}
	if err := private.Close(); err != nil {
		return nil, err
	}
	f := &file{grown: make(chan struct{})}
	if f.writing, err = pool(path, 1, "synchronous(NORMAL)"); err != nil {
		return nil, err
	}
	if f.reading, err = pool(path, 4, "query_only(1)"); err != nil {
		return nil, errors.Join(err, f.writing.Close())
	}
	if err := f.load(ctx, now); err != nil {
		if code(err) == sqlite3.SQLITE_ERROR { // its tables are others
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
		return nil, errors.Join(damage(err), f.close())
	}
	return f, nil
}

func pool(path string, connections int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{
		"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "temp_store(MEMORY)"}, pragmas...),
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// load makes the tables and finds where the log goes on. Positions continue from the clock, so none comes back as
// another event after the file, or the end of it, was lost.
func (f *file) load(ctx context.Context, now time.Time) error {
	if _, err := f.writing.ExecContext(ctx, schema); err != nil {
		return err
	}
	var newest sql.NullInt64
	if err := f.writing.QueryRowContext(ctx, `SELECT max(position) FROM log`).Scan(&newest); err != nil {
		return err
	}
	next := max(newest.Int64+1, now.UnixMicro())
	origin := next
	if newest.Valid {
		err := f.writing.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = 'origin'`).Scan(&origin)
		if err != nil {
			return fmt.Errorf("%w: read the origin of the log: %w", errDamaged, err)
		}
	} else if err := f.set(ctx, "origin", origin); err != nil {
		return err
	}
	f.origin, f.next = uint64(origin), uint64(next)
	var err error
	f.insert, err = f.writing.PrepareContext(ctx, `INSERT INTO log (position, stored_at, `+envelopeColumns+`)
		VALUES (?, ?, `+envelopeValues+`)`)
	return err
}

func (f *file) set(ctx context.Context, name string, value int64) error {
	_, err := f.writing.ExecContext(ctx, `INSERT INTO settings VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// close closes the file and wakes its readers.
func (f *file) close() error {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.grown)
	}
	f.mu.Unlock()
	return errors.Join(f.reading.Close(), f.writing.Close())
}

// openUsable opens the file, or a new one in its place when it is damaged.
func openUsable(ctx context.Context, dir string, now time.Time, log *slog.Logger) (*file, error) {
	f, err := openFile(ctx, dir, now)
	if !errors.Is(err, errDamaged) {
		return f, err
	}
	return replaceFile(ctx, dir, now, log, err)
}

// replaceFile moves a damaged file aside and makes a new one.
func replaceFile(ctx context.Context, dir string, now time.Time, log *slog.Logger, cause error) (*file, error) {
	path := filepath.Join(dir, fileName)
	aside := fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000000"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(cause, err)
		}
	}
	log.Warn("the event log is damaged and was moved aside; a new log begins, and no unhandled message is lost",
		"moved_to", aside, "error", cause)
	return openFile(ctx, dir, now)
}

// damage marks an error of a damaged file.
func damage(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// code returns the primary result code of SQLite, 0 for an error of another kind.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// append stores messages at the end of the log, all or none.
func (f *file) append(messages []*events.Message, now time.Time) error {
	f.mu.Lock()
	position := f.next
	f.mu.Unlock()
	size := 0
	err := f.transaction(func(ctx context.Context, tx *sql.Tx) error {
		insert := tx.StmtContext(ctx, f.insert)
		defer func() { _ = insert.Close() }()
		for i, m := range messages {
			size += overhead + len(m.Data)
			row := append([]any{int64(position) + int64(i), now.UnixMicro()}, values(m)...)
			if _, err := insert.ExecContext(ctx, row...); err != nil {
				return err
			}
		}
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unpruned += size
	f.next += uint64(len(messages)) // after an error too: the transaction may have ended either way
	if !f.closed {
		close(f.grown)
		f.grown = make(chan struct{})
	}
	return damage(err)
}

// transaction runs fn in a transaction. No context ends it.
func (f *file) transaction(fn func(ctx context.Context, tx *sql.Tx) error) error {
	ctx := context.Background()
	tx, err := f.writing.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// probe writes to the file without an effect.
func (f *file) probe() error {
	_, err := f.writing.ExecContext(context.Background(), `UPDATE settings SET value = value WHERE name = 'origin'`)
	return damage(err)
}

// end returns the position of the next entry, and a channel that is closed when there are more or the file is closed.
func (f *file) end() (next uint64, grown <-chan struct{}, closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next, f.grown, f.closed
}

// read returns entries of the log from a position on, oldest first.
func (f *file) read(ctx context.Context, from uint64) ([]broker.LogEntry, error) {
	rows, err := f.reading.QueryContext(ctx, `SELECT position, `+envelopeColumns+` FROM log
		WHERE position >= ? ORDER BY position LIMIT ?`, int64(from), readEntries)
	if err != nil {
		return nil, damage(err)
	}
	defer func() { _ = rows.Close() }()
	var entries []broker.LogEntry
	for bytes := 0; bytes < readBytes && rows.Next(); {
		var e broker.LogEntry
		if err := scan(rows, &e.Message, &e.Position); err != nil {
			return nil, damage(err)
		}
		bytes += overhead + len(e.Data)
		entries = append(entries, e)
	}
	return entries, damage(rows.Err())
}

// bounds returns how far the log reaches.
func (f *file) bounds(ctx context.Context) (broker.LogBounds, error) {
	next, _, _ := f.end()
	b := broker.LogBounds{Empty: true, Exact: true, Origin: f.origin, First: next}
	var first sql.NullInt64
	if err := f.reading.QueryRowContext(ctx, `SELECT min(position) FROM log`).Scan(&first); err != nil {
		return b, damage(err)
	}
	if !first.Valid {
		return b, nil
	}
	b.Empty, b.First = false, uint64(first.Int64)
	row := f.reading.QueryRowContext(ctx,
		`SELECT position, `+envelopeColumns+` FROM log ORDER BY position DESC LIMIT 1`)
	return b, damage(scan(row, &b.Recent.Message, &b.Recent.Position))
}

// prune deletes entries that are too old, and the oldest when the file has more bytes than most. The newest entry
// stays: it marks where the log ends.
func (f *file) prune(now time.Time, most int64) error {
	ctx := context.Background()
	var used int64
	err := f.writing.QueryRowContext(ctx, `SELECT (page_count - freelist_count) * page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&used)
	if err != nil {
		return damage(err)
	}
	keep, err := f.keepFrom(ctx, used-most, now.Add(-logAge).UnixMicro())
	if err != nil {
		return damage(err)
	}
	_, err = f.writing.ExecContext(ctx, `DELETE FROM log WHERE position < ?`, keep)
	return damage(err)
}

// keepFrom returns the position of the oldest entry to keep, when so many bytes are too many and what was stored
// before oldest is too old.
func (f *file) keepFrom(ctx context.Context, excess, oldest int64) (position int64, err error) {
	rows, err := f.writing.QueryContext(ctx, `SELECT position, stored_at, length(data) FROM log ORDER BY position`)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var stored, size int64
		if err := rows.Scan(&position, &stored, &size); err != nil {
			return 0, err
		}
		if excess <= 0 && stored >= oldest {
			break
		}
		excess -= overhead + size
	}
	return position, rows.Err()
}

// due reports whether so much was written that the log is to be pruned.
func (f *file) due() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unpruned < pruneBytes {
		return false
	}
	f.unpruned = 0
	return true
}

// storeDead stores a dead letter.
func (f *file) storeDead(id int64, service string, letter *item) error {
	var unreadable any
	if letter.err != nil {
		unreadable = letter.err.Error()
	}
	row := append([]any{id, service, letter.reason, letter.at.UnixMicro(), letter.attempts, unreadable},
		values(letter.message)...)
	_, err := f.writing.ExecContext(context.Background(), `INSERT INTO dead
		(id, service, reason, dead_at, attempts, error, `+envelopeColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, `+envelopeValues+`)`, row...)
	return damage(err)
}

func (f *file) deleteDead(id int64) error {
	_, err := f.writing.ExecContext(context.Background(), `DELETE FROM dead WHERE id = ?`, id)
	return damage(err)
}

// dead calls fn with each stored dead letter, oldest first.
func (f *file) dead(ctx context.Context, fn func(service string, letter *item)) error {
	rows, err := f.writing.QueryContext(ctx, `SELECT id, service, reason, dead_at, attempts, error, `+envelopeColumns+`
		FROM dead ORDER BY id`)
	if err != nil {
		return damage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		letter := &item{message: &events.Message{}, ids: []int64{0}}
		var service string
		var at int64
		var why sql.NullString
		err := scan(rows, letter.message, &letter.ids[0], &service, &letter.reason, &at, &letter.attempts, &why)
		if err != nil {
			return damage(err)
		}
		letter.at, letter.size = time.UnixMicro(at).UTC(), overhead+len(letter.message.Data)
		if why.Valid {
			letter.err = errors.New(why.String)
		}
		fn(service, letter)
	}
	return damage(rows.Err())
}

// beginRun records that a run has begun, and returns the starts that followed an unclean end, oldest first.
func (f *file) beginRun(ctx context.Context, now time.Time) ([]time.Time, error) {
	_, err := f.writing.ExecContext(ctx, `INSERT OR IGNORE INTO unclean_ends
		SELECT ? FROM settings WHERE name = 'running' AND value = 1`, now.UnixMicro())
	if err != nil {
		return nil, err
	}
	if err := f.set(ctx, "running", 1); err != nil {
		return nil, err
	}
	rows, err := f.writing.QueryContext(ctx, `SELECT noticed_at FROM unclean_ends
		ORDER BY noticed_at DESC LIMIT ?`, maxEnds)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var ends []time.Time
	for rows.Next() {
		var at int64
		if err := rows.Scan(&at); err != nil {
			return nil, err
		}
		ends = append(ends, time.UnixMicro(at))
	}
	slices.Reverse(ends)
	return ends, rows.Err()
}

// endRun records that the run has ended in order.
func (f *file) endRun() error { return f.set(context.Background(), "running", 0) }

// values returns the columns of a message.
func values(m *events.Message) []any {
	var at any
	if !m.Time.IsZero() {
		at = m.Time.UnixNano()
	}
	data := m.Data
	if data == nil {
		data = []byte{}
	}
	return []any{m.ID, m.Source, m.Type, m.Subject, at, m.Correlation, m.Causation, m.Sequence, m.TraceParent,
		m.ContentType, data}
}

// scan reads the columns before those of a message, and the message.
func scan(row interface{ Scan(...any) error }, m *events.Message, before ...any) error {
	var at sql.NullInt64
	err := row.Scan(append(before, &m.ID, &m.Source, &m.Type, &m.Subject, &at, &m.Correlation, &m.Causation,
		&m.Sequence,
		&m.TraceParent, &m.ContentType, &m.Data)...)
	if at.Valid {
		m.Time = time.Unix(0, at.Int64).UTC()
	}
	return err
}
