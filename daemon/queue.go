package daemon

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"stega/events"
	"stega/fault"
)

// The states of a queued write.
const (
	Queued   = "queued"   // waits for the server
	Sending  = "sending"  // is being sent, perhaps for the second time: its id makes that harmless
	Accepted = "accepted" // the server has it, and has not run it yet
	Failed   = "failed"   // was refused, and waits for the decision of its user
)

// The bounds of a queue.
const (
	maxQueuedBody  = 32 << 20
	maxQueuedBytes = 1 << 30
	maxQueued      = 10_000
)

// Item is a queued write.
type Item struct {
	Operation   string       `json:"operation_id"`
	Method      string       `json:"method"`
	Path        string       `json:"path"` // with the query
	ContentType string       `json:"content_type,omitempty"`
	IfMatch     string       `json:"if_match,omitempty"`
	Size        int64        `json:"size"`
	State       string       `json:"state"`
	Fault       *fault.Fault `json:"error,omitempty"`      // of the last try
	Behind      string       `json:"behind,omitempty"`     // the failed write of the same entity that it waits behind
	InPlaceOf   string       `json:"instead_of,omitempty"` // the operation that failed before it was retried
	Attempts    int          `json:"attempts"`
	QueuedAt    time.Time    `json:"queued_at"`
	TriedAt     *time.Time   `json:"tried_at,omitempty"`
	Server      string       `json:"server"`
	Body        []byte       `json:"body,omitempty"` // only of a single one

	seq    int64
	entity string
}

const queueSchema = `
CREATE TABLE IF NOT EXISTS queue (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL UNIQUE, method TEXT NOT NULL, path TEXT NOT NULL,
	content_type TEXT NOT NULL, if_match TEXT NOT NULL, entity TEXT NOT NULL, size INTEGER NOT NULL,
		digest BLOB NOT NULL,
	state TEXT NOT NULL, fault TEXT NOT NULL DEFAULT '', instead_of TEXT NOT NULL DEFAULT '',
		attempts INTEGER NOT NULL DEFAULT 0,
	queued_at INTEGER NOT NULL, tried_at INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)`

const itemColumns = `seq, operation, method, path, content_type, if_match, entity, size, state, fault, instead_of, ` +
	`attempts, queued_at, tried_at`

// queue stores the writes for one server on disk until the server has them.
type queue struct {
	db     *sql.DB
	server string

	mu       sync.Mutex
	watchers map[string][]chan json.RawMessage // by operation
}

// openQueue opens the queue of a server. Writes that were being sent when the last daemon ended are queued again.
func openQueue(ctx context.Context, path, server string) (*queue, error) {
	// On a full disk, what was sent must still be taken off: a journal that stays needs no new room for that, as a
	// write-ahead log does.
	db, err := openDB(ctx, path, queueSchema, "auto_vacuum(INCREMENTAL)", "journal_mode(PERSIST)", "synchronous(FULL)")
	if err != nil {
		return nil, unkept("a write", err)
	}
	_, err = db.ExecContext(ctx, `UPDATE queue SET state = ? WHERE state = ?`, Queued, Sending)
	if err != nil && !full(err) { // with a full disk what is there can still be sent
		return nil, errors.Join(unkept("a write", err), db.Close())
	}
	return &queue{db: db, server: server, watchers: map[string][]chan json.RawMessage{}}, nil
}

func (q *queue) close() error { return q.db.Close() }

