package marketdata

import (
	"context"
	"errors"
	"time"

	"stega/store"
)

// Clock is what schedules go by.
type Clock interface {
	Now() time.Time
	// At sends once it is so late.
	At(t time.Time) <-chan time.Time
}

// systemClock is the machine's.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) At(t time.Time) <-chan time.Time { return time.After(time.Until(t)) }

// lookAgain is how often schedules are looked at besides when one is due, since another process may change them, and
// somebody the clock.
const lookAgain = 5 * time.Second

// dueAtATime is how many runs are taken between two looks.
const dueAtATime = 100

// Run takes the runs that are due, until ctx ends. Any number of processes may do so: each run has one taker.
func (s *Service) Run(ctx context.Context) error {
	for {
		next, err := s.runDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.options.Log.Warn("schedules are looked at again later", "error", err)
		}
		select {
		case <-s.clock.At(next):
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// runDue takes what is due, and says when to look again. What was missed while no process was there is due once,
// however often it was missed.
func (s *Service) runDue(ctx context.Context) (next time.Time, err error) {
	now := s.clock.Now()
	next = now.Add(lookAgain)
	var rows []scheduleRow
	err = s.db.Read().NewSelect().Model(&rows).Where("enabled AND next_at > 0 AND next_at <= ?", next.UnixMicro()).OrderExpr("next_at, id").
		Limit(dueAtATime).Scan(ctx)
	if err != nil {
		return next, err
	}
	for _, r := range rows {
		if r.NextAt > now.UnixMicro() {
			return *moment(r.NextAt), err
		}
		taken := s.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error { return s.claim(ctx, tx, r) })
		if taken != nil && !errors.Is(taken, errTaken) {
			err = errors.Join(err, taken)
		}
	}
	if len(rows) == dueAtATime && err == nil {
		next = now // there may be more
	}
	return next, err
}

// wake has the schedules looked at again.
func (s *Service) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
