package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
)

func newDead(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "dead", Short: "List, show, retry and drop messages that could not be handled",
		Long: `Shows and settles messages that failed: parked ones, which are tried again by themselves, those that wait
behind them, and dead ones, which wait for you.`,
		Example: `  stega dead list
  stega dead show returns/17
  stega dead retry returns/17
  stega dead drop returns/17`,
	})
	c.AddCommand(newDeadList(g), newDeadShow(g), newDeadRetry(g), newDeadDrop(g))
	return c
}

func newDeadList(g *globals) *cobra.Command {
	var service, state string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List messages, grouped by cause", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega dead list --service returns --state dead -o json", Annotations: csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			letters, raw, err := all(g, 1000, func(p client.Page) (client.Answer[api.List[api.DeadLetter]], error) {
				return cl.DeadLetters(ctx, p.Limit, service, state)
			})
			if err != nil {
				return err
			}
			slices.SortStableFunc(letters, func(a, b api.DeadLetter) int {
				return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Cause, b.Cause))
			})
			v := letterColumns.view(letters, letterName)
			v.raw, v.note = raw, "nothing is parked or dead"
			rows := v.table.rows
			v.table.rows = nil
			for i, l := range letters {
				same := func(o api.DeadLetter) bool { return o.Service == l.Service && o.Cause == l.Cause }
				if i == 0 || !same(letters[i-1]) {
					n := 0
					for n < len(letters)-i && same(letters[i+n]) {
						n++
					}
					v.table.add(fmt.Sprintf("%s: %d × %s", l.Service, n,
						cmp.Or(oneLine(l.Cause), "waiting behind another")))
				}
				v.table.rows = append(v.table.rows, rows[i])
			}
			return g.show(c, v)
		}),
	}
	c.Flags().StringVar(&service, "service", "", "only messages of this service")
	c.Flags().StringVar(&state, "state", "", "only messages in this state: parked, waiting, running, suspect or dead")
	_ = c.RegisterFlagCompletionFunc("service", oneOf(serviceNames(known{})...))
	_ = c.RegisterFlagCompletionFunc("state", oneOf("parked", "waiting", "running", "suspect", "dead"))
	return c
}

var letterColumns = columns[api.DeadLetter]{
	{head: "ID", value: letterName},
	{head: "STATE", value: func(l api.DeadLetter) string { return l.State }},
	{head: "TOPIC", value: func(l api.DeadLetter) string { return l.Topic }},
	{head: "SUBJECT", value: func(l api.DeadLetter) string { return l.Subject }},
	{head: ">TRIES", value: func(l api.DeadLetter) string { return strconv.Itoa(l.Attempts) }},
	{
		head: ">AGE", csv: "parked_at", value: func(l api.DeadLetter) string { return ago(l.ParkedAt) },
		exact: func(l api.DeadLetter) string { return stamp(l.ParkedAt) },
	},
	{csv: "cause", exact: func(l api.DeadLetter) string { return oneLine(l.Cause) }},
}

func letterName(l api.DeadLetter) string { return l.Service + "/" + strconv.FormatInt(l.ID, 10) }

// letter is a dead letter that is named as service/number.
type letter struct {
	service string
	id      int64
}

func parseLetter(name string) (letter, error) {
	service, number, ok := strings.Cut(name, "/")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || service == "" || err != nil {
		return letter{}, fault.Usage("dead_letter_unnamed", "%q does not name a dead letter", name).
			WithHint("names look like returns/17; list them with: stega dead list")
	}
	return letter{service, id}, nil
}

func newDeadShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show SERVICE/ID", Short: "Show one, with its data and its error", Args: cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega dead show returns/17",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			l, err := parseLetter(args[0])
			if err != nil {
				return err
			}
			a, err := cl.DeadLetter(ctx, l.service, l.id)
			if err != nil {
				return err
			}
			if g.format == asTable && !g.quiet {
				return printRaw(c.OutOrStdout(), asJSON, a.Raw)
			}
			return g.show(c, view{raw: a.Raw, ids: args})
		}),
	}
}

func newDeadRetry(g *globals) *cobra.Command {
	var data string
	c := &cobra.Command{
		Use: "retry SERVICE/ID…", Short: "Try them again now, with fresh attempts", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega dead retry returns/17 returns/18\n  stega dead retry returns/17 --data @fixed.json",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			var body json.RawMessage
			if data != "" {
				if len(args) > 1 {
					return fault.Usage("data_for_many", "--data is for one message at a time")
				}
				text, err := readData(c.InOrStdin(), data)
				if err != nil {
					return err
				}
				if !json.Valid(text) {
					return fault.Malformed("json_malformed", "the data are not JSON")
				}
				body = text
			}
			return eachLetter(
				c, args, "is tried again", func(l letter) error {
					return cl.RetryDeadLetter(ctx, l.service, l.id, body)
				},
			)
		}),
	}
	c.Flags().StringVar(&data, "data", "", "with these data instead: JSON, @file, or - for the standard input")
	return c
}

func newDeadDrop(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "drop SERVICE/ID…", Short: "Remove them for good", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega dead drop returns/17",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			return eachLetter(c, args, "is gone", func(l letter) error {
				return cl.DropDeadLetter(ctx, l.service, l.id)
			})
		}),
	}
}

func eachLetter(c *cobra.Command, names []string, done string, do func(l letter) error) error {
	for _, name := range names {
		l, err := parseLetter(name)
		if err != nil {
			return err
		}
		if err := do(l); err != nil {
			return err
		}
		printf(c.ErrOrStderr(), "%s %s\n", name, done)
	}
	return nil
}
