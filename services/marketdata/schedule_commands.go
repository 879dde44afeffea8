package marketdata

import (
	"context"
	"errors"
	"fmt"

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/store"
)

// CreateSchedule creates a schedule.
type CreateSchedule struct {
	ID   string
	plan api.ScheduleRequest
}

// Topic returns marketdata.create_schedule.
func (CreateSchedule) Topic() string { return "marketdata.create_schedule" }

// Subject returns the schedule's id.
func (c CreateSchedule) Subject() string { return c.ID }

// UpdateSchedule replaces all settings of a schedule.
type UpdateSchedule struct {
	ID      string
	Version int64 // the version that the schedule must have; 0 for any
	plan    api.ScheduleRequest
}

// Topic returns marketdata.update_schedule.
func (UpdateSchedule) Topic() string { return "marketdata.update_schedule" }

// Subject returns the schedule's id.
func (c UpdateSchedule) Subject() string { return c.ID }

// DeleteSchedule deletes a schedule. A run that has begun goes on.
type DeleteSchedule struct {
	ID      string
	Version int64 // the version that the schedule must have; 0 for any
}

// Topic returns marketdata.delete_schedule.
func (DeleteSchedule) Topic() string { return "marketdata.delete_schedule" }

// Subject returns the schedule's id.
func (c DeleteSchedule) Subject() string { return c.ID }

func (s *Service) createSchedule(ctx context.Context, tx *store.Tx, c CreateSchedule) error {
	if err := s.checkConfigured(c.plan); err != nil {
		return err
	}
	if err := s.checkScheduleQuota(ctx, tx); err != nil {
		return err
	}
	now := s.clock.Now()
	r := &scheduleRow{ID: c.ID, Version: 1, CreatedAt: now.UnixMicro(), UpdatedAt: now.UnixMicro()}
	if err := r.set(c.plan, now); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(r).Exec(ctx) // at once and not queued, so that name_taken can be returned
	return nameTaken(err, r.Name)
}

func (s *Service) updateSchedule(ctx context.Context, tx *store.Tx, c UpdateSchedule) error {
	if err := s.checkConfigured(c.plan); err != nil {
		return err
	}
	r, err := currentSchedule(ctx, tx, c.ID, c.Version)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	was := *r
	if err := r.set(c.plan, now); err != nil {
		return err
	}
	if was.Enabled && r.Enabled && was.Cron == r.Cron && was.TimeZone == r.TimeZone {
		r.NextAt = was.NextAt // a run that is due stays so
	}
	r.Version++
	r.UpdatedAt = now.UnixMicro()
	_, err = tx.NewUpdate().Model(r).WherePK().Exec(ctx)
	return nameTaken(err, r.Name)
}

func (s *Service) deleteSchedule(ctx context.Context, tx *store.Tx, c DeleteSchedule) error {
	r, err := currentSchedule(ctx, tx, c.ID, c.Version)
	if err != nil {
		return err
	}
	tx.Queue(tx.NewDelete().Model(r).WherePK())
	return nil
}

// checkScheduleQuota returns a fault when the quota of schedules is used up. Creations are serialised, or two could
// take the last place.
func (s *Service) checkScheduleQuota(ctx context.Context, tx *store.Tx) error {
	if err := lockExclusive(ctx, tx, schedulesLock); err != nil {
		return err
	}
	n, err := tx.NewSelect().Table("schedules").Count(ctx)
	if err != nil {
		return fmt.Errorf("count the schedules: %w", err)
	}
	if n >= int64(s.options.MaxSchedules) {
		return fault.Conflict(
			"schedules_too_many", "there are %d schedules already, and an installation keeps at most %d", n,
			s.options.MaxSchedules,
		).
			WithHint("delete one that is no longer needed; one schedule can pull any number of symbols")
	}
	return nil
}

// checkConfigured returns a fault when the provider of an enabled schedule is not configured, since each run would
// fail.
func (s *Service) checkConfigured(p api.ScheduleRequest) error {
	if p.Enabled != nil && !*p.Enabled {
		return nil
	}
	_, err := s.provider(p.Provider)
	return err
}

// currentSchedule returns a schedule and locks it for the unit of work. It fails unless the schedule is at the version
// that the client expects.
func currentSchedule(ctx context.Context, tx *store.Tx, id string, version int64) (*scheduleRow, error) {
	r, err := findSchedule(ctx, tx, id, true)
	if err != nil {
		return nil, err
	}
	if version != 0 && r.Version != version {
		return nil, fault.New(
			fault.KindPrecondition, "version_mismatch", "schedule %s is at version %d and not at %d", id, r.Version,
			version,
		).
			WithHint("read the schedule again, and decide whether the change still makes sense")
	}
	return r, nil
}

// errTaken is the error of a run that another process has claimed, or that is no longer due.
var errTaken = errors.New("the run is taken")

// claim claims a run that is due. Of all processes that try, one finds the row unchanged. The run is an operation of
// its own, as if a client had requested it.
func (s *Service) claim(ctx context.Context, tx *store.Tx, r scheduleRow) error {
	due, now := r.NextAt, s.clock.Now()
	if err := r.plan(now); err != nil {
		return err
	}
	pull, err := r.pull()
	if err != nil {
		return err
	}
	id := events.NewID()
	result, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("next_at = ?", r.NextAt).
		Set("last_at = ?", now.UnixMicro()).
		Set("last_due_at = ?", due).Set("last_operation = ?", id).
		Where("id = ? AND enabled AND next_at = ? AND version = ?", r.ID, due, r.Version).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errTaken)
	}
	operation := store.Operation{
		ID:         id,
		Command:    pull.Topic(),
		Subject:    pull.Subject(),
		EntityID:   r.ID,
		Status:     store.Accepted,
		AcceptedAt: tx.Now(),
	}
	if _, err := store.OperationsOf(tx).Start(ctx, operation); err != nil {
		return err
	}
	tx.SetCause(events.Envelope{ID: id, Correlation: id, Type: operation.Command})
	return tx.Enqueue(s.Name(), pull)
}

// triggered stores a run that a client requested.
func (s *Service) triggered(ctx context.Context, tx *store.Tx, id, operation string) error {
	result, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("last_at = ?", s.clock.Now().UnixMicro()).
		Set("last_due_at = 0").
		Set("last_operation = ?", operation).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.NotFound("schedule_unknown", "there is no schedule %.64s", id))
	}
	return nil
}
