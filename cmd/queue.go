package cmd

import (
	"encoding/json"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/daemon"
	"stega/fault"
)

func newQueue(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "queue", Short: "Review writes that wait for the server, or were refused",
		Long: `Shows and settles writes that were made while the server was away. They are sent in order when it
returns. A write that the server then refuses, for example because the same portfolio was changed in the meantime,
stays here until you retry or drop it. Later writes of the same entity wait behind it.`,
		Example: `  stega queue list
  stega queue show 0199aa11
  stega queue retry 0199aa11 --any-version
  stega queue drop 0199aa11`,
	})
	c.AddCommand(newQueueList(g), newQueueShow(g), newQueueRetry(), newQueueDrop())
	return c
}

func newQueueList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List queued writes in sending order", Args: cobra.NoArgs,
		Example: "  stega queue list -o json", Annotations: csvToo,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := dialDaemon(c.Context(), "", os.Getenv("STEGA_DAEMON") != "off")
			if err != nil {
				return err
			}
			var list struct {
				Items []daemon.Item `json:"items"`
			}
			if err := d.Ask(c.Context(), "GET", "/daemon/queue", &list); err != nil {
				return err
			}
			v := queueColumns.view(list.Items, func(it daemon.Item) string { return it.Operation })
			v.note = "nothing is queued"
			if v.raw, err = json.Marshal(list.Items); err != nil {
				return err
			}
			return g.show(c, v)
		},
	}
}

var queueColumns = columns[daemon.Item]{
	{head: "OPERATION", value: func(it daemon.Item) string { return it.Operation }},
	{head: "STATE", value: func(it daemon.Item) string { return it.State }},
	{head: "WRITE", value: func(it daemon.Item) string { return it.Method + " " + it.Path }},
	{head: "SERVER", wide: true, value: func(it daemon.Item) string { return it.Server }},
	{head: ">TRIES", value: func(it daemon.Item) string { return strconv.Itoa(it.Attempts) }},
	{
		head: ">AGE", csv: "queued_at",
		value: func(it daemon.Item) string { return time.Since(it.QueuedAt).Round(time.Second).String() },
		exact: func(it daemon.Item) string { return stamp(&it.QueuedAt) },
	},
	{head: "REASON", value: func(it daemon.Item) string {
		switch {
		case it.Fault != nil:
			return it.Fault.Detail
		case it.Behind != "":
			return "waits behind " + it.Behind
		}
		return ""
	}},
}

func newQueueShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show OPERATION", Short: "Show a queued write with its body and refusal", Args: cobra.ExactArgs(1),
		Example: "  stega queue show 0199aa11",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := dialDaemon(c.Context(), "", true)
			if err != nil {
				return err
			}
			var it daemon.Item
			if err := d.Ask(c.Context(), "GET", "/daemon/queue/"+url.PathEscape(args[0]), &it); err != nil {
				return err
			}
			body := any(it.Body)
			switch {
			case json.Valid(it.Body):
				body = json.RawMessage(it.Body)
			case strings.HasPrefix(it.ContentType, "text/"):
				body = string(it.Body)
			}
			it.Body = nil
			whole := struct {
				daemon.Item
				Body any `json:"body,omitempty"`
			}{it, body}
			if done, err := g.print(c.OutOrStdout(), whole); done {
				return err
			}
			return print(c.OutOrStdout(), whole)
		},
	}
}

func newQueueRetry() *cobra.Command {
	var anyVersion bool
	c := &cobra.Command{
		Use: "retry OPERATION…", Short: "Retry refused writes as new operations", Args: cobra.MinimumNArgs(1),
		Example: "  stega queue retry 0199aa11\n  stega queue retry 0199aa11 --any-version",
		RunE: func(c *cobra.Command, args []string) error {
			query := ""
			if anyVersion {
				query = "?any_version=true"
			}
			return eachQueued(c, args, func(d *daemon.Connection, path string) (string, error) {
				var again struct {
					Operation string `json:"operation_id"`
				}
				err := d.Ask(c.Context(), "POST", path+"/retry"+query, &again)
				return "is sent again as " + again.Operation, err
			})
		},
	}
	c.Flags().BoolVar(&anyVersion, "any-version", false, "overwrite changes that others made in the meantime")
	return c
}

func newQueueDrop() *cobra.Command {
	return &cobra.Command{
		Use: "drop OPERATION…", Short: "Discard queued writes", Args: cobra.MinimumNArgs(1),
		Example: "  stega queue drop 0199aa11",
		RunE: func(c *cobra.Command, args []string) error {
			return eachQueued(c, args, func(d *daemon.Connection, path string) (string, error) {
				return "is discarded", d.Ask(c.Context(), "DELETE", path, nil)
			})
		},
	}
}

func eachQueued(
	c *cobra.Command, ids []string, do func(d *daemon.Connection, path string) (done string, err error),
) error {
	d, err := dialDaemon(c.Context(), "", true)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if strings.TrimSpace(id) == "" {
			return fault.Usage("operation_unnamed", "an operation has no empty id").WithHint("see: stega queue list")
		}
		done, err := do(d, "/daemon/queue/"+url.PathEscape(id))
		if err != nil {
			return err
		}
		say(c, "%s %s", id, done)
	}
	return nil
}
