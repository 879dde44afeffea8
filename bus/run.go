package bus

import (
	"context"
	"errors"
	"time"

	"stega/events"
	"stega/store"
)

// Run is the execution of a job.
type Run struct {
	job   *job
	cause events.Envelope
	done  bool

	committing bool
	reportedAt time.Time // when Progress last reported
}

// Operation is the id of the job's operation.
func (r *Run) Operation() string { return r.job.message.Correlation }

// Commit applies the effect of the job in one unit of work, together with the operation's success, at most once. When
// the database is away, it waits for it as long as ctx lives, so that what was fetched outside is not fetched again.
func (r *Run) Commit(ctx context.Context, fn func(ctx context.Context, tx *store.Tx) error) error {
	if r.done || r.committing {
		return Permanent(errors.New("a job commits once"))
	}
	r.committing = true
	defer func() { r.committing = false }()
	err := r.job.commit(ctx, r.cause, fn)
	r.done = err == nil
	return err
}

// Progress reports how far the job is, for those who watch its operation; total is 0 when it is not known. It is
// cheap to call often: all but a few calls a second are dropped.
func (r *Run) Progress(ctx context.Context, done, total int64, text string) error {
	if r.committing {
		return errors.New("a job reports its progress before it commits, not meanwhile")
	}
	if r.job.operation == "" || time.Since(r.reportedAt) < progressPause && (total == 0 || done < total) {
		return nil
	}
	r.reportedAt = time.Now()
	return r.job.db.Do(ctx, func(_ context.Context, tx *store.Tx) error {
		return store.OperationsOf(tx).Progress(r.job.operation, store.Progress{Done: done, Total: total, Text: text})
	})
}

// progressPause is the least time between two reports of a job.
const progressPause = 250 * time.Millisecond
