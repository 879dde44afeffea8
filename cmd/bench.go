package cmd

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stega/bench"
	"stega/fault"
)

func newBench(g *globals) *cobra.Command {
	var where connections
	cfg := bench.Config{}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine, a broker and databases",
		Long: `Measures how fast events are published and handled, commands taken and visible in the read view of
another service, and prices imported: on RabbitMQ and PostgreSQL when they are named, else on the embedded broker and
SQLite in a temporary folder. On servers it makes exchanges, queues and schemas with names of its own, and removes
them in the end; its users must be allowed to.`,
		Example: `  stega bench
  stega bench --broker-url amqp://127.0.0.1/ -o json
  stega bench --symbols 500 --days 2520`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for name, n := range map[string]int{
				"messages": cfg.Messages, "commands": cfg.Commands, "clients": cfg.Clients, "symbols": cfg.Symbols,
				"days": cfg.Days,
			} {
				if n < 1 || n > 10_000_000 {
					return fault.Usage("count_invalid", "--%s=%d is not a number from 1 to 10000000", name, n)
				}
			}
			if err := where.optional(); err != nil {
				return err
			}
			cfg.BrokerURL, cfg.DatabaseURL = where.broker, where.database
			return measure(g, c, func(folder string, progress func(string, ...any)) (bench.Report, error) {
				cfg.Folder, cfg.Progress, cfg.Log = folder, progress, g.logger(c.ErrOrStderr())
				return bench.Run(c.Context(), cfg)
			}, benchTable)
		},
	}
	where.flags(c)
	f := c.Flags()
	f.IntVar(&cfg.Messages, "messages", 30_000, "events to publish and to handle")
	f.IntVar(&cfg.Commands, "commands", 5000, "commands to send")
	f.IntVar(&cfg.Clients, "clients", 32, "clients that send them at the same time")
	f.IntVar(&cfg.Symbols, "symbols", 100, "symbols of the import")
	f.IntVar(&cfg.Days, "days", 2520, "days of the import")
	c.AddCommand(newBenchImport(g), newBenchIdle(g))
	return c
}

func benchTable(w io.Writer, r bench.Report) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(what, value, detail string) { _, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", what, value, detail) }
	perSecond := func(v float64) string { return fmt.Sprintf("%.0f/s", v) }
	path := func(l bench.Latency) string { return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", l.P50, l.P99) }
	row("on", r.Broker+", "+r.Database, "")
	row(
		"events published", perSecond(r.Publish.Rate),
		fmt.Sprintf("%d; one alone: %s", r.Publish.Messages, path(r.Publish.Alone)),
	)
	row("events handled", perSecond(r.Events.Rate), fmt.Sprintf("%d, with inbox and read view", r.Events.Messages))
	row(
		"commands answered", perSecond(r.Commands.Rate),
		fmt.Sprintf("%d from %d clients: %s", r.Commands.Commands, r.Commands.Clients, path(r.Commands.Loaded.Answer)),
	)
	row("  at a quarter of that", "", path(r.Commands.Paced.Answer))
	row("commands in the read view", perSecond(r.Commands.ViewRate), path(r.Commands.Loaded.View))
	row("  at a quarter of that", "", path(r.Commands.Paced.View))
	memory := ""
	if r.Import.PeakBytes > 0 {
		memory = fmt.Sprintf(", %d MB at most", r.Import.PeakBytes>>20)
	}
	row(
		"prices imported",
		perSecond(r.Import.Rate),
		fmt.Sprintf(
			"%d, answered after %.2f s, returns settled after %.2f s%s", r.Import.Prices, r.Import.Answered,
			r.Import.Settled,
			memory,
		),
	)
	return t.Flush()
}

// measure runs a benchmark in a temporary folder, with its progress on the standard error, and prints its report.
func measure[R any](
	g *globals, c *cobra.Command, run func(folder string, progress func(format string, args ...any)) (R, error),
	table func(w io.Writer, report R) error,
) error {
	folder, err := os.MkdirTemp(os.Getenv("STEGA_TEMP"), "stega-bench-")
	if err != nil {
		return fault.Unavailable("folder_unusable", "no temporary folder can be made").
			WithHint("set STEGA_TEMP").
			Because(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	report, err := run(folder, func(format string, args ...any) { printf(c.ErrOrStderr(), format+"\n", args...) })
	if err != nil {
		return err
	}
	if done, err := g.print(c.OutOrStdout(), report); done {
		return err
	}
	return table(c.OutOrStdout(), report)
}
