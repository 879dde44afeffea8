package cmd

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
)

// planFlags are the flags that say what a schedule is.
type planFlags struct {
	name, cron, zone, provider string
	symbols                    []string
	backfill, all              bool
}

func (p *planFlags) flags(c *cobra.Command, g *globals) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name")
	f.StringVar(
		&p.cron, "cron", "",
		"times in cron format (minute, hour, day of month, month, day of week), such as '30 16 * * 1-5', or @daily",
	)
	f.StringVar(&p.zone, "time-zone", "", "time zone of --cron, such as America/New_York (default UTC)")
	f.StringVar(&p.provider, "provider", "", "provider, see: stega prices providers (default that of the server)")
	f.StringSliceVar(&p.symbols, "symbols", nil, "symbols to pull (default all that have prices at that time)")
	f.BoolVar(&p.backfill, "backfill", false, "pull the history, not only the latest prices")
	_ = c.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc(
		"cron",
		oneOf("30 16 * * 1-5\tafter a close at four, Monday to Friday", "@daily\tat midnight",
			"@hourly\tat each full hour"),
	)
	_ = c.RegisterFlagCompletionFunc(
		"time-zone",
		oneOf(
			"America/New_York", "Europe/London", "Europe/Berlin", "Asia/Tokyo", "Asia/Hong_Kong", "Australia/Sydney",
			"UTC",
		),
	)
	_ = c.RegisterFlagCompletionFunc("provider", oneOf(providerNames...))
	_ = c.RegisterFlagCompletionFunc("symbols", g.many(symbolNames))
}

// over takes over what was said.
func (p *planFlags) over(c *cobra.Command, plan *api.ScheduleRequest) (changed bool) {
	for _, f := range []struct {
		flag string
		set  func()
	}{
		{"name", func() { plan.Name = p.name }},
		{"cron", func() { plan.Cron = p.cron }},
		{"time-zone", func() { plan.TimeZone = p.zone }},
		{"provider", func() { plan.Provider = p.provider }},
		{"symbols", func() { plan.Symbols = p.symbols }},
		{"all-symbols", func() { plan.Symbols = nil }},
		{"backfill", func() {
			plan.Kind = "latest"
			if p.backfill {
				plan.Kind = "backfill"
			}
		}},
	} {
		if c.Flags().Changed(f.flag) {
			changed = true
			f.set()
		}
	}
	return changed
}

