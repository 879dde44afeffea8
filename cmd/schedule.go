package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
	"stega/text"
)

func newSchedule(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "schedule", Aliases: []string{"schedules"}, Short: "Schedule price pulls",
		Example: `  stega schedule create --name close --cron '30 16 * * 1-5' --time-zone UTC
  stega schedule list
  stega schedule run close`,
	})
	c.AddCommand(
		newScheduleList(
			g,
		),
		newScheduleShow(g),
		newScheduleCreate(g),
		newScheduleUpdate(g),
		newScheduleDelete(g),
		newScheduleRun(g),
		newScheduleSwitch(
			g, "enable", "Let a schedule run again", true,
		),
		newScheduleSwitch(g, "disable", "Let a schedule rest", false),
	)
	return c
}

func newScheduleList(g *globals) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List schedules", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega schedule list\n  stega schedule list -o csv",
		Annotations:       csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			list, raw, err := all(g, limit, func(p client.Page) (client.Answer[api.List[api.Schedule]], error) {
				return cl.Schedules(ctx, p, "")
			})
			if err != nil {
				return err
			}
			if limit == 0 {
				remember(g.at, func(k *known) { k.Schedules = nil })
			}
			for _, s := range list {
				rememberSchedule(g.at, s.Name)
			}
			v := scheduleColumns.view(list, func(s api.Schedule) string { return s.ID })
			v.raw, v.note = raw, "there are no schedules; create one with: stega schedule create"
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 0, "maximum number of rows (0 means all)")
	return c
}

// what is pulled, in a few words.
func what(p api.Schedule) string {
	switch {
	case len(p.Symbols) == 0:
		return p.Kind + ", all symbols"
	case len(p.Symbols) > 4:
		return fmt.Sprintf("%s, %s … %d more", p.Kind, strings.Join(p.Symbols[:3], " "), len(p.Symbols)-3)
	}
	return p.Kind + ", " + strings.Join(p.Symbols, " ")
}

func nextRun(s api.Schedule) string {
	if !s.Enabled {
		return "disabled"
	}
	return local(s.NextAt)
}

// local is a time as this machine's clock shows it.
func local(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// stamp is a time for programs.
func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func orDefault(provider string) string {
	if provider == "" {
		return "default"
	}
	return provider
}

func newScheduleShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME|ID", Aliases: []string{"get"}, Short: "Show one schedule", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(scheduleNames),
		Long:              `Shows a schedule, when it runs next, and what became of its last run.`,
		Example:           "  stega schedule show close\n  stega schedule show close -o json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			found, err := resolveSchedule(ctx, g.at, cl, args[0])
			if err != nil {
				return err
			}
			a, err := cl.Schedule(ctx, found.ID)
			if err != nil {
				return err
			}
			s := a.Value
			v := view{raw: a.Raw, ids: []string{s.ID}, table: table{head: []string{"", ""}}}
			for _, row := range [][2]string{
				{"Name", s.Name}, {"Id", s.ID}, {"Cron", s.Cron}, {"Time zone", s.TimeZone}, {"Pulls", what(s)},
				{"Provider", orDefault(s.Provider)},
				{"Next run", nextRun(s)}, {"Last run", lastRun(s)}, {"Operation", lastOperation(ctx, cl, s)},
			} {
				v.table.add(row[0], row[1])
			}
			return g.show(c, v)
		}),
	}
}

func lastRun(s api.Schedule) string {
	if s.LastAt != nil && s.LastDueAt == nil {
		return local(s.LastAt) + ", triggered"
	}
	return local(s.LastAt)
}

// lastOperation is the operation of the last run and what became of it, where that is still known.
func lastOperation(ctx context.Context, cl *client.Client, s api.Schedule) string {
	if s.LastOperation == "" {
		return "-"
	}
	op, err := cl.Operation(ctx, s.LastOperation)
	if err != nil {
		return s.LastOperation
	}
	text := s.LastOperation + " " + statusOf(op.Value)
	if op.Value.Error != nil {
		text += ": " + op.Value.Error.Detail
	}
	return text
}

