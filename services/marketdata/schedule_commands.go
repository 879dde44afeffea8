package marketdata

import (
	"context"
	"errors"
	"fmt"

	"stega/events"
	"stega/fault"
	"stega/store"
)

// CreateSchedule makes a schedule.
type CreateSchedule struct {
	ID   string
	plan ScheduleRequest
}

// Topic is marketdata.create_schedule.
func (CreateSchedule) Topic() string { return "marketdata.create_schedule" }

// Subject is the schedule's id.
func (c CreateSchedule) Subject() string { return c.ID }

// UpdateSchedule changes all that a client says of a schedule.
type UpdateSchedule struct {
	ID      string
	Version int64 // the version that it must have; 0 for any
	plan    ScheduleRequest
}

// Topic is marketdata.update_schedule.
func (UpdateSchedule) Topic() string { return "marketdata.update_schedule" }

// Subject is the schedule's id.
func (c UpdateSchedule) Subject() string { return c.ID }

// DeleteSchedule removes a schedule. A run that is under way goes on.
type DeleteSchedule struct {
	ID      string
	Version int64 // the version that it must have; 0 for any
}

// Topic is marketdata.delete_schedule.
func (DeleteSchedule) Topic() string { return "marketdata.delete_schedule" }

// Subject is the schedule's id.
func (c DeleteSchedule) Subject() string { return c.ID }

func (s *Service) createSchedule(ctx context.Context, tx *store.Tx, c CreateSchedule) error {
	if err := s.served(c.plan); err != nil {
		return err
	}
	if err := s.room(ctx, tx); err != nil {
		return err
	}
	now := s.clock.Now()
	r := &scheduleRow{ID: c.ID, Version: 1, CreatedAt: now.UnixMicro(), UpdatedAt: now.UnixMicro()}
	if err := r.set(c.plan, now); err != nil {
		return err
	}
	_, err := tx.NewInsert().Model(r).Exec(ctx) // at once, so that a name that is taken is known
	return nameTaken(err, r.Name)
}

func (s *Service) updateSchedule(ctx context.Context, tx *store.Tx, c UpdateSchedule) error {
	if err := s.served(c.plan); err != nil {
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

// room refuses a schedule beyond the quota. Creations take turns, or two could each find the last place.
func (s *Service) room(ctx context.Context, tx *store.Tx) error {
	if err := takeTurns(ctx, tx, turnsOfSchedules); err != nil {
		return err
	}
	n, err := tx.NewSelect().Table("schedules").Count(ctx)
	if err != nil {
		return fmt.Errorf("count the schedules: %w", err)
	}
	if n >= int64(s.options.MaxSchedules) {
		return fault.Conflict("schedules_too_many", "there are %d schedules already, and an installation keeps at most %d", n, s.options.MaxSchedules).
			WithHint("delete one that is no longer needed; one schedule can pull any number of symbols")
	}
	return nil
}

// served refuses a schedule whose every run would fail, since nothing is set that it could pull from.
func (s *Service) served(p ScheduleRequest) error {
	if p.Enabled != nil && !*p.Enabled {
		return nil
	}
	_, err := s.provider(p.Provider)
	return err
}

// currentSchedule is a schedule, locked for the unit of work, at the version that a client expects.
func currentSchedule(ctx context.Context, tx *store.Tx, id string, version int64) (*scheduleRow, error) {
	r, err := findSchedule(ctx, tx, id, true)
	if err != nil {
		return nil, err
	}
	if version != 0 && r.Version != version {
		return nil, fault.New(fault.KindPrecondition, "version_mismatch", "schedule %s is at version %d and not at %d", id, r.Version, version).
			WithHint("read it again, and decide whether the change still makes sense")
	}
	return r, nil
}

// errTaken says that another process runs what is due, or that it is due no more.
var errTaken = errors.New("the run is taken")

// claim takes a run that is due, as its only taker: of all that try, one finds the row as it was. The run is an
// operation of its own, as if somebody had asked for it.
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
	result, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("next_at = ?", r.NextAt).Set("last_at = ?", now.UnixMicro()).
		Set("last_due_at = ?", due).Set("last_operation = ?", id).Where("id = ? AND enabled AND next_at = ? AND version = ?", r.ID, due, r.Version).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errTaken)
	}
	operation := store.Operation{
		ID: id, Command: pull.Topic(), Subject: pull.Subject(), EntityID: r.ID, Status: store.Accepted, AcceptedAt: tx.Now(),
	}
	if _, err := store.OperationsOf(tx).Start(ctx, operation); err != nil {
		return err
	}
	tx.SetCause(events.Envelope{ID: id, Correlation: id, Type: operation.Command})
	return tx.Enqueue(s.Name(), pull)
}

// triggered notes a run that somebody asked for.
func (s *Service) triggered(ctx context.Context, tx *store.Tx, id, operation string) error {
	result, err := tx.NewUpdate().Model((*scheduleRow)(nil)).Set("last_at = ?", s.clock.Now().UnixMicro()).Set("last_due_at = 0").
		Set("last_operation = ?", operation).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fault.NotFound("schedule_unknown", "there is no schedule %.64s", id))
	}
	return nil
}
