package cmd

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stega/bench"
	"stega/fault"
	"stega/text"
)

func newBenchIdle(g *globals) *cobra.Command {
	cfg := bench.IdleConfig{Settle: 5 * time.Second}
	c := &cobra.Command{
		Use:   "idle",
		Short: "Measure what a server without requests uses",
		Long: `Starts this program as a server on an empty folder and measures what it uses
while nothing is requested: processor time, how often its threads wake, and
memory. --against measures another version after it. It needs Linux.`,
		Example: `  stega bench idle
  stega bench idle --duration 20s --against ./stega-before -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Duration < time.Second || cfg.Duration > time.Hour {
				return fault.Usage("duration_invalid", "--duration=%s is not from 1s to 1h", cfg.Duration)
			}
			var err error
			if cfg.Program, err = os.Executable(); err != nil {
				return err
			}
			return measure(g, c, func(folder string, progress func(string, ...any)) ([]bench.IdleCosts, error) {
				cfg.Folder, cfg.Progress = folder, progress
				return bench.RunIdle(c.Context(), cfg)
			}, benchIdleTable)
		},
	}
	f := c.Flags()
	f.DurationVar(&cfg.Duration, "duration", time.Minute, "how long each server is measured")
	f.StringVar(&cfg.Against, "against", "", "path of another version, to be measured after this one")
	return c
}

func benchIdleTable(w io.Writer, all []bench.IdleCosts) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "PROGRAM\tCPU %%\tWAKE-UPS/s\tMEMORY MB\n")
	for i, c := range all {
		name := "this one"
		if i > 0 {
			name = text.Visible(c.Program)
		}
		_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.0f\t%.0f\n", name, c.CPU*100, c.Wakeups, float64(c.ResidentBytes)/1e6)
	}
	return t.Flush()
}
