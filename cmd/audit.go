package cmd

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
)

func newAudit(g *globals) *cobra.Command {
	var limit int
	var token, operation string
	c := &cobra.Command{
		Use: "audit", Short: "Show the audit log", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Shows writes with the name of the token that made them ("local": --local-access), the status of the
answer, the token or session that they made, and their operation. Reads of tokens, dead letters and the audit are
there too. Requests of one kind share a line once a minute.`,
		Example: `  stega audit
  stega audit --operation 0190b7a8-0000-7000-8000-000000000001
  stega audit --limit 0 -o json`,
		Annotations: csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			entries, raw, err := all(g, limit, func(p client.Page) (client.Answer[api.List[client.AuditEntry]], error) {
				return cl.Audit(ctx, p, token, operation)
			})
			if err != nil {
				return err
			}
			v := auditColumns.view(entries, func(e client.AuditEntry) string { return e.ID })
			v.raw, v.note = raw, "the audit log is empty"
			return g.show(c, v)
		}),
	}
	c.Flags().IntVarP(&limit, "limit", "n", 50, "maximum number of rows (0 means all)")
	c.Flags().StringVar(&token, "token", "", "only requests with the token of this id")
	c.Flags().StringVar(&operation, "operation", "", "only requests that created this operation")
	return c
}

var auditColumns = columns[client.AuditEntry]{
	{
		head:  "AT",
		value: func(e client.AuditEntry) string { return e.At.Local().Format(time.DateTime) },
		exact: func(e client.AuditEntry) string { return stamp(&e.At) },
	},
	{head: "WHO", value: func(e client.AuditEntry) string { return e.Who }},
	{head: "FROM", value: func(e client.AuditEntry) string { return e.Remote }},
	{head: "WHAT", value: func(e client.AuditEntry) string { return cmp.Or(e.Command, e.Method) }},
	{head: "PATH", value: func(e client.AuditEntry) string { return e.Path }},
	{head: ">STATUS", value: func(e client.AuditEntry) string { return strconv.Itoa(e.Status) }},
	{
		head:  "CREATED",
		value: func(e client.AuditEntry) string { return strings.TrimSpace(e.Detail.Name + " " + e.Detail.Scope) },
	},
	{head: ">REQUESTS", value: func(e client.AuditEntry) string { return strconv.FormatInt(max(1, e.Requests), 10) }},
	{head: "OPERATION", wide: true, value: func(e client.AuditEntry) string { return e.Operation }},
}
