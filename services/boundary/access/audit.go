package access

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"stega/internal/backoff"
	"stega/store"
)

// Entry is one line of the audit: a write and what it made, or requests that changed nothing, of one caller, route
// and status within a minute.
type Entry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	TokenID   string    `json:"token_id,omitempty"`
	Who       string    `json:"who"` // the name of the token, or local
	Remote    string    `json:"remote"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Command   string    `json:"command,omitempty"`
	Operation string    `json:"operation_id,omitempty"`
	Status    int       `json:"status"`           // of the answer
	Detail    Detail    `json:"detail,omitempty"` // what the request made: of a token its id, name, scope and expiry
	// how many the line stands for; path and address are those of the last
	Requests int64 `json:"requests,omitempty"`
}

// Detail is JSON as it is stored.
type Detail string

// MarshalJSON returns the detail as it is.
func (d Detail) MarshalJSON() ([]byte, error) { return []byte(d), nil }

// UnmarshalJSON keeps the detail as it is.
func (d *Detail) UnmarshalJSON(b []byte) error {
	*d = Detail(b)
	return nil
}

// entryRow is a row of the table audit.
type entryRow struct {
	bun.BaseModel `bun:"table:audit"`

	ID          string `bun:",pk"`
	At          int64
	TokenID     string
	Who         string
	Remote      string
	Method      string
	Path        string
	Command     string
	OperationID string
	Status      int
	Detail      Detail
	Requests    int64
}

func (e Entry) row() entryRow {
	return entryRow{
		ID:          e.ID,
		At:          e.At.UnixMicro(),
		TokenID:     e.TokenID,
		Who:         e.Who,
		Remote:      e.Remote,
		Method:      e.Method,
		Path:        e.Path,
		Command:     e.Command,
		OperationID: e.Operation,
		Status:      e.Status,
		Detail:      e.Detail,
		Requests:    e.Requests,
	}
}

func (r *entryRow) entry() Entry {
	return Entry{
		ID: r.ID, At: moment(r.At), TokenID: r.TokenID, Who: r.Who, Remote: r.Remote, Method: r.Method, Path: r.Path,
		Command:   r.Command,
		Operation: r.OperationID, Status: r.Status, Detail: r.Detail, Requests: r.Requests,
	}
}

const (
	auditQueue = 8192
	auditBatch = 256
	// auditPatience is how long a request waits for a place in a full queue.
	auditPatience = 250 * time.Millisecond
	// lastTry bounds what is written after the end has begun.
	lastTry = 5 * time.Second
)

// audit writes what was done beside the requests that did it: an answer does not wait for its line. A line is
// committed some milliseconds after the answer; a process that is killed in between loses it. One that could not be
// written otherwise is in the log, in full.
type audit struct {
	db      *store.DB
	log     *slog.Logger
	now     func() time.Time
	keep    time.Duration
	rows    int
	queue   chan Entry
	written atomic.Int64 // lines since the last that were too many went

	mu       sync.Mutex
	gathered map[kind]*Entry // of this minute; nil: its first line was written, and no other came

	lost    prometheus.Counter
	waiting prometheus.GaugeFunc
}

func newAudit(db *store.DB, o Options) *audit {
	a := &audit{db: db, log: o.Log, now: o.Now, keep: o.Keep, rows: o.Rows, gathered: map[kind]*Entry{},
		queue: make(chan Entry, auditQueue)}
	a.lost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "stega_audit_lost_total", Help: "Lines of the audit that are in the log alone.",
	})
	a.waiting = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stega_audit_waiting", Help: "Lines of the audit that are still to be written.",
	}, func() float64 { return float64(len(a.queue)) })
	return a
}

// kind is what requests that changed nothing have in common when they share a line.
type kind struct {
	token, who, method, route string
	status                    int
}

const (
	gatherFor = time.Minute
	// maxKinds bounds the memory of a minute; what is beyond it shares one line.
	maxKinds = 1000
)

// gather writes the first line of its kind in a minute, and counts the others in a second one at the minute's end.
func (a *audit) gather(k kind, e Entry) {
	a.mu.Lock()
	if _, ok := a.gathered[k]; !ok && len(a.gathered) >= maxKinds {
		k = kind{}
		e.TokenID, e.Who, e.Command = "", "", "refused"
	}
	before, ok := a.gathered[k]
	if ok {
		if before != nil {
			e.Requests += before.Requests
		}
		a.gathered[k] = &e
	} else {
		a.gathered[k] = nil
	}
	a.mu.Unlock()
	if !ok {
		a.add(e)
	}
}

// flush begins a new minute, and returns the lines of the old one.
func (a *audit) flush() (lines []Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.gathered {
		if e != nil {
			lines = append(lines, *e)
		}
	}
	clear(a.gathered)
	return lines
}

// add hands a line on.
func (a *audit) add(e Entry) {
	select {
	case a.queue <- e:
		return
	default:
	}
	patience := time.NewTimer(auditPatience)
	defer patience.Stop()
	select {
	case a.queue <- e:
	case <-patience.C:
		a.lose(e, "too many lines wait to be written")
	}
}

func (a *audit) lose(e Entry, why string) {
	a.lost.Inc()
	a.log.Error("a line of the audit is only here", "reason", why, "entry", e)
}

// run writes lines in batches until ctx ends, and then what is left.
func (a *audit) run(ctx context.Context) error {
	minute := time.NewTicker(gatherFor)
	defer minute.Stop()
	for {
		select {
		case e := <-a.queue:
			a.write(ctx, a.batch(e))
		case <-minute.C:
			for some := range slices.Chunk(a.flush(), auditBatch) {
				a.write(ctx, some)
			}
		case <-ctx.Done():
			a.drain(ctx)
			return nil
		}
	}
}

// batch is a line with those that wait behind it.
func (a *audit) batch(first Entry) []Entry {
	batch := []Entry{first}
	for len(batch) < auditBatch {
		select {
		case e := <-a.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// write writes a batch, again and again while the database is away.
func (a *audit) write(ctx context.Context, batch []Entry) {
	pause := backoff.Backoff{Base: 50 * time.Millisecond, Max: 5 * time.Second}
	for {
		err := a.insert(ctx, batch)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			a.last(ctx, batch)
			return
		}
		a.log.Warn("the audit is not written at present", "lines", len(batch), "error", err)
		pause.Sleep(ctx)
	}
}

// insert is safe to repeat when it is not known whether it was committed.
func (a *audit) insert(ctx context.Context, batch []Entry) error {
	rows := make([]entryRow, len(batch))
	for i, e := range batch {
		rows[i] = e.row()
	}
	a.written.Add(int64(len(batch)))
	return a.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewInsert().Model(&rows).On("CONFLICT (id) DO NOTHING").Exec(ctx)
		return err
	})
}

// drain writes what is left at the end.
func (a *audit) drain(ctx context.Context) {
	for {
		select {
		case e := <-a.queue:
			a.last(ctx, a.batch(e))
		default:
			for some := range slices.Chunk(a.flush(), auditBatch) {
				a.last(ctx, some)
			}
			return
		}
	}
}

func (a *audit) last(ctx context.Context, batch []Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
	defer cancel()
	if err := a.insert(ctx, batch); err != nil {
		for _, e := range batch {
			a.lose(e, fmt.Sprintf("the process ends, and the database does not take it: %s", err))
		}
	}
}

// tidyEvery is how often the audit is brought back to its bounds.
const tidyEvery = time.Minute

// tidy removes lines that are older than they are kept, and the oldest of too many.
func (a *audit) tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	a.written.Store(int64(a.rows)) // what was there before is not counted
	for {
		err := a.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.NewDelete().Table("audit").Where("at < ?", a.now().Add(-a.keep).UnixMicro()).Exec(ctx)
			return err
		})
		if written := a.written.Load(); err == nil && written > int64(a.rows/100) {
			if err = a.trim(ctx); err == nil {
				a.written.Add(-written)
			}
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warn("tidying the audit is put off", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// trim removes the oldest of too many lines.
func (a *audit) trim(ctx context.Context) error {
	return a.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		var oldest string
		err := tx.NewSelect().Table("audit").Column("id").OrderExpr("id DESC").Offset(int64(a.rows)).Limit(1).Scan(ctx,
			&oldest)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = tx.NewDelete().Table("audit").Where("id <= ?", oldest).Exec(ctx)
		}
		return err
	})
}

// list is the lines from the newest on, older than one; token and operation, when they are not empty, pick those of
// one.
func (a *audit) list(ctx context.Context, limit int, before, token, operation string) ([]Entry, error) {
	var rows []entryRow
	q := a.db.Read().NewSelect().Model(&rows).OrderExpr("id DESC").Limit(int64(limit))
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if token != "" {
		q = q.Where("token_id = ?", token)
	}
	if operation != "" {
		q = q.Where("operation_id = ?", operation)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	entries := make([]Entry, len(rows))
	for i := range rows {
		entries[i] = rows[i].entry()
	}
	return entries, nil
}
