package cmd

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"stega/daemon"
	"stega/fault"
)

func newDoctor(g *globals) *cobra.Command {
	var fix bool
	c := &cobra.Command{
		Use: "doctor", Short: "Diagnose problems", Args: cobra.NoArgs,
		Long: `Looks at everything between this command line and the server: sockets, lock and files of the daemon and
who may use them, room on the disk, versions, stream, queue and cache, whether the server can be reached and is ready,
its clock, and what the token allows. Ends with 69 when something does not work.`,
		Example: "  stega doctor\n  stega doctor --fix\n  stega doctor -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := daemon.Locate(os.Getenv)
			if err != nil && len(paths.Candidates) == 0 {
				return err
			}
			at, err := g.place()
			if err != nil {
				return err
			}
			file, err := g.configFile()
			if err != nil {
				return err
			}
			config, err := at.TLS.config()
			if err != nil {
				return err
			}
			ctx, cancel := g.limit(c.Context())
			defer cancel()
			findings := daemon.Examine(ctx, daemon.Patient{
				Paths:  paths,
				Build:  thisBuild(),
				Server: daemon.Server{URL: at.URL, Token: at.Token},
				Prove:  at.Local,
				TLS:    config,
				Config: file,
				Tokens: g.localTokenFile(),
				Fix:    fix,
			})
			done, err := g.print(c.OutOrStdout(), findings)
			if !done {
				err = tellFindings(c, findings)
			}
			return cmp.Or(err, verdict(findings))
		},
	}
	c.Flags().BoolVar(&fix, "fix", false, "put right what is safe to: sockets of dead daemons, and permissions")
	return c
}

func tellFindings(c *cobra.Command, findings []daemon.Finding) error {
	signs := map[string]string{daemon.OK: "ok   ", daemon.Note: "-    ", daemon.Warn: "warn ", daemon.Fail: "FAIL "}
	for _, f := range findings {
		if err := writef(c.OutOrStdout(), "%s%s: %s\n", signs[f.Verdict], f.Name, f.Detail); err != nil {
			return err
		}
		if f.Hint != "" {
			if err := writef(c.OutOrStdout(), "       %s\n", f.Hint); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdict is the fault when something does not work.
func verdict(findings []daemon.Finding) error {
	n := 0
	for _, f := range findings {
		if f.Verdict == daemon.Fail {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	what := "one thing does not work"
	if n > 1 {
		what = fmt.Sprintf("%d things do not work", n)
	}
	return fault.Unavailable("doctor_found", "%s", what).
		WithHint("each has its hint above; stega doctor --fix puts right what is safe to")
}
