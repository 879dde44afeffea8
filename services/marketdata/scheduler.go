package marketdata

import (
	"context"
	"errors"
	"time"

	"stega/store"
)

// Clock is the clock of schedules.
type Clock interface {
	Now() time.Time
	// At returns a channel that receives at time t.
	At(t time.Time) <-chan time.Time
}

// systemClock is the clock of the system.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) At(t time.Time) <-chan time.Time { return time.After(time.Until(t)) }

// pollInterval is the longest time between two looks at the schedules, since other processes may change them, and the
// clock may be set.
const pollInterval = 5 * time.Second

// maxDue bounds the runs that are claimed between two looks.
const maxDue = 100

// Run claims the runs that are due, until ctx ends. Any number of processes may do so: each run is claimed by one.
func (s *Service) Run(ctx context.Context) error {
	for {
		next, err := s.runDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.options.Log.Warn("read schedules; trying again later", "error", err)
		}
		select {
		case <-s.clock.At(next):
		case <-s.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// runDue claims the runs that are due and returns the time of the next look. A schedule that missed runs while no
// process ran is due once.
func (s *Service) runDue(ctx context.Context) (next time.Time, err error) {
	now := s.clock.Now()
	next = now.Add(pollInterval)
	var rows []scheduleRow
	err = s.db.Read().NewSelect().Model(&rows).Where("enabled AND next_at > 0 AND next_at <= ?", next.UnixMicro()).
		OrderExpr("next_at, id").
		Limit(maxDue).Scan(ctx)
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
	if len(rows) == maxDue && err == nil {
		next = now // there may be more
	}
	return next, err
}

// wake makes Run look at the schedules again.
func (s *Service) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
