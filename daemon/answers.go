package daemon

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// maxAnswer bounds the body of an answer that is kept; leastSize is what each counts for at least, so that the bound of
// all bytes bounds their number too.
const (
	maxAnswer = 8 << 20
	leastSize = 4 << 10
)

// keptHeaders are the headers that are kept with an answer.
var keptHeaders = []string{"Content-Type", "Etag", "Stega-Position", "Last-Modified"}

// answer is an answer of the server.
type answer struct {
	header http.Header
	body   []byte
	began  int64 // the tick at which its read began
	readAt time.Time
}

// The table cache is of versions that are gone.
const answersSchema = `
DROP TABLE IF EXISTS cache;
CREATE TABLE IF NOT EXISTS answers (
	key TEXT PRIMARY KEY, header TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL, began INTEGER NOT NULL,
		read_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS answers_began ON answers (began, size);
CREATE TABLE IF NOT EXISTS notified (id INTEGER PRIMARY KEY CHECK (id = 0), tick INTEGER NOT NULL);
INSERT OR IGNORE INTO notified (id, tick) VALUES (0, 0)`

// answers keeps answers of a server on disk, for when it is away. It is bounded by size; those that were read longest
// ago go first. It is a convenience: a disk that is full or a file that is damaged costs what was kept, and nothing
// else.
//
// A clock counts the reads. A notification of a client moves a mark to the clock's tick: answers whose read began up to
// there may be older than what the client was notified of, and are not given any more.
type answers struct {
	db   *sql.DB
	path string
	log  *slog.Logger
	max  int64

	mu    sync.Mutex
	clock int64
	mark  int64
}

func openAnswers(ctx context.Context, path string, most int64, log *slog.Logger) (*answers, error) {
	k := &answers{path: path, log: log, max: most}
	err := k.open(ctx)
	if damaged(err) {
		log.Warn("the kept answers are damaged and are removed", "file", path, "error", err)
		k.remove()
		err = k.open(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open the kept answers: %w", err)
	}
	return k, nil
}

func (k *answers) open(ctx context.Context) (err error) {
	if k.db, err = openDB(ctx, k.path, answersSchema, "journal_mode(WAL)", "synchronous(NORMAL)"); err != nil {
		return err
	}
	err = k.db.QueryRowContext(ctx,
		`SELECT tick, max(tick, coalesce((SELECT max(began) FROM answers), 0)) FROM notified`).
		Scan(&k.mark, &k.clock)
	if err != nil {
		return errors.Join(err, k.db.Close())
	}
	return nil
}

// remove removes the file.
func (k *answers) remove() {
	for _, ext := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(k.path + ext)
	}
}

func (k *answers) close() error { return k.db.Close() }

// begin counts a read that is about to be sent to the server, and returns its tick.
func (k *answers) begin() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock++
	return k.clock
}

// notified marks all answers whose read began before as outdated, on disk too. It is called before a client receives
// anything that may be newer than those answers.
func (k *answers) notified() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mark == k.clock { // nothing was read since the last time
		return
	}
	k.mark = k.clock
	if _, err := k.db.Exec(`UPDATE notified SET tick = ?`, k.mark); err != nil { //nolint:noctx // must not be cut short
		k.log.Warn("the kept answers cannot be marked as outdated and are removed", "error", err)
		k.remove()
	}
}

// outdated reports whether a client was notified of something since the read of an answer began.
func (k *answers) outdated(a answer) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return a.began <= k.mark
}

// get returns the answer that is kept under a key, if there is one.
func (k *answers) get(ctx context.Context, key string) (a answer, ok bool) {
	var header string
	var read int64
	err := k.db.QueryRowContext(ctx, `SELECT header, body, began, read_at FROM answers WHERE key = ?`, key).
		Scan(&header, &a.body, &a.began, &read)
	if err == nil {
		err = json.Unmarshal([]byte(header), &a.header)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, sql.ErrNoRows) {
			k.log.Warn("the kept answers cannot be read", "error", err)
		}
		return a, false
	}
	a.readAt = time.UnixMilli(read)
	return a, true
}

// put keeps an answer, unless that of a later read is kept already.
func (k *answers) put(ctx context.Context, key string, a answer) {
	header := http.Header{}
	for _, name := range keptHeaders {
		if v := a.header.Values(name); len(v) > 0 {
			header[name] = v
		}
	}
	text, err := json.Marshal(header)
	if err == nil {
		size := max(len(a.body)+len(text), leastSize)
		_, err = k.db.ExecContext(
			ctx,
			`INSERT INTO answers (key, header, body, size, began, read_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET header = excluded.header, body = excluded.body, size = excluded.size,
				began = excluded.began,
			read_at = excluded.read_at WHERE excluded.began > began`,
			key,
			string(text),
			append([]byte{}, a.body...),
			size,
			a.began,
			a.readAt.UnixMilli(),
		)
	}
	if err == nil {
		err = k.trim(ctx)
	}
	if err != nil {
		k.log.Warn("an answer cannot be kept", "error", err)
		k.drop(context.WithoutCancel(ctx), key) // rather none than one that seems newer than it is
	}
}

// trim removes what was read longest ago until the rest is within the bound.
func (k *answers) trim(ctx context.Context) error {
	_, bytes, err := k.size(ctx)
	if err != nil || bytes <= k.max {
		return err
	}
	_, err = k.db.ExecContext(ctx, `DELETE FROM answers WHERE began <= (SELECT max(began) FROM
		(SELECT began, sum(size) OVER (ORDER BY began DESC) AS newer FROM answers) WHERE newer > ?)`, k.max)
	return err
}

// confirm notes that the server confirmed an answer in a later read.
func (k *answers) confirm(ctx context.Context, key string, began int64) {
	_, err := k.db.ExecContext(
		ctx,
		`UPDATE answers SET began = ?, read_at = ? WHERE key = ? AND began < ?`,
		began,
		time.Now().UnixMilli(),
		key,
		began,
	)
	if err != nil && ctx.Err() == nil {
		k.log.Warn("a kept answer cannot be confirmed", "error", err)
	}
}

// drop removes an answer.
func (k *answers) drop(ctx context.Context, key string) {
	if _, err := k.db.ExecContext(ctx, `DELETE FROM answers WHERE key = ?`, key); err != nil && ctx.Err() == nil {
		k.log.Warn("a kept answer cannot be removed", "error", err)
	}
}

// size returns how many answers are kept, and how much they count for.
func (k *answers) size(ctx context.Context) (count int, bytes int64, err error) {
	err = k.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM answers`).Scan(&count, &bytes)
	return count, bytes, err
}
