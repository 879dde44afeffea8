package client

import (
	"context"
	"net/http"
	"net/url"

	"stega/api"
)

// Schedules lists schedules; a name picks the one that is called so.
func (c *Client) Schedules(ctx context.Context, p Page, name string) (Answer[api.List[api.Schedule]], error) {
	q := p.query()
	set(q, "name", name)
	return Get[api.List[api.Schedule]](ctx, c, "/v1/schedules", q)
}

// Schedule is one schedule.
func (c *Client) Schedule(ctx context.Context, id string) (Answer[api.Schedule], error) {
	return Get[api.Schedule](ctx, c, schedulePath(id), nil)
}

func schedulePath(id string) string { return "/v1/schedules/" + url.PathEscape(id) }

// CreateSchedule is the command that makes a schedule.
func CreateSchedule(r api.ScheduleRequest) Command {
	return Command{Method: http.MethodPost, Path: "/v1/schedules", ContentType: "application/json", Body: encode(r)}
}

// UpdateSchedule is the command that changes all that is said of a schedule; Command.IfMatch may name its Version.
func UpdateSchedule(id string, r api.ScheduleRequest) Command {
	return Command{Method: http.MethodPut, Path: schedulePath(id), ContentType: "application/json", Body: encode(r)}
}

// DeleteSchedule is the command that removes a schedule.
func DeleteSchedule(id string) Command {
	return Command{Method: http.MethodDelete, Path: schedulePath(id)}
}

// RunSchedule is the command that runs a schedule now; its operation is that of the pull.
func RunSchedule(id string) Command {
	return Command{Method: http.MethodPost, Path: schedulePath(id) + "/run"}
}
