package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
)

func newOp(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "op", Aliases: []string{"operation", "operations"},
		Short: "List, show, watch and cancel operations (every write is one)",
		Example: `  stega op list
  stega op watch 019a2f60-0000-7000-8000-000000000000
  stega op tree 019a2f60-0000-7000-8000-000000000000`,
	})
	c.AddCommand(newOpList(g), newOpShow(g), newOpWatch(g), newOpTree(g), newOpCancel(g))
	return c
}

func newOpList(g *globals) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List operations, the newest first", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega op list\n  stega op list --limit 5 -o json", Annotations: csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			list, raw, err := all(g, limit, func(p client.Page) (client.Answer[api.List[client.Operation]], error) {
				return cl.Operations(ctx, p)
			})
			if err != nil {
				return err
			}
			v := operationColumns.view(list, func(op client.Operation) string { return op.ID })
			v.raw, v.note = raw, "there are no operations yet"
			rememberOperation(g.at, v.ids[:min(len(v.ids), maxOperations)]...)
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 20, "maximum number of rows (0 means all)")
	return c
}

func newOpShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Aliases: []string{"get"}, Short: "Show one operation", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(operationIDs),
		Example:           "  stega op show 019a2f60-0000-7000-8000-000000000000 -o json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			a, err := cl.Operation(ctx, args[0])
			if err != nil {
				return err
			}
			return g.show(c, view{raw: a.Raw, ids: []string{a.Value.ID}, table: operationTable(a.Value)})
		}),
	}
}

func operationTable(op client.Operation) table {
	t := table{head: []string{"", ""}}
	add := func(name, value string) {
		if value != "" {
			t.add(name, value)
		}
	}
	add("operation", op.ID)
	add("command", op.Command)
	add("service", op.Service)
	add("subject", op.Subject)
	add("entity", op.EntityID)
	add("status", op.Status)
	add("outcome", op.Outcome)
	add("accepted", when(&op.AcceptedAt))
	add("finished", since(op.AcceptedAt, op.FinishedAt))
	add("settled", since(op.AcceptedAt, op.SettledAt))
	if op.Progress != nil {
		add("progress", strings.TrimSpace(progress(*op.Progress)))
	}
	if op.Error != nil {
		add("error", op.Error.Detail)
		add("hint", op.Error.Hint)
	}
	for i, at := range op.Waiting {
		add("waiting for", whom(op.Waiting[i:i+1])+" since "+at.Since.Local().Format(time.DateTime))
		if at.Error != "" {
			add("", at.Error)
		}
	}
	return t
}

func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// since is a time, and how long after another one it was.
func since(start time.Time, t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s, %s later", when(t), t.Sub(start).Round(100*time.Microsecond))
}

func newOpWatch(g *globals) *cobra.Command {
	w := waiting{level: "settled"}
	c := &cobra.Command{
		Use: "watch ID", Aliases: []string{"wait"}, Short: "Watch an operation until it has finished",
		Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(operationIDs),
		Long: `Says each change of an operation until it is settled, or until it failed; with --wait=resolved until the
command is done. The exit status is that of its outcome, so it can stand in scripts.`,
		Example: `  stega op watch 019a2f60-0000-7000-8000-000000000000
  stega op watch 019a2f60-0000-7000-8000-000000000000 --wait=resolved`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			level, err := w.parse()
			if err != nil {
				return err
			}
			line := g.newLive(c.ErrOrStderr(), "asking")
			tell := func(op client.Operation) {
				line.say("%s", standing(op))
				if g.format == asTable && !g.quiet && !lively(c.ErrOrStderr()) {
					printf(c.ErrOrStderr(), "%s\n", standing(op))
				}
			}
			timeout := time.Duration(0)
			if c.Flags().Changed("timeout") {
				timeout = g.timeout
			}
			op, err := cl.Await(ctx, args[0], client.Wait{For: level, Timeout: timeout, Changed: tell, Stalled: tell})
			line.end()
			if errors.Is(err, context.Canceled) {
				interrupted(c, op)
				return err
			}
			if op.Status != "" {
				if printed := g.printWritten(c, op); err == nil {
					err = printed
				}
			}
			return err
		}),
	}
	w.flags(c)
	c.Flags().Lookup("wait").DefValue = "settled"
	w.level = "settled"
	return c
}

func newOpTree(g *globals) *cobra.Command {
	var ascii bool
	c := &cobra.Command{
		Use: "tree ID", Short: "Draw the causation tree of an operation", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(operationIDs),
		Example:           "  stega op tree 019a2f60-0000-7000-8000-000000000000",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			a, err := cl.OperationTree(ctx, args[0])
			if err != nil {
				return err
			}
			if g.format != asTable || g.quiet {
				return g.show(c, view{raw: a.Raw, ids: []string{a.Value.ID}})
			}
			if a.Value.Tree == nil {
				return fault.Unavailable("tree_unknown", "the server does not tell what followed from the operation").
					WithHint("ask the boundary, or stega up; what is known is: stega op show %s", a.Value.ID)
			}
			return drawTree(c.OutOrStdout(), a.Value, unicodeTerm() && !ascii)
		}),
	}
	c.Flags().BoolVar(&ascii, "ascii", false, "draw with ASCII characters only")
	return c
}

func newOpCancel(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID", Short: "Cancel a deferred command", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(operationIDs),
		Example:           "  stega op cancel 019a2f60-0000-7000-8000-000000000000",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := cl.Cancel(ctx, args[0]); err != nil {
				return err
			}
			printf(c.ErrOrStderr(), "cancellation requested; watch it with: stega op watch %s\n", args[0])
			return nil
		}),
	}
}

var operationColumns = columns[client.Operation]{
	{head: "OPERATION", value: func(op client.Operation) string { return op.ID }},
	{head: "COMMAND", value: func(op client.Operation) string { return op.Command }},
	{head: "SUBJECT", wide: true, value: func(op client.Operation) string { return op.Subject }},
	{head: "STATUS", value: func(op client.Operation) string { return statusOf(op) }},
	{
		head: ">AGE", csv: "accepted_at", value: func(op client.Operation) string { return ago(&op.AcceptedAt) },
		exact: func(op client.Operation) string { return stamp(&op.AcceptedAt) },
	},
}