// add stores a write durably. The same write added twice is stored once.
func (q *queue) add(ctx context.Context, it Item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %s\n%s\n%s\n%s", it.Method, it.Path, it.ContentType, it.IfMatch,
		it.Body))
	var before []byte
	err := q.db.QueryRowContext(ctx, `SELECT digest FROM queue WHERE operation = ?`, it.Operation).Scan(&before)
	if err == nil {
		if string(before) == string(digest[:]) {
			return nil
		}
		return fault.Invalid("operation_id_reused", "the operation id %s is queued already, with another write",
			it.Operation).
			WithHint("take a new id for each write")
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return unkept("the write", err)
	}
	var count, bytes int64
	if err := q.db.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM queue`).
		Scan(&count, &bytes); err != nil {
		return unkept("the write", err)
	}
	if count >= maxQueued || bytes+int64(len(it.Body)) > maxQueuedBytes {
		return fault.Unavailable("daemon_queue_full", "%d writes with %d bytes wait for the server already", count,
			bytes).
			WithHint("wait until the server is back, or drop some: stega queue list")
	}
	if err := q.insert(ctx, it, digest[:]); err != nil {
		return unkept("the write", err)
	}
	return nil
}

// insert stores a write and its body, which has a table of its own because the rest changes often.
func (q *queue) insert(ctx context.Context, it Item, digest []byte) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	done, err := tx.ExecContext(
		ctx,
		`INSERT INTO queue (operation, method, path, content_type, if_match, entity, size, digest, state, queued_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		it.Operation,
		it.Method,
		it.Path,
		it.ContentType,
		it.IfMatch,
		it.entity,
		len(it.Body),
		digest,
		Queued,
		time.Now().UnixMilli(),
	)
	if err != nil {
		return err
	}
	seq, err := done.LastInsertId()
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO bodies (seq, body) VALUES (?, ?)`, seq,
		append([]byte{}, it.Body...)); err != nil {
		return err
	}
	return tx.Commit()
}

// list returns the queued writes in the order in which they are sent.
func (q *queue) list(ctx context.Context) ([]Item, error) {
	rows, err := q.db.QueryContext(ctx, `SELECT `+itemColumns+` FROM queue ORDER BY seq`)
	if err != nil {
		return nil, fmt.Errorf("read the queue: %w", err)
	}
	defer func() { _ = rows.Close() }()
	items := []Item{}
	blocked := map[string]string{}
	for rows.Next() {
		it, err := q.scan(rows)
		if err != nil {
			return nil, err
		}
		if it.entity != "" {
			if it.State == Failed && blocked[it.entity] == "" {
				blocked[it.entity] = it.Operation
			} else if it.State == Queued {
				it.Behind = blocked[it.entity]
			}
		}
		items = append(items, it)
	}
	return items, rows.Err()
}

func (q *queue) scan(row interface{ Scan(...any) error }) (Item, error) {
	it := Item{Server: q.server}
	var text string
	var queued, tried int64
	err := row.Scan(
		&it.seq, &it.Operation, &it.Method, &it.Path, &it.ContentType, &it.IfMatch, &it.entity, &it.Size, &it.State,
		&text,
		&it.InPlaceOf, &it.Attempts, &queued, &tried,
	)
	if err != nil {
		return it, err
	}
	it.QueuedAt = time.UnixMilli(queued).UTC()
	if tried != 0 {
		at := time.UnixMilli(tried).UTC()
		it.TriedAt = &at
	}
	if text != "" {
		it.Fault = &fault.Fault{}
		if err := json.Unmarshal([]byte(text), it.Fault); err != nil {
			return it, fmt.Errorf("read the queue: %w", err)
		}
	}
	return it, nil
}

// get returns one write with its body.
func (q *queue) get(ctx context.Context, operation string) (Item, error) {
	it, err := q.scan(
		q.db.QueryRowContext(ctx, `SELECT `+itemColumns+` FROM queue WHERE operation = ?`, strings.ToLower(operation)),
	)
	if err == nil {
		err = q.db.QueryRowContext(ctx, `SELECT body FROM bodies WHERE seq = ?`, it.seq).Scan(&it.Body)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return it, fault.NotFound("queue_item_unknown", "there is no queued write %.64s", operation).
			WithHint("see: stega queue list")
	}
	return it, err
}

// next returns the first write that may be sent: none of its entity is unfinished before it.
func (q *queue) next(ctx context.Context) (Item, bool, error) {
	row := q.db.QueryRowContext(ctx, `SELECT `+itemColumns+` FROM queue AS q WHERE state = ? AND NOT EXISTS (
		SELECT 1 FROM queue AS b WHERE b.seq < q.seq AND b.entity = q.entity AND q.entity <> '')
			ORDER BY seq LIMIT 1`, Queued)
	it, err := q.scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return it, false, nil
	}
	if err == nil {
		err = q.db.QueryRowContext(ctx, `SELECT body FROM bodies WHERE seq = ?`, it.seq).Scan(&it.Body)
	}
	return it, err == nil, err
}

// before reports whether a write must wait behind others: those that can be sent, and those of the same entity.
func (q *queue) before(ctx context.Context, entity string) (busy bool, err error) {
	err = q.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM queue AS q WHERE q.state = 'sending' OR q.entity = ?
		AND q.entity <> '' OR q.state = 'queued'
		AND NOT EXISTS (SELECT 1 FROM queue AS b WHERE b.seq < q.seq AND b.entity = q.entity AND q.entity <> ''))`,
		entity).
		Scan(&busy)
	return busy, err
}

