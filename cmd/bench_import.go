package cmd

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stega/bench"
	"stega/fault"
	"stega/text"
)

func newBenchImport(g *globals) *cobra.Command {
	cfg := bench.ImportConfig{}
	c := &cobra.Command{
		Use:   "import",
		Short: "Measure what an import of prices costs the server",
		Long: `Starts this program as a server on an empty folder, imports prices, and measures
the server until everything that follows from them is settled: processor time,
time, peak memory, bytes written and bytes that stay on disk. --against measures
another version by turns. It needs Linux.`,
		Example: `  stega bench import
  stega bench import --symbols 500 --days 2520 --runs 3
  stega bench import --against ./stega-before -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for name, n := range map[string]int{"symbols": cfg.Symbols, "days": cfg.Days, "runs": cfg.Runs} {
				if n < 1 || n > 100_000 {
					return fault.Usage("count_invalid", "--%s=%d is not a number from 1 to 100000", name, n)
				}
			}
			var err error
			if cfg.Program, err = os.Executable(); err != nil {
				return err
			}
			return measure(g, c, func(folder string, progress func(string, ...any)) (bench.ImportReport, error) {
				cfg.Folder, cfg.Progress = folder, progress
				return bench.RunImport(c.Context(), cfg)
			}, benchImportTable)
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Symbols, "symbols", 500, "symbols of the import")
	f.IntVar(&cfg.Days, "days", 2520, "days of each symbol")
	f.IntVar(&cfg.Runs, "runs", 3, "runs, of which the medians are printed")
	f.StringVar(&cfg.Against, "against", "", "path of another version, to be measured by turns")
	return c
}

func benchImportTable(w io.Writer, r bench.ImportReport) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "PROGRAM\tCPU s\tWALL s\tPEAK MB\tWRITTEN MB\tDISK B/BAR\n")
	row := func(name string, c bench.ImportCosts) {
		_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.0f\t%.0f\t%.1f\n", name, c.CPU, c.Wall, float64(c.PeakBytes)/1e6,
			float64(c.WrittenBytes)/1e6, float64(c.DiskBytes)/float64(r.Bars))
	}
	row("this one", r.Program)
	if r.Against != nil {
		row(text.Visible(r.Against.Program), *r.Against)
	}
	return t.Flush()
}
