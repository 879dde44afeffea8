package cmd

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"stega/broker"
	"stega/broker/embedded"
	"stega/broker/rabbitmq"
	"stega/fault"
	"stega/process"
	"stega/services/marketdata"
	"stega/services/marketdata/provider"
)

// connections are where the broker and the databases are.
type connections struct {
	broker   string
	database string
}

func (c *connections) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.broker, "broker-url", "", "where RabbitMQ is, amqp://user:password@host:5672/vhost (default: STEGA_BROKER_URL)")
	cmd.Flags().StringVar(&c.database, "database-url", "",
		"where the databases are, with {service} for the service's name, such as postgres://user:password@host/{service} (default: STEGA_DATABASE_URL)")
}

// optional are the URLs that flags or the environment name; empty where they name none.
func (c *connections) optional() (broker, database string) {
	return cmp.Or(c.broker, os.Getenv("STEGA_BROKER_URL")), cmp.Or(c.database, os.Getenv("STEGA_DATABASE_URL"))
}

// fill takes from the environment what no flag said.
func (c *connections) fill() error {
	c.broker, c.database = c.optional()
	if c.broker == "" {
		return fault.Usage("broker_missing", "no broker was named").
			WithHint("set STEGA_BROKER_URL or --broker-url, such as amqp://guest:guest@127.0.0.1:5672/; or run everything here with: stega up")
	}
	if c.database == "" {
		return fault.Usage("database_missing", "no database was named").
			WithHint("set STEGA_DATABASE_URL or --database-url, such as postgres://user:password@127.0.0.1/{service}")
	}
	return nil
}

func (c *connections) databaseOf(service string) string {
	return strings.ReplaceAll(c.database, "{service}", service)
}

// open connects to the broker: amqp: or amqps: for RabbitMQ, embedded: with a folder for the one in the process.
func openBroker(ctx context.Context, where, name string, log *slog.Logger) (broker.Broker, error) {
	scheme, rest, _ := strings.Cut(where, ":")
	switch scheme {
	case "amqp", "amqps":
		return rabbitmq.Open(ctx, rabbitmq.Config{URL: where, Name: name, Log: log})
	case "embedded":
		return embedded.Open(ctx, strings.TrimPrefix(rest, "//"), log)
	}
	return nil, fault.Usage("broker_url_invalid", "the broker's URL begins with neither amqp: nor embedded:").
		WithHint("RabbitMQ is amqp://user:password@host:5672/")
}

// options are the settings of services, from the environment.
func options() (process.Options, error) {
	o := marketdata.Options{
		Folder: os.Getenv("STEGA_PRICES_FOLDER"), TempDir: os.Getenv("STEGA_TEMP"),
		EODHD: provider.EODHDOptions{
			BaseURL: os.Getenv("STEGA_EODHD_URL"), Key: os.Getenv("STEGA_EODHD_KEY"), Exchange: os.Getenv("STEGA_EODHD_EXCHANGE"),
		},
	}
	if o.EODHD.BaseURL != "" {
		if u, err := url.Parse(o.EODHD.BaseURL); err != nil || u.Host == "" {
			return process.Options{}, fault.Usage("provider_url_invalid", "STEGA_EODHD_URL is not a URL").WithHint("it looks like https://host/api")
		}
		if o.EODHD.Key == "" {
			return process.Options{}, fault.Usage("provider_key_missing", "STEGA_EODHD_URL is set and STEGA_EODHD_KEY is not").
				WithHint("set STEGA_EODHD_KEY to your key")
		}
	}
	return process.Options{Marketdata: o}, nil
}

// traced exports spans when the standard OTEL_ variables say where to; stop flushes them.
func traced(ctx context.Context, name string) (stop func(), err error) {
	asked := false
	for _, e := range os.Environ() {
		asked = asked || strings.HasPrefix(e, "OTEL_EXPORTER_") || strings.HasPrefix(e, "OTEL_TRACES_EXPORTER=")
	}
	if disabled, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); !asked || disabled {
		return func() {}, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fault.Usage("otel_invalid", "the OTEL_ variables cannot be used").Because(err)
	}
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", name)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fault.Usage("otel_invalid", "the OTEL_ variables cannot be used").Because(err)
	}
	tracing := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
	otel.SetTracerProvider(tracing)
	return func() { _ = tracing.Shutdown(context.WithoutCancel(ctx)) }, nil
}