func newScheduleCreate(g *globals) *cobra.Command {
	var w waiting
	var in planFlags
	var off bool
	c := &cobra.Command{
		Use: "create", Short: "Make a schedule", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Makes a schedule: the server pulls prices whenever the time comes, once, however many of its processes
there are. Times are those of clocks in the time zone: a run in an hour that is left out in spring takes place when it
ends, one in an hour that comes twice in autumn the first time. A run that was missed while the server was away runs
once afterwards.`,
		Example: `  stega schedule create --name close --cron '30 16 * * 1-5' --time-zone UTC
  stega schedule create --name weekly --cron '0 8 * * sat' --symbols AAPL,MSFT`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			on := !off
			plan := api.ScheduleRequest{Enabled: &on}
			in.over(c, &plan)
			if plan.Name == "" {
				return fault.Usage("name_missing", "the schedule has no name").WithHint("say --name close")
			}
			if plan.Cron == "" {
				return fault.Usage("cron_missing", "the schedule has no time").
					WithHint("say --cron '30 16 * * 1-5' --time-zone UTC")
			}
			_, err := g.write(ctx, c, cl, client.CreateSchedule(plan), &w,
				fmt.Sprintf("created schedule %q", plan.Name))
			if err == nil {
				rememberSchedule(g.at, plan.Name)
			}
			return err
		}),
	}
	w.flags(c)
	in.flags(c, g)
	c.Flags().BoolVar(&off, "disabled", false, "create it disabled")
	return c
}

func newScheduleUpdate(g *globals) *cobra.Command {
	var w waiting
	var in planFlags
	var match int64
	c := &cobra.Command{
		Use:               "update NAME|ID",
		Short:             "Change a schedule",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(scheduleNames),
		Long: `Changes the named parts and leaves the rest. The change applies only to the version that was read, so no
change of others is lost.`,
		Example: `  stega schedule update close --cron '45 16 * * 1-5'
  stega schedule update close --symbols AAPL,MSFT --name 'two, after the close'`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			return g.changeSchedule(ctx, c, cl, args[0], &w, match, "changed", func(plan *api.ScheduleRequest) error {
				if !in.over(c, plan) {
					return fault.Usage("change_missing", "a flag that changes something is required").
						WithHint("such as --cron, --time-zone or --symbols; see: stega schedule update --help")
				}
				return nil
			})
		}),
	}
	w.flags(c)
	in.flags(c, g)
	c.Flags().BoolVar(&in.all, "all-symbols", false, "of all symbols that the server knows when it runs")
	c.Flags().Int64Var(&match, "if-match", 0, "only if this is its version (default the one that is read before)")
	c.MarkFlagsMutuallyExclusive("symbols", "all-symbols")
	return c
}

// newScheduleSwitch makes the command that turns a schedule on or off.
func newScheduleSwitch(g *globals, name, short string, on bool) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: name + " NAME|ID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(scheduleNames),
		Example: "  stega schedule " + name + " close",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			return g.changeSchedule(ctx, c, cl, args[0], &w, 0, name+"d", func(plan *api.ScheduleRequest) error {
				plan.Enabled = &on
				return nil
			})
		}),
	}
	w.flags(c)
	return c
}

// changeSchedule reads a schedule, changes what is said of it, and writes it.
func (g *globals) changeSchedule(
	ctx context.Context, c *cobra.Command, cl *client.Client, word string, w *waiting, match int64, done string,
	change func(plan *api.ScheduleRequest) error,
) error {
	reading, cancel := g.limit(ctx)
	defer cancel()
	s, err := findSchedule(reading, g.at, cl, word)
	if err != nil {
		return err
	}
	plan := s.Request()
	if err := change(&plan); err != nil {
		return err
	}
	cmd := client.UpdateSchedule(s.ID, plan)
	cmd.IfMatch = client.Version(s.Version)
	if match > 0 {
		cmd.IfMatch = client.Version(match)
	}
	_, err = g.write(ctx, c, cl, cmd, w, fmt.Sprintf("%s schedule %q", done, plan.Name))
	if err == nil {
		forgetSchedule(g.at, s.Name)
		rememberSchedule(g.at, plan.Name)
	}
	return err
}

func newScheduleDelete(g *globals) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: "delete NAME|ID", Aliases: []string{"rm"}, Short: "Remove a schedule", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(scheduleNames),
		Example:           "  stega schedule delete close",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			reading, cancel := g.limit(ctx)
			defer cancel()
			s, err := findSchedule(reading, g.at, cl, args[0])
			if err != nil {
				return err
			}
			_, err = g.write(ctx, c, cl, client.DeleteSchedule(s.ID), &w, fmt.Sprintf("deleted schedule %q", s.Name))
			if err == nil {
				forgetSchedule(g.at, s.Name)
			}
			return err
		}),
	}
	w.flags(c)
	return c
}

func newScheduleRun(g *globals) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use:               "run NAME|ID",
		Short:             "Run a schedule now",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(scheduleNames),
		Long: `Pulls the prices of a schedule now, also of one that is disabled; when it runs next stays as it is. The
operation is that of the pull.`,
		Example: "  stega schedule run close\n  stega schedule run close --wait=settled",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			reading, cancel := g.limit(ctx)
			defer cancel()
			s, err := findSchedule(reading, g.at, cl, args[0])
			if err != nil {
				return err
			}
			_, err = g.write(ctx, c, cl, client.RunSchedule(s.ID), &w, fmt.Sprintf("ran schedule %q", s.Name))
			return err
		}),
	}
	w.flags(c)
	return c
}

func forgetSchedule(at place, name string) {
	remember(at, func(k *known) {
		k.Schedules = slices.DeleteFunc(k.Schedules, func(n string) bool { return n == name })
	})
}
