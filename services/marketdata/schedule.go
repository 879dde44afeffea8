package marketdata

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"stega/api"
	"stega/events"
	"stega/fault"
	"stega/store"
	"stega/text"
)

// maxCron bounds a cron expression, in bytes.
const maxCron = 200

// check validates a request and returns one fault with every error. It normalises the request in place.
func checkSchedule(p *api.ScheduleRequest) error {
	f := fault.Invalid("schedule_invalid", "the schedule is not valid")
	wrong := func(pointer, detail string) {
		_ = f.With(fault.Item{Pointer: pointer, Detail: detail})
	}
	name, err := text.CheckName(strings.TrimSpace(p.Name), events.MaxName)
	if err != nil {
		wrong("/name", err.Error())
	}
	p.Name = name
	if p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	if p.Kind == "" {
		p.Kind = Latest
	}
	checkTiming(p, wrong)
	p.Symbols = checkPull(p.Kind, p.Symbols, wrong)
	if f, ok := errors.AsType[*fault.Fault](CheckProvider(p.Provider)); ok {
		wrong("/provider", f.Detail+"; "+f.Hint)
	}
	if len(f.Errors) > 0 {
		f.Detail = strings.TrimPrefix(f.Errors[0].Pointer, "/") + " " + f.Errors[0].Detail
		return f
	}
	return nil
}

func checkTiming(p *api.ScheduleRequest, wrong func(pointer, detail string)) {
	p.Cron = strings.Join(strings.Fields(p.Cron), " ")
	_, err := parseZone(p.TimeZone)
	if err != nil {
		wrong("/time_zone", err.Error()+": write one such as America/New_York")
	}
	if len(p.Cron) > maxCron {
		wrong("/cron", fmt.Sprintf("has more than %d characters", maxCron))
		return
	}
	if _, err := parseTiming(p.Cron, "UTC"); err != nil {
		wrong(
			"/cron",
			err.Error()+": write one such as 30 16 * * 1-5, which is half past four in the afternoon from Monday to "+
				"Friday",
		)
	}
}

// scheduleRow is a row of the table schedules.
type scheduleRow struct {
	bun.BaseModel `bun:"table:schedules"`

	ID            string `bun:",pk"`
	Name          string
	Folded        string // the case-folded name, which is unique
	Version       int64
	Cron          string
	TimeZone      string
	Kind          string
	Symbols       string // as JSON
	Provider      string
	Enabled       bool
	NextAt        int64
	LastAt        int64
	LastDueAt     int64
	LastOperation string
	CreatedAt     int64
	UpdatedAt     int64
}

// set sets the fields of a request, at a time.
func (r *scheduleRow) set(p api.ScheduleRequest, now time.Time) error {
	symbols, err := json.Marshal(p.Symbols)
	if err != nil {
		return err
	}
	r.Name, r.Folded, r.Cron, r.TimeZone, r.Kind = p.Name, text.Fold(p.Name), p.Cron, p.TimeZone, p.Kind
	r.Symbols, r.Provider, r.Enabled = string(symbols), p.Provider, p.Enabled == nil || *p.Enabled
	return r.plan(now)
}

// plan sets the time of the next run.
func (r *scheduleRow) plan(now time.Time) error {
	r.NextAt = 0
	if !r.Enabled {
		return nil
	}
	t, err := parseTiming(r.Cron, r.TimeZone)
	if err != nil {
		return fmt.Errorf("schedule %s: %w", r.ID, err)
	}
	if next := t.after(now); !next.IsZero() {
		r.NextAt = next.UnixMicro()
	}
	return nil
}

func (r *scheduleRow) schedule() (api.Schedule, error) {
	s := api.Schedule{
		ID:            r.ID,
		Name:          r.Name,
		Version:       r.Version,
		Cron:          r.Cron,
		TimeZone:      r.TimeZone,
		Kind:          r.Kind,
		Provider:      r.Provider,
		Enabled:       r.Enabled,
		NextAt:        moment(r.NextAt),
		LastAt:        moment(r.LastAt),
		LastDueAt:     moment(r.LastDueAt),
		LastOperation: r.LastOperation,
		CreatedAt:     *moment(r.CreatedAt),
		UpdatedAt:     *moment(r.UpdatedAt),
	}
	err := json.Unmarshal([]byte(r.Symbols), &s.Symbols)
	if s.Symbols == nil {
		s.Symbols = []string{}
	}
	return s, err
}

// moment returns a stored time; nil for 0.
func moment(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}

// pull returns the command of a run.
func (r *scheduleRow) pull() (PullPrices, error) {
	c := PullPrices{ID: events.NewID(), Kind: r.Kind, Provider: r.Provider}
	return c, json.Unmarshal([]byte(r.Symbols), &c.Symbols)
}

// findSchedule reads a schedule by its id, and locks its row if lock is true.
func findSchedule(ctx context.Context, db bun.IDB, id string, lock bool) (*scheduleRow, error) {
	r := new(scheduleRow)
	query := db.NewSelect().Model(r).Where("id = ?", id)
	if lock && db.Dialect().Name() == dialect.PG {
		query = query.For("UPDATE")
	}
	err := query.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.NotFound("schedule_unknown", "there is no schedule %.64s", id).
			WithHint("list them with: GET /v1/schedules")
	}
	return r, err
}

// schedules reads at most limit schedules in the order of their ids, after the given one. A name that is not empty
// selects the schedule of that name.
func schedules(ctx context.Context, db bun.IDB, limit int, after, name string) ([]api.Schedule, error) {
	var rows []scheduleRow
	query := db.NewSelect().Model(&rows).OrderExpr("id").Limit(int64(limit))
	if after != "" {
		query = query.Where("id > ?", after)
	}
	if name != "" {
		query = query.Where("folded = ?", text.Fold(name))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, err
	}
	list := make([]api.Schedule, len(rows))
	for i := range rows {
		var err error
		if list[i], err = rows[i].schedule(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// nameTaken turns a unique-key conflict of the database into the fault name_taken, and returns other errors unchanged.
func nameTaken(err error, name string) error {
	if err != nil && store.Conflict(err) {
		return fault.Conflict("name_taken", "there is a schedule named %q already", name).
			WithHint("choose another name; names that differ only in upper and lower case are the same")
	}
	return err
}
