package cmd

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

func newHealth(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Check readiness", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  stega health --url http://127.0.0.1:8420",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			within := healthTimeout
			if c.Flags().Changed("timeout") && g.timeout > 0 {
				within = g.timeout
			}
			ctx, cancel := context.WithTimeoutCause(
				ctx, within, fault.Unavailable("not_ready", "stega at %s does not answer", cl.URL()),
			)
			defer cancel()
			a, err := cl.Health(ctx)
			if err != nil {
				return err
			}
			v := view{raw: a.Raw, table: table{head: []string{""}}}
			for _, line := range a.Value.Lines() {
				v.table.add(line)
			}
			if a.Value.Ready() {
				v.table.add(a.Value.Status)
			}
			if err := g.show(c, v); err != nil {
				return err
			}
			if !a.Value.Ready() {
				return fault.Unavailable("not_ready", "stega at %s is not ready", cl.URL()).
					WithHint("what is missing is said above; it goes on by itself when that is back")
			}
			return nil
		}),
	}
}

// healthTimeout is how long a server that is well may take to say so.
const healthTimeout = 5 * time.Second

// build says which stega this is.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Date     string `json:"date"` // of the revision
	Go       string `json:"go"`
}

func version() build {
	v := build{"devel", "unknown", "unknown", "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Go = info.GoVersion
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Date = s.Value
		}
	}
	return v
}

// String is one line: version, commit and date, compiler.
func (b build) String() string {
	return fmt.Sprintf("stega %s (commit %s of %s, %s)", b.Version, b.Revision, b.Date, b.Go)
}

func newVersion(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version, commit and date", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions, Example: "  stega version -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			v := version()
			if done, err := g.print(c.OutOrStdout(), v); done {
				return err
			}
			return writef(c.OutOrStdout(), "%s\n", v)
		},
	}
}
