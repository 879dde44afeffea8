package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/events"
	"stega/fault"
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
	var wanted selection
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, one JSON object a line", Args: cobra.NoArgs,
		Example: `  stega events tail
  stega events tail --from 0 --follow=false      # all that the log retains
  stega events tail --topic 'returns.*' --count 1   # wait for one, and end`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := wanted.check(); err != nil {
				return err
			}
			if brokerURL != "" {
				return tailDirectly(c, brokerURL, from, wanted)
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
			err = wanted.lines(body, c.OutOrStdout())
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
	c.Flags().StringSliceVar(&wanted.topics, "topic", nil, "only of these topics; * stands for anything, as in 'portfolio.*'")
	c.Flags().IntVarP(&wanted.count, "count", "n", 0, "end after so many (default: do not end)")
	return c
}

// selection is which events of the log to show, and how many.
type selection struct {
	topics []string
	count  int
}

func (s *selection) check() error {
	for _, pattern := range s.topics {
		if _, err := path.Match(pattern, ""); err != nil {
			return fault.Usage("topic_pattern_invalid", "%q is no pattern of topics", pattern).WithHint("write it like 'portfolio.*'")
		}
	}
	if s.count < 0 {
		return fault.Usage("count_invalid", "--count=%d is less than nothing", s.count).WithHint("leave it out to follow without end")
	}
	return nil
}

// show reports whether to show an event of a topic, and whether it was the last to be shown.
func (s *selection) show(topic string) (show, last bool) {
	show = len(s.topics) == 0 || slices.ContainsFunc(s.topics, func(pattern string) bool {
		match, _ := path.Match(pattern, topic)
		return match
	})
	if show && s.count > 0 {
		s.count--
		last = s.count == 0
	}
	return show, last
}

// lines copies the lines that are wanted.
func (s *selection) lines(from io.Reader, to io.Writer) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var event struct{ Type string }
		if err := json.Unmarshal(line, &event); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		show, last := s.show(event.Type)
		if show {
			if _, err := to.Write(line); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func tailDirectly(c *cobra.Command, where, from string, wanted selection) error {
	position := broker.LogEnd
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return fault.Usage("position_invalid", "%q is not a position of the log", from).WithHint("positions are whole numbers; 0 is the oldest")
		}
		position = n
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	b, err := openBroker(ctx, where, "stega-tail", (&globals{}).logger(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	entries, err := b.Log(ctx, position)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetEscapeHTML(false)
	for e := range entries {
		show, last := wanted.show(e.Type)
		if show {
			if err := enc.Encode(process.NewLogLine(e)); err != nil {
				return err
			}
		}
		if last {
			break
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
