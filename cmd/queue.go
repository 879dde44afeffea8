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
		Use: "queue", Short: "Writes that wait for the server, or that it refused",
		Long: `Shows and settles writes that were made while the server was away. They are sent in order when it returns. One that is then refused, as when
somebody else changed the same portfolio meanwhile, stays here until you retry or drop it; later writes of the same entity wait behind it.`,
		Example: "  stega queue list\n  stega queue show 0199aa11\n  stega queue retry 0199aa11 --any-version\n  stega queue drop 0199aa11",
	})
	c.AddCommand(newQueueList(g), newQueueShow(g), newQueueRetry(), newQueueDrop())
	return c
}

func newQueueList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List them in the order in which they are sent", Args: cobra.NoArgs, Example: "  stega queue list -o json",
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
			if g.quiet {
				var ids []string
				for _, it := range list.Items {
					ids = append(ids, it.Operation)
				}
				return g.show(c, view{ids: ids})
			}
			if done, err := g.print(c.OutOrStdout(), list.Items); done {
				return err
			}
			if len(list.Items) == 0 {
				say(c, "nothing is queued")
				return nil
			}
			return queueTable(c, list.Items)
		},
	}
}

func queueTable(c *cobra.Command, items []daemon.Item) error {
	t := table{head: []string{"OPERATION", "STATE", "WRITE", "SERVER", "TRIES", "SINCE", "WHY"}}
	for _, it := range items {
		why := ""
		switch {
		case it.Fault != nil:
			why = it.Fault.Detail
		case it.Behind != "":
			why = "waits behind " + it.Behind
		}
		t.add(it.Operation, it.State, it.Method+" "+it.Path, it.Server, strconv.Itoa(it.Attempts), time.Since(it.QueuedAt).Round(time.Second).String(), why)
	}
	return t.write(c.OutOrStdout())
}

func newQueueShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show OPERATION", Short: "Show one, with its body and why it was refused", Args: cobra.ExactArgs(1), Example: "  stega queue show 0199aa11",
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
		Use: "retry OPERATION…", Short: "Send refused ones once more, as new operations", Args: cobra.MinimumNArgs(1),
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
	c.Flags().BoolVar(&anyVersion, "any-version", false, "also when somebody else has changed the same meanwhile, which is then overwritten")
	return c
}

func newQueueDrop() *cobra.Command {
	return &cobra.Command{
		Use: "drop OPERATION…", Short: "Give them up", Args: cobra.MinimumNArgs(1), Example: "  stega queue drop 0199aa11",
		RunE: func(c *cobra.Command, args []string) error {
			return eachQueued(c, args, func(d *daemon.Connection, path string) (string, error) {
				return "is gone", d.Ask(c.Context(), "DELETE", path, nil)
			})
		},
	}
}

func eachQueued(c *cobra.Command, ids []string, do func(d *daemon.Connection, path string) (done string, err error)) error {
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
