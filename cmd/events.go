package cmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/events"
	"stega/process"
)

func newEvents() *cobra.Command {
	c := &cobra.Command{
		Use: "events", Short: "The catalogue of events, and the events themselves",
		Example: "  stega events list\n  stega events show portfolio.created\n  stega events tail --from 0",
	}
	c.AddCommand(newEventsList(), newEventsShow(), newEventsTail())
	return c
}

// topic is one entry of the catalogue as it is shown.
type topic struct {
	Topic     string          `json:"topic"`
	Publisher string          `json:"publisher"`
	Summary   string          `json:"summary"`
	Consumers []string        `json:"consumers"`
	Schema    json.RawMessage `json:"schema,omitempty"`
}

func catalogue() ([]topic, error) {
	routes, err := process.Routes()
	if err != nil {
		return nil, err
	}
	var list []topic
	for _, t := range events.Catalogue() {
		entry := topic{Topic: t.Topic, Publisher: t.Service, Summary: t.Summary, Consumers: []string{}}
		for _, service := range process.Names() {
			for _, r := range routes[service] {
				if r.Topic == t.Topic && !slices.Contains(entry.Consumers, service) {
					entry.Consumers = append(entry.Consumers, service)
				}
			}
		}
		list = append(list, entry)
	}
	return list, nil
}

func newEventsList() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use: "list", Short: "List the topics, with who publishes and who consumes them", Args: cobra.NoArgs, Example: "  stega events list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := catalogue()
			if err != nil {
				return err
			}
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			if asJSON {
				return print(c.OutOrStdout(), list)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "TOPIC\tPUBLISHER\tCONSUMERS\tWHAT HAPPENED")
			for _, t := range list {
				consumers := strings.Join(t.Consumers, ", ")
				if consumers == "" {
					consumers = "-"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Topic, t.Publisher, consumers, t.Summary)
			}
			return w.Flush()
		},
	}
	out.flags(c)
	return c
}

func newEventsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show TOPIC", Short: "Show a topic with the JSON Schema of its data", Args: cobra.ExactArgs(1), Example: "  stega events show portfolio.created",
		RunE: func(c *cobra.Command, args []string) error {
			list, err := catalogue()
			if err != nil {
				return err
			}
			for _, t := range list {
				if t.Topic != args[0] {
					continue
				}
				kind, _ := events.Lookup(t.Topic)
				if t.Schema, err = kind.Schema(); err != nil {
					return err
				}
				return print(c.OutOrStdout(), t)
			}
			_, err = process.Event(args[0], nil) // says which topics there are
			return err
		},
	}
}

func newEventsTail() *cobra.Command {
	var server api
	var from, brokerURL string
	var follow bool
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, one JSON object a line", Args: cobra.NoArgs,
		Example: `  stega events tail
  stega events tail --from 0 --follow=false      # all that the log retains`,
		RunE: func(c *cobra.Command, _ []string) error {
			if brokerURL != "" {
				return tailDirectly(c, brokerURL, from)
			}
			query := url.Values{"follow": {strconv.FormatBool(follow)}}
			if from != "" {
				query.Set("from", from)
			}
			body, err := server.do(c.Context(), "GET", "/v1/events?"+query.Encode(), "", nil)
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			_, err = io.Copy(c.OutOrStdout(), bufio.NewReader(body))
			if c.Context().Err() != nil {
				return nil // Ctrl-C is how one stops following
			}
			return err
		},
	}
	server.flags(c)
	c.Flags().StringVar(&from, "from", "", "from this position of the log; 0 is the oldest (default: what comes from now on)")
	c.Flags().BoolVar(&follow, "follow", true, "wait for more")
	c.Flags().StringVar(&brokerURL, "broker-url", "", "read the log straight from this broker")
	return c
}

func tailDirectly(c *cobra.Command, where, from string) error {
	position := broker.LogEnd
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a position: %w", from, err)
		}
		position = n
	}
	b, err := openBroker(c.Context(), where, "stega-tail", (&globals{}).logger(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	entries, err := b.Log(c.Context(), position)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetEscapeHTML(false)
	for e := range entries {
		if err := enc.Encode(process.NewLogLine(e)); err != nil {
			return err
		}
	}
	return nil
}

func decode(r io.Reader, v any) error {
	if err := json.NewDecoder(r).Decode(v); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