// accepted returns the writes that the server has accepted and not run yet.
func (q *queue) accepted(ctx context.Context) ([]Item, error) {
	all, err := q.list(ctx)
	var some []Item
	for _, it := range all {
		if it.State == Accepted {
			some = append(some, it)
		}
	}
	return some, err
}

// mark records the state of a write, and the fault of its last try.
func (q *queue) mark(ctx context.Context, it Item, state string, f *fault.Fault) error {
	text := ""
	if f != nil {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		text = string(b)
	}
	tries := 0
	if state == Sending {
		tries = 1
	}
	_, err := q.db.ExecContext(
		ctx,
		`UPDATE queue SET state = ?, fault = ?, attempts = attempts + ?, tried_at = ? WHERE seq = ?`,
		state,
		text,
		tries,
		time.Now().UnixMilli(),
		it.seq,
	)
	return err
}

// remove removes a write that is done, or not wanted any more.
func (q *queue) remove(ctx context.Context, it Item) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{"DELETE FROM queue WHERE seq = ?", "DELETE FROM bodies WHERE seq = ?"} {
		if _, err := tx.ExecContext(ctx, statement, it.seq); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// shrink returns the space of sent writes to the disk.
func (q *queue) shrink(ctx context.Context) {
	_, _ = q.db.ExecContext(ctx, "PRAGMA incremental_vacuum") // when it cannot be, the room is used by the next writes
}

// again queues a failed write once more, at its old place. Its operation is over, so it gets a new id.
func (q *queue) again(ctx context.Context, it Item, anyVersion bool) (string, error) {
	if it.State != Failed {
		return "", fault.Conflict(
			"queue_item_not_failed", "the write %s is %s, and only a failed one can be retried", it.Operation, it.State,
		)
	}
	if anyVersion {
		it.IfMatch = ""
	}
	id := events.NewID()
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %s\n%s\n%s\n%s", it.Method, it.Path, it.ContentType, it.IfMatch,
		it.Body))
	_, err := q.db.ExecContext(
		ctx,
		`UPDATE queue SET operation = ?, if_match = ?, digest = ?, state = ?, fault = '', instead_of = ? WHERE seq = ?`,
		id,
		it.IfMatch,
		digest[:],
		Queued,
		it.Operation,
		it.seq,
	)
	if err != nil {
		return "", unkept("the write", err)
	}
	return id, nil
}

// Depth counts the queued writes by state.
type Depth struct {
	Queued   int   `json:"queued"`
	Sending  int   `json:"sending"`
	Accepted int   `json:"accepted"`
	Failed   int   `json:"failed"`
	Bytes    int64 `json:"bytes"`
}

// depth counts what is queued.
func (q *queue) depth(ctx context.Context) (d Depth, err error) {
	err = q.db.QueryRowContext(ctx, `SELECT coalesce(sum(state = 'queued'), 0), coalesce(sum(state = 'sending'), 0),
		coalesce(sum(state = 'accepted'), 0),
		coalesce(sum(state = 'failed'), 0), coalesce(sum(size), 0) FROM queue`).
		Scan(&d.Queued, &d.Sending, &d.Accepted, &d.Failed, &d.Bytes)
	return d, err
}

// watch returns a channel that receives a write, as an operation, once it is over: done, failed or refused. A write
// that
// is not queued any more is over at once, and the channel receives nothing.
func (q *queue) watch(ctx context.Context, operation string) (over <-chan json.RawMessage, stop func()) {
	operation = strings.ToLower(operation)
	w := make(chan json.RawMessage, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, err := q.get(ctx, operation); err != nil {
		close(w)
		return w, func() {}
	}
	q.watchers[operation] = append(q.watchers[operation], w)
	return w, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.watchers[operation] = slices.DeleteFunc(q.watchers[operation], func(o chan json.RawMessage) bool {
			return o == w
		})
		if len(q.watchers[operation]) == 0 {
			delete(q.watchers, operation)
		}
	}
}

// settle removes a write that is done, or marks it as failed, and notifies those that watch it. operation is how the
// server describes it; nil when the server refused it.
func (q *queue) settle(ctx context.Context, it Item, f *fault.Fault, operation json.RawMessage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	if f == nil {
		err = q.remove(ctx, it)
	} else {
		it.State, it.Fault = Failed, f
		err = q.mark(ctx, it, Failed, f)
	}
	if operation == nil {
		operation = operationOf(it)
	}
	for _, w := range q.watchers[it.Operation] {
		w <- operation // it has room for one
	}
	delete(q.watchers, it.Operation)
	return err
}
