package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/internal/eventschema"
	"stega/process"
)

func newEvents(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "events", Short: "List topics, and read the log of events",
		Example: "  stega events list\n  stega events show portfolio.created\n  stega events tail --from 0",
	})
	c.AddCommand(newEventsList(g), newEventsShow(g), newEventsTail(g))
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

func newEventsList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List topics with their publisher and consumers", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega events list -o json", Annotations: csvToo,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := catalogue()
			if err != nil {
				return err
			}
			v := topicColumns.view(list, func(t topic) string { return t.Topic })
			if v.raw, err = json.Marshal(list); err != nil {
				return err
			}
			return g.show(c, v)
		},
	}
}

func newEventsShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show TOPIC", Short: "Show a topic with its JSON Schema", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(topicNames),
		Example:           "  stega events show portfolio.created",
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
				if t.Schema, err = eventschema.Of(kind); err != nil {
					return err
				}
				if done, err := g.print(c.OutOrStdout(), t); done {
					return err
				}
				return print(c.OutOrStdout(), t)
			}
			_, err = process.Event(args[0], nil) // says which topics there are
			return err
		},
	}
}

func newEventsTail(g *globals) *cobra.Command {
	var from, brokerURL string
	var follow bool
	var wanted selection
	c := &cobra.Command{
		Use: "tail", Short: "Print events as they happen, one JSON object a line", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example: `  stega events tail
  stega events tail --from 0 --follow=false      # all that the log retains
  stega events tail --topic 'returns.*' --count 1`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := wanted.check(); err != nil {
				return err
			}
			var position *uint64
			if from != "" {
				n, err := strconv.ParseUint(from, 10, 64)
				if err != nil {
					return fault.Malformed("position_invalid", "%q is not a position of the log", from).
						WithHint("positions are whole numbers; 0 is the oldest")
				}
				position = &n
			}
			ctx, stop := g.following(c.Context(), c, wanted.count)
			defer stop()
			ended := func(err error) error {
				if ctx.Err() != nil && !errors.Is(err, errEnough) {
					err = context.Cause(ctx)
				}
				if errors.Is(err, errEnough) || c.Context().Err() != nil {
					return nil //nolint:nilerr // Ctrl-C is how one stops following
				}
				return err
			}
			if brokerURL != "" {
				return ended(tailDirectly(ctx, c, brokerURL, position, wanted))
			}
			return g.run(func(_ context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
				return ended(wanted.lines(cl.Log(ctx, position, follow), c.OutOrStdout()))
			})(c, args)
		},
	}
	c.Flags().StringVar(&from, "from", "", "start at this position of the log; 0 is the oldest (default the end)")
	c.Flags().BoolVar(&follow, "follow", true, "wait for more events")
	c.Flags().StringVar(&brokerURL, "broker-url", "", "read the log directly from this RabbitMQ")
	c.Flags().StringSliceVar(&wanted.topics, "topic", nil, "only these topics; * is a wildcard, as in 'portfolio.*'")
	c.Flags().IntVarP(&wanted.count, "count", "n", 0, "stop after this many events (0 means never)")
	_ = c.RegisterFlagCompletionFunc(
		"topic",
		func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return g.many(topicNames)(c, nil, typed)
		},
	)
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
			return fault.Usage("topic_pattern_invalid", "%q is no pattern of topics", pattern).
				WithHint("write it like 'portfolio.*'")
		}
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
func (s *selection) lines(from iter.Seq2[client.Answer[client.LogEntry], error], to io.Writer) error {
	for entry, err := range from {
		if err != nil {
			return err
		}
		show, last := s.show(entry.Value.Type)
		if show {
			if err := writeJSON(to, append(entry.Raw, '\n')); err != nil {
				return err
			}
		}
		if last {
			return errEnough
		}
	}
	return nil
}

func tailDirectly(ctx context.Context, c *cobra.Command, where string, from *uint64, wanted selection) error {
	position := broker.LogEnd
	if from != nil {
		position = *from
	}
	ctx, cancel := context.WithCancel(ctx)
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
	for e := range entries {
		show, last := wanted.show(e.Type)
		if show {
			line, err := json.Marshal(process.NewLogLine(e))
			if err == nil {
				err = writeJSON(c.OutOrStdout(), append(line, '\n'))
			}
			if err != nil {
				return err
			}
		}
		if last {
			return errEnough
		}
	}
	return nil
}

var topicColumns = columns[topic]{
	{head: "TOPIC", value: func(t topic) string { return t.Topic }},
	{head: "PUBLISHER", value: func(t topic) string { return t.Publisher }},
	{head: "CONSUMERS", value: func(t topic) string { return cmp.Or(strings.Join(t.Consumers, ", "), "-") }},
	{head: "WHAT HAPPENED", csv: "summary", value: func(t topic) string { return t.Summary }},
}
