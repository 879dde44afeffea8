package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/process"
)

func newPublish() *cobra.Command {
	var server api
	var data, brokerURL string
	c := &cobra.Command{
		Use:   "publish TOPIC",
		Short: "Publish an event by hand",
		Long: `Publishes an event that services handle like any other. The data are checked against the catalogue first. It goes through
the outbox of the service that owns the topic, and so has its place in the order of its subject; with --broker-url it goes
straight to the broker, outside of that order.`,
		Example: `  stega publish marketdata.prices_imported --data '{"symbol":"AAPL","dates":["2026-01-02"],"close":["101.5"]}'
  stega publish portfolio.updated --data @portfolio.json
  stega events show portfolio.updated      # what it looks like`,
		Args: cobra.ExactArgs(1),
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
			var answer struct {
				ID string `json:"operation_id"`
			}
			body, err := server.do(c.Context(), "POST", "/v1/events/"+args[0], "application/json", bytes.NewReader(text))
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			if err := decode(body, &answer); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), answer.ID)
			return err
		},
	}
	server.flags(c)
	c.Flags().StringVar(&data, "data", "", "the event as JSON, @file, or - for the standard input")
	c.Flags().StringVar(&brokerURL, "broker-url", "", "publish straight to this broker, amqp://user:password@host:5672/")
	_ = c.MarkFlagRequired("data")
	return c
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
		ID: id, Source: events.Source("publish"), Type: event.Topic(), Subject: event.Subject(), Time: time.Now().UTC(), Correlation: id,
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
		return fault.Unavailable("event_not_published", "the broker did not confirm the event").WithHint("it may have arrived: look with stega events tail").Because(err)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), id)
	return err
}
