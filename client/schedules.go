package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Plan is what is said of a schedule.
type Plan struct {
	Name     string   `json:"name"`
	Cron     string   `json:"cron"`
	TimeZone string   `json:"time_zone,omitempty"` // UTC when empty
	Kind     string   `json:"kind,omitempty"`      // latest when empty
	Symbols  []string `json:"symbols"`             // none: all that are known when it runs
	Provider string   `json:"provider"`            // the server's default when empty
	Enabled  bool     `json:"enabled"`
}

// Schedule says when the server gets prices by itself.
type Schedule struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
	Plan
	NextAt        *time.Time `json:"next_at"`
	LastAt        *time.Time `json:"last_at"`
	LastDueAt     *time.Time `json:"last_due_at"` // nil when somebody triggered the last run
	LastOperation string     `json:"last_operation"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

// Schedules lists schedules; a name picks the one that is called so.
func (c *Client) Schedules(ctx context.Context, p Page, name string) (Answer[List[Schedule]], error) {
	q := p.query()
	set(q, "name", name)
	return Get[List[Schedule]](ctx, c, "/v1/schedules", q)
}

// Schedule is one schedule.
func (c *Client) Schedule(ctx context.Context, id string) (Answer[Schedule], error) {
	return Get[Schedule](ctx, c, schedulePath(id), nil)
}

func schedulePath(id string) string { return "/v1/schedules/" + url.PathEscape(id) }

// CreateSchedule is the command that makes a schedule.
func CreateSchedule(p Plan) Command {
	return Command{Method: http.MethodPost, Path: "/v1/schedules", ContentType: "application/json", Body: encode(p)}
}

// UpdateSchedule is the command that changes all that is said of a schedule; Command.IfMatch may name its Version.
func UpdateSchedule(id string, p Plan) Command {
	return Command{Method: http.MethodPut, Path: schedulePath(id), ContentType: "application/json", Body: encode(p)}
}

// DeleteSchedule is the command that removes a schedule.
func DeleteSchedule(id string) Command {
	return Command{Method: http.MethodDelete, Path: schedulePath(id)}
}

// RunSchedule is the command that runs a schedule now; its operation is that of the pull.
func RunSchedule(id string) Command {
	return Command{Method: http.MethodPost, Path: schedulePath(id) + "/run"}
}
