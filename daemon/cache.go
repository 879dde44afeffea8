package daemon

import (
	"container/list"
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

// maxCached is how large an answer may be that is cached, and maxAnswers how many are.
const (
	maxCached  = 8 << 20
	maxAnswers = 10_000
)

// kept are the headers of an answer that are cached with it.
var kept = []string{"Content-Type", "Etag", "Stega-Position", "Last-Modified"}

// answer is an answer of the server.
type answer struct {
	header http.Header
	body   []byte
	readAt time.Time
}

const cacheSchema = `CREATE TABLE IF NOT EXISTS cache (
	key TEXT PRIMARY KEY, header TEXT NOT NULL, body BLOB NOT NULL, read_at INTEGER NOT NULL, used INTEGER NOT NULL)`

// cache keeps answers on disk, bounded by their size; those that were used least recently go first. It is a
// convenience: when the disk does not take it, there is no cache, and when its file is damaged, it begins anew.
type cache struct {
	db  *sql.DB
	log *slog.Logger
	max int64

	mu     sync.Mutex
	bytes  int64
	recent *list.List // of *cached, the most recently used first
	byKey  map[string]*list.Element
}

type cached struct {
	key  string
	size int64
}

func openCache(ctx context.Context, path string, most int64, log *slog.Logger) (*cache, error) {
	c := &cache{log: log, max: most, recent: list.New(), byKey: map[string]*list.Element{}}
	err := c.open(ctx, path)
	if damaged(err) {
		log.Warn("the cache is damaged and begins anew", "file", path, "error", err)
		for _, ext := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + ext)
		}
		err = c.open(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	return c, nil
}

func (c *cache) open(ctx context.Context, path string) error {
	db, err := openDB(ctx, path, cacheSchema, "journal_mode(WAL)", "synchronous(NORMAL)")
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT key, length(body) + length(header) FROM cache ORDER BY used`)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var e cached
		if err := rows.Scan(&e.key, &e.size); err != nil {
			return errors.Join(err, db.Close())
		}
		c.bytes += e.size
		c.byKey[e.key] = c.recent.PushFront(&e)
	}
	if err := rows.Err(); err != nil {
		return errors.Join(err, db.Close())
	}
	c.db = db
	return nil
}

// close writes down which answers were used, so that the next daemon knows the least.
func (c *cache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := func() error {
		tx, err := c.db.Begin() //nolint:noctx // the end of the process does not cut it
		if err != nil {
			return err
		}
		n := 0
		for e := c.recent.Back(); e != nil; e = e.Prev() {
			n++
			if _, err := tx.Exec(`UPDATE cache SET used = ? WHERE key = ?`, n, e.Value.(*cached).key); err != nil { //nolint:noctx // as above
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	}()
	return errors.Join(err, c.db.Close())
}

// get is a cached answer, if there is one.
func (c *cache) get(ctx context.Context, key string) (a answer, ok bool) {
	c.mu.Lock()
	e := c.byKey[key]
	if e != nil {
		c.recent.MoveToFront(e)
	}
	c.mu.Unlock()
	if e == nil {
		return a, false
	}
	var header string
	var read int64
	err := c.db.QueryRowContext(ctx, `SELECT header, body, read_at FROM cache WHERE key = ?`, key).Scan(&header, &a.body, &read)
	if err == nil {
		err = json.Unmarshal([]byte(header), &a.header)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, sql.ErrNoRows) {
			c.log.Warn("the cache cannot be read", "error", err)
		}
		return a, false
	}
	a.readAt = time.UnixMilli(read)
	return a, true
}

// put caches an answer.
func (c *cache) put(ctx context.Context, key string, a answer) error {
	header := http.Header{}
	for _, name := range kept {
		if v := a.header.Values(name); len(v) > 0 {
			header[name] = v
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	size := int64(len(a.body) + len(text))
	if size > maxCached || size > c.max {
		c.drop(ctx, key)
		return nil
	}
	for _, old := range c.admit(key, size) {
		c.drop(ctx, old)
	}
	_, err = c.db.ExecContext(ctx, `INSERT INTO cache (key, header, body, read_at, used) VALUES (?, ?, ?, ?, 0)
		ON CONFLICT (key) DO UPDATE SET header = excluded.header, body = excluded.body, read_at = excluded.read_at`,
		key, string(text), append([]byte{}, a.body...), a.readAt.UnixMilli())
	if err != nil {
		c.drop(context.WithoutCancel(ctx), key) // rather nothing than what is older than it seems
		return fmt.Errorf("cache an answer: %w", err)
	}
	return nil
}

// admit makes room for an answer, and names those that must go.
func (c *cache) admit(key string, size int64) (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		c.bytes += size - e.Value.(*cached).size
		e.Value.(*cached).size = size
		c.recent.MoveToFront(e)
	} else {
		c.bytes += size
		c.byKey[key] = c.recent.PushFront(&cached{key: key, size: size})
	}
	bytes, count := c.bytes, c.recent.Len()
	for e := c.recent.Back(); e != nil && (bytes > c.max || count > maxAnswers); e = e.Prev() {
		old := e.Value.(*cached)
		bytes -= old.size
		count--
		out = append(out, old.key)
	}
	return out
}

// drop forgets an answer.
func (c *cache) drop(ctx context.Context, key string) {
	c.mu.Lock()
	if e := c.byKey[key]; e != nil {
		c.bytes -= e.Value.(*cached).size
		c.recent.Remove(e)
		delete(c.byKey, key)
	}
	c.mu.Unlock()
	if _, err := c.db.ExecContext(ctx, `DELETE FROM cache WHERE key = ?`, key); err != nil && ctx.Err() == nil {
		c.log.Warn("an answer cannot be removed from the cache", "error", err)
	}
}

// size is how much is cached.
func (c *cache) size() (answers int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len(), c.bytes
}
