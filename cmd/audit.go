package cmd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
)

func newAudit(g *globals) *cobra.Command {
	var limit int
	var token, operation string
	c := &cobra.Command{
		Use: "audit", Short: "Who wrote what, the newest first", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Shows writes with the name of the token that made them ("local": --local-access), the status of the answer, the token or session that
they made, and their operation. Reads of tokens, dead letters and the audit are there too. Requests of one kind share a line once a minute.`,
		Example: "  stega audit\n  stega audit --operation 0190b7a8-0000-7000-8000-000000000001\n  stega audit --limit 0 -o json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			entries, raw, err := all(g, limit, func(p client.Page) (client.Answer[client.List[client.AuditEntry]], error) {
				return cl.Audit(ctx, p, token, operation)
			})
			if err != nil {
				return err
			}
			v := view{raw: raw, table: table{head: []string{"AT", "WHO", "FROM", "WHAT", "PATH", "STATUS", "MADE", "REQUESTS", "OPERATION"}}, note: "nothing was written"}
			for _, e := range entries {
				what := e.Command
				if what == "" {
					what = e.Method
				}
				v.ids = append(v.ids, e.ID)
				v.table.add(e.At.Local().Format(time.DateTime), e.Who, e.Remote, what, e.Path, strconv.Itoa(e.Status),
					strings.TrimSpace(e.Detail.Name+" "+e.Detail.Scope), strconv.FormatInt(max(1, e.Requests), 10), e.Operation)
			}
			return g.show(c, v)
		}),
	}
	c.Flags().IntVarP(&limit, "limit", "n", 50, "at most so many; 0 for all")
	c.Flags().StringVar(&token, "token", "", "only those with the token of this id")
	c.Flags().StringVar(&operation, "operation", "", "only those that became this operation")
	return c
}
