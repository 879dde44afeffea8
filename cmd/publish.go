package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/process"
)

func newPublish(g *globals) *cobra.Command {
	var data, brokerURL, level string
	c := &cobra.Command{
		Use:   "publish TOPIC",
		Short: "Publish an event by hand",
		Long: `Publishes an event that services handle like any other. The data are checked against the catalogue
first. It goes through the outbox of the service that owns the topic, and so has its place in the order of its
subject; with --broker-url it goes straight to the broker, outside of that order.`,
		Example: `  stega publish returns.asset_updated --data @event.json
  stega publish portfolio.updated --data @portfolio.json
  stega events show portfolio.updated      # what it looks like`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: g.one(topicNames),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readData(c.InOrStdin(), data)
			if err != nil {
				return err
			}
			event, err := process.Event(args[0], text)
			if err != nil {
				return err
			}
			if brokerURL != "" {
				return publishDirectly(c, brokerURL, event, text)
			}
			return g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
				return g.publish(ctx, c, cl, args[0], text, level)
			})(c, args)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data of the event: JSON, @file, or - for the standard input")
	c.Flags().StringVar(&brokerURL, "broker-url", "", "publish directly to this RabbitMQ, amqp://user:password@host/")
	c.Flags().
		StringVar(&level, "wait", "accepted",
			"what to wait for: accepted (in the outbox) or settled (all effects visible)")
	_ = c.MarkFlagRequired("data")
	_ = c.RegisterFlagCompletionFunc("wait", oneOf("accepted", "settled"))
	return c
}

// publish publishes through the server, and prints the operation.
func (g *globals) publish(
	ctx context.Context, c *cobra.Command, cl *client.Client, topic string, data []byte, level string,
) error {
	w := waiting{level: level}
	until, err := w.parse()
	if err != nil {
		return err
	}
	limited, cancel := g.limit(ctx)
	defer cancel()
	a, err := cl.Publish(limited, topic, data)
	if err != nil {
		return err
	}
	id := a.Value.OperationID
	rememberOperation(g.at, id)
	if until != client.ForAccepted {
		line := g.newLive(c.ErrOrStderr(), "published")
		tell := func(op client.Operation) { line.say("%s", standing(op)) }
		op, err := cl.Await(ctx, id, client.Wait{For: until, Timeout: g.timeout, Changed: tell, Stalled: tell})
		line.end()
		if errors.Is(err, context.Canceled) {
			interrupted(c, op)
		}
		if err != nil {
			return err
		}
	}
	return g.show(c, view{raw: a.Raw, ids: []string{id}, table: table{head: []string{""}, rows: [][]string{{id}}}})
}

func readData(in io.Reader, data string) ([]byte, error) {
	if data == "-" {
		return io.ReadAll(in)
	}
	if name, ok := strings.CutPrefix(data, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fault.Usage("file_unreadable", "the file %s cannot be read", name).Because(err)
		}
		return b, nil
	}
	return []byte(data), nil
}

// publishTimeout is how long the broker may take to confirm.
const publishTimeout = 30 * time.Second

func publishDirectly(c *cobra.Command, url string, event events.Typed, data []byte) error {
	ctx, cancel := context.WithTimeout(c.Context(), publishTimeout)
	defer cancel()
	b, err := openBroker(ctx, url, "stega-publish", (&globals{}).logger(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	id := events.NewID()
	confirmed := make(chan error, 1)
	err = b.Publish(ctx, broker.Outgoing{Message: events.Message{Data: data, Envelope: events.Envelope{
		ID: id, Source: events.Source("publish"), Type: event.Topic(), Subject: event.Subject(), Time: time.Now().UTC(),
		Correlation: id,
		ContentType: "application/json",
	}}}, func(err error) { confirmed <- err })
	if err == nil {
		select {
		case err = <-confirmed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return fault.Unavailable("event_not_published", "the broker did not confirm the event").
			WithHint("it may have arrived: look with stega events tail").
			Because(err)
	}
	return writef(c.OutOrStdout(), "%s\n", id)
}