// findSchedule finds a schedule by its id or its name.
func findSchedule(ctx context.Context, at place, cl *client.Client, word string) (api.Schedule, error) {
	if uuid.Validate(word) == nil {
		a, err := cl.Schedule(ctx, word)
		return a.Value, err
	}
	a, err := cl.Schedules(ctx, client.Page{Limit: 2}, word)
	if err != nil {
		return api.Schedule{}, err
	}
	if len(a.Value.Items) == 1 {
		rememberSchedule(at, a.Value.Items[0].Name)
		return a.Value.Items[0], nil
	}
	f := fault.NotFound("schedule_unknown", "there is no schedule named %q", word).
		WithHint("list them with: stega schedule list")
	if near := closest(word, readKnown(at).Schedules); near != "" {
		f = f.WithHint("did you mean %q? list them with: stega schedule list", near)
	}
	return api.Schedule{}, f
}

// maxSchedules bounds the schedules among which a prefix of a name is searched.
const maxSchedules = 1000

// resolveSchedule finds a schedule to read by its id, its name, or a prefix of its name that no other name has. A
// command that changes one takes the whole name: see findSchedule.
func resolveSchedule(ctx context.Context, at place, cl *client.Client, word string) (api.Schedule, error) {
	s, err := findSchedule(ctx, at, cl, word)
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != "schedule_unknown" {
		return s, err
	}
	a, failed := cl.Schedules(ctx, client.Page{Limit: maxSchedules}, "")
	if failed != nil || a.Value.NextCursor != "" {
		return s, err
	}
	var found []api.Schedule
	var names []string
	for _, s := range a.Value.Items {
		if strings.HasPrefix(text.Fold(s.Name), text.Fold(word)) {
			found, names = append(found, s), append(names, s.Name)
		}
	}
	switch len(found) {
	case 0:
		return s, err
	case 1:
		return found[0], nil
	}
	return s, fault.Usage("schedule_ambiguous", "%d schedules have a name that begins with %q", len(found), word).
		WithHint("one of: %s", strings.Join(names[:min(len(names), 10)], ", "))
}

func rememberSchedule(at place, name string) {
	remember(at, func(k *known) {
		if !slices.Contains(k.Schedules, name) && len(k.Schedules) < maxNames {
			k.Schedules = append(k.Schedules, name)
		}
	})
}

var scheduleColumns = columns[api.Schedule]{
	{head: "NAME", value: func(s api.Schedule) string { return s.Name }},
	{head: "ID", wide: true, value: func(s api.Schedule) string { return s.ID }},
	{csv: "version", exact: func(s api.Schedule) string { return strconv.FormatInt(s.Version, 10) }},
	{head: "CRON", value: func(s api.Schedule) string { return s.Cron }},
	{head: "TIME ZONE", value: func(s api.Schedule) string { return s.TimeZone }},
	{
		head:  "PULLS",
		csv:   "kind",
		value: func(s api.Schedule) string { return what(s) },
		exact: func(s api.Schedule) string { return s.Kind },
	},
	{csv: "symbols", exact: func(s api.Schedule) string { return strings.Join(s.Symbols, " ") }},
	{
		head: "PROVIDER", value: func(s api.Schedule) string { return orDefault(s.Provider) },
		exact: func(s api.Schedule) string { return s.Provider },
	},
	{csv: "enabled", exact: func(s api.Schedule) string { return strconv.FormatBool(s.Enabled) }},
	{head: "NEXT", csv: "next_at", value: nextRun, exact: func(s api.Schedule) string { return stamp(s.NextAt) }},
	{
		head: "LAST", csv: "last_at", value: func(s api.Schedule) string { return local(s.LastAt) },
		exact: func(s api.Schedule) string { return stamp(s.LastAt) },
	},
	{csv: "last_due_at", exact: func(s api.Schedule) string { return stamp(s.LastDueAt) }},
	{
		head: "LAST OPERATION", wide: true, value: func(s api.Schedule) string { return dash(s.LastOperation) },
		exact: func(s api.Schedule) string { return s.LastOperation },
	},
}
