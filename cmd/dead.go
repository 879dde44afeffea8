package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stega/fault"
	"stega/rest"
)

func newDead() *cobra.Command {
	c := &cobra.Command{
		Use: "dead", Short: "Messages that could not be handled",
		Long: `Shows and settles messages that failed: parked ones, which are tried again by themselves, those that wait behind
them, and dead ones, which wait for you.`,
		Example: "  stega dead list\n  stega dead show returns/17\n  stega dead retry returns/17\n  stega dead drop returns/17",
	}
	c.AddCommand(newDeadList(), newDeadShow(), newDeadRetry(), newDeadDrop())
	return c
}

func newDeadList() *cobra.Command {
	var server api
	var out output
	var service, state string
	c := &cobra.Command{
		Use: "list", Short: "List them, grouped by cause", Args: cobra.NoArgs, Example: "  stega dead list --service returns --state dead -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			var list struct {
				Items []rest.DeadLetter `json:"items"`
			}
			query := url.Values{"limit": {"1000"}, "service": {service}, "state": {state}}
			if err := server.json(c.Context(), "GET", "/v1/dead?"+query.Encode(), nil, &list); err != nil {
				return err
			}
			if asJSON {
				return print(c.OutOrStdout(), list.Items)
			}
			if len(list.Items) == 0 {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), "nothing is parked or dead")
				return nil
			}
			return deadTable(c, list.Items)
		},
	}
	server.flags(c)
	out.flags(c)
	c.Flags().StringVar(&service, "service", "", "only of this service")
	c.Flags().StringVar(&state, "state", "", "only parked, waiting, or dead ones")
	return c
}

func deadTable(c *cobra.Command, letters []rest.DeadLetter) error {
	slices.SortStableFunc(letters, func(a, b rest.DeadLetter) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Cause, b.Cause))
	})
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for i, l := range letters {
		if i == 0 || l.Cause != letters[i-1].Cause || l.Service != letters[i-1].Service {
			n := 0
			for _, o := range letters {
				if o.Cause == l.Cause && o.Service == l.Service {
					n++
				}
			}
			_, _ = fmt.Fprintf(w, "%s: %d × %s\n", l.Service, n, l.Cause)
			_, _ = fmt.Fprintln(w, "  ID\tSTATE\tTOPIC\tSUBJECT\tATTEMPTS\tSINCE")
		}
		_, _ = fmt.Fprintf(w, "  %s/%d\t%s\t%s\t%s\t%d\t%s\n", l.Service, l.ID, l.State, l.Topic, l.Subject, l.Attempts, ago(l.ParkedAt))
	}
	return w.Flush()
}

// letterPath is the path of a dead letter that is named as service/number.
func letterPath(name string) (string, error) {
	service, id, ok := strings.Cut(name, "/")
	if !ok || service == "" || id == "" {
		return "", fault.Usage("dead_letter_unnamed", "%q does not name a dead letter", name).WithHint("they are named like returns/17; see: stega dead list")
	}
	return "/v1/dead/" + url.PathEscape(service) + "/" + url.PathEscape(id), nil
}

func newDeadShow() *cobra.Command {
	var server api
	c := &cobra.Command{
		Use: "show SERVICE/ID", Short: "Show one, with its data and its error", Args: cobra.ExactArgs(1), Example: "  stega dead show returns/17",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := letterPath(args[0])
			if err != nil {
				return err
			}
			var l rest.DeadLetter
			if err := server.json(c.Context(), "GET", path, nil, &l); err != nil {
				return err
			}
			return print(c.OutOrStdout(), l)
		},
	}
	server.flags(c)
	return c
}

func newDeadRetry() *cobra.Command {
	var server api
	var data string
	c := &cobra.Command{
		Use: "retry SERVICE/ID…", Short: "Try them again now, with fresh attempts", Args: cobra.MinimumNArgs(1),
		Example: "  stega dead retry returns/17 returns/18\n  stega dead retry returns/17 --data @fixed.json",
		RunE: func(c *cobra.Command, args []string) error {
			var body any
			if data != "" {
				if len(args) > 1 {
					return fault.Usage("data_for_many", "--data is for one message at a time")
				}
				text, err := readData(c.InOrStdin(), data)
				if err != nil {
					return err
				}
				if !json.Valid(text) {
					return fault.New(fault.KindMalformed, "json_malformed", "the data are not JSON")
				}
				body = map[string]json.RawMessage{"data": text}
			}
			return eachLetter(c, args, func(path string) error {
				return server.json(c.Context(), "POST", path+"/retry", body, nil)
			}, "is tried again")
		},
	}
	server.flags(c)
	c.Flags().StringVar(&data, "data", "", "with these data instead: JSON, @file, or - for the standard input")
	return c
}

func newDeadDrop() *cobra.Command {
	var server api
	c := &cobra.Command{
		Use: "drop SERVICE/ID…", Short: "Remove them for good", Args: cobra.MinimumNArgs(1), Example: "  stega dead drop returns/17",
		RunE: func(c *cobra.Command, args []string) error {
			return eachLetter(c, args, func(path string) error {
				return server.json(c.Context(), "DELETE", path, nil, nil)
			}, "is gone")
		},
	}
	server.flags(c)
	return c
}

func eachLetter(c *cobra.Command, names []string, do func(path string) error, done string) error {
	for _, name := range names {
		path, err := letterPath(name)
		if err != nil {
			return err
		}
		if err := do(path); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(c.ErrOrStderr(), name, done)
	}
	return nil
}
