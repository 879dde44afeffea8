package cmd

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

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
	"stega/services/boundary/access"
	"stega/services/marketdata"
	"stega/services/marketdata/provider"
)

// connections are where the broker and the databases are.
type connections struct {
	broker   string
	database string
}

func (c *connections) flags(cmd *cobra.Command) {
	cmd.Flags().
		StringVar(&c.broker, "broker-url", "",
			"URL of RabbitMQ, such as amqp://user@host/vhost (default STEGA_BROKER_URL)")
	cmd.Flags().StringVar(&c.database, "database-url", "",
		"URL of the databases, where {service} stands for the name of a service, such as postgres://host/{service} "+
			"(default STEGA_DATABASE_URL)")
}

// optional sets the URLs that no flag named from the environment; they stay empty where it names none.
func (c *connections) optional() error {
	for _, url := range []struct {
		name  string
		value *string
	}{{"STEGA_BROKER_URL", &c.broker}, {"STEGA_DATABASE_URL", &c.database}} {
		if *url.value != "" {
			continue
		}
		var err error
		if *url.value, err = secret(url.name); err != nil {
			return err
		}
	}
	return nil
}

// fill is optional, but returns a fault when a URL is missing.
func (c *connections) fill() error {
	if err := c.optional(); err != nil {
		return err
	}
	if c.broker == "" {
		return fault.Usage("broker_missing", "no broker was named").
			WithHint("set STEGA_BROKER_URL or --broker-url, such as amqp://guest:guest@127.0.0.1:5672/; or run " +
				"everything here with: stega up")
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

// poolSize checks how many connections to a database a process has; 0 stands for what the environment says, or the
// default.
func poolSize(flag int) (int, error) {
	const limit = 1000
	n, text := flag, strconv.Itoa(flag)
	if flag == 0 {
		if text = os.Getenv("STEGA_DATABASE_CONNECTIONS"); text == "" {
			return process.DefaultConnections, nil
		}
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			n = 0
		}
	}
	if n < 2 || n > limit {
		return 0, fault.Usage("database_connections_invalid", "%q is no number of connections from 2 to %d", text,
			limit).
			WithHint("set --database-connections or STEGA_DATABASE_CONNECTIONS, such as %d", process.DefaultConnections)
	}
	return n, nil
}

// listening is where and how HTTP is served.
type listening struct {
	addr  string
	tls   process.TLS
	limit float64
	local string
	most  process.Connections

	trusted string
	audit   struct{ days, rows int }
}

func (l *listening) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.addr, "addr", env("STEGA_ADDR", "127.0.0.1:8420"), "address to listen on")
	f.StringVar(
		&l.tls.Cert, "tls-cert", os.Getenv("STEGA_TLS_CERT"),
		"serve HTTPS with this certificate, a PEM file; it is read again when it changes",
	)
	f.StringVar(&l.tls.Key, "tls-key", os.Getenv("STEGA_TLS_KEY"), "key of the certificate, a PEM file")
	f.StringVar(
		&l.tls.ClientCA, "tls-client-ca", os.Getenv("STEGA_TLS_CLIENT_CA"),
		"require client certificates signed by an authority in this PEM file",
	)
	f.Float64Var(
		&l.limit, "rate-limit", 200,
		"requests per second for each token, or for each address without one (0 means no limit)",
	)
	f.IntVar(
		&l.most.Total, "max-connections", whole("STEGA_MAX_CONNECTIONS"),
		"maximum number of HTTP connections (default STEGA_MAX_CONNECTIONS, or three quarters of the descriptors, "+
			"at most 16384)",
	)
	f.IntVar(&l.most.PerAddress, "max-connections-per-address", whole("STEGA_MAX_CONNECTIONS_PER_ADDRESS"),
		"maximum number of HTTP connections from one address (default half of all, or "+
			"STEGA_MAX_CONNECTIONS_PER_ADDRESS)")
	f.StringVar(
		&l.local, "local-access", os.Getenv("STEGA_LOCAL_ACCESS"),
		"scope of local programs without a token when --addr is a loopback address: read, write or admin (default "+
			"STEGA_LOCAL_ACCESS, or none)",
	)
	f.StringVar(
		&l.trusted, "trusted-proxies", os.Getenv("STEGA_TRUSTED_PROXIES"),
		"addresses and networks of proxies whose X-Forwarded-For is trusted, separated by commas (default "+
			"STEGA_TRUSTED_PROXIES, or none)",
	)
	f.IntVar(&l.audit.days, "audit-days", 90, "days that the audit log is kept")
	f.IntVar(&l.audit.rows, "audit-rows", 1_000_000, "maximum number of lines in the audit log; the oldest are removed")
	for _, name := range []string{"max-connections", "max-connections-per-address"} {
		f.Lookup(name).DefValue = "0"
	}
	for _, name := range []string{"trusted-proxies", "tls-cert", "tls-key", "tls-client-ca", "local-access"} {
		f.Lookup(name).DefValue = ""
	}
}

// whole reads a whole number from the environment; 0 without one that makes sense.
func whole(name string) int {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// limits are those of one token or address.
func (l *listening) limits() access.Limits {
	if l.limit <= 0 {
		return access.Limits{Rate: -1}
	}
	return access.Limits{Rate: l.limit}
}

// access sets who may send requests, in the configuration of a process.
func (l *listening) access(c *process.Config) (err error) {
	if l.audit.days < 1 || l.audit.rows < 1 {
		return fault.Usage("setting_invalid", "--audit-days and --audit-rows are less than one").
			WithHint("leave them out for 90 days and a million lines")
	}
	c.Limits, c.Audit = l.limits(), process.Audit{
		Keep: time.Duration(l.audit.days) * 24 * time.Hour,
		Rows: l.audit.rows,
	}
	if c.Proxies, err = access.ParseProxies(l.trusted); err != nil {
		return err
	}
	c.HTTP = l.most
	c.HTTP.Shared = c.Proxies // the clients of a proxy come from one address
	c.LocalAccess, err = l.localAccess()
	return err
}

// localAccess is the scope of requests without a token from this machine.
func (l *listening) localAccess() (access.Scope, error) {
	scope := access.Scope(l.local)
	if scope != access.Open && !slices.Contains(access.Scopes(), scope) {
		return access.Open, fault.Usage("setting_invalid", "--local-access does not take %q", l.local).
			WithHint("it takes read, write or admin; leave it out so that every request needs a token")
	}
	return scope, nil
}

// url is how clients say an address.
func (l *listening) url(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host).IsUnspecified() {
		addr = net.JoinHostPort("127.0.0.1", port) // one of all
	}
	if l.tls.On() {
		return "https://" + addr
	}
	return "http://" + addr
}

// check looks at the address, and warns of one where others can read along.
func (l *listening) check(w io.Writer) error {
	host, _, err := net.SplitHostPort(l.addr)
	if err != nil {
		return fault.Usage("address_invalid", "%q is not an address", l.addr).
			WithHint("an address is host:port, such as 127.0.0.1:8420")
	}
	if ip := net.ParseIP(host); l.tls.On() || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	printf(
		w,
		"WARNING: %s can be reached by others, and without TLS whoever is on the way reads the tokens and data that "+
			"go over it. "+
			"Serve HTTPS with --tls-cert and --tls-key, or put a proxy that does before it.\n",
		l.addr,
	)
	return nil
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

// openPatiently connects to RabbitMQ for a process that serves: when it cannot be reached, the process goes on, and
// readiness says so. An embedded broker has no other process to talk to, and its bindings are those of stega up.
func openPatiently(ctx context.Context, where, name string, log *slog.Logger) (broker.Broker, error) {
	if strings.HasPrefix(where, "embedded:") {
		return nil, fault.Usage("broker_embedded",
			"stega serve needs RabbitMQ: the embedded broker belongs to one process alone").
			WithHint("run everything in one process with: stega up; or point --broker-url at RabbitMQ")
	}
	if !strings.HasPrefix(where, "amqp:") && !strings.HasPrefix(where, "amqps:") {
		return openBroker(ctx, where, name, log)
	}
	return rabbitmq.Open(ctx, rabbitmq.Config{URL: where, Name: name, Log: log, Patient: true})
}

// options returns the settings of services from the environment. A folder of price files, if given, replaces that of
// the environment.
func options(folder string) (process.Options, error) {
	eodhd, err := secret("STEGA_EODHD_KEY")
	if err != nil {
		return process.Options{}, err
	}
	stooq, err := secret("STEGA_STOOQ_KEY")
	if err != nil {
		return process.Options{}, err
	}
	o := marketdata.Options{
		Folder:  cmp.Or(folder, os.Getenv("STEGA_PRICES_FOLDER")),
		TempDir: os.Getenv("STEGA_TEMP"), Provider: strings.ToLower(os.Getenv("STEGA_PRICES_PROVIDER")),
		EODHD: provider.EODHDOptions{
			BaseURL: os.Getenv("STEGA_EODHD_URL"), Key: eodhd, Exchange: os.Getenv("STEGA_EODHD_EXCHANGE"),
		},
		Stooq: provider.StooqOptions{
			BaseURL: os.Getenv("STEGA_STOOQ_URL"), Key: stooq, Market: os.Getenv("STEGA_STOOQ_MARKET"),
		},
		Yahoo: provider.YahooOptions{BaseURL: os.Getenv("STEGA_YAHOO_URL")},
	}
	for _, setting := range [][2]string{{"STEGA_EODHD_URL", o.EODHD.BaseURL}, {"STEGA_STOOQ_URL", o.Stooq.BaseURL},
		{"STEGA_YAHOO_URL", o.Yahoo.BaseURL}} {
		if u, err := url.Parse(setting[1]); setting[1] != "" && (err != nil || u.Host == "") {
			return process.Options{}, fault.Usage("provider_url_invalid", "%s is not a URL", setting[0]).
				WithHint("it looks like https://host/api")
		}
	}
	if o.EODHD.BaseURL == "" && o.EODHD.Key != "" {
		o.EODHD.BaseURL = provider.PublicEODHD
	}
	if o.EODHD.BaseURL != "" && o.EODHD.Key == "" {
		return process.Options{}, fault.Usage("provider_key_missing",
			"STEGA_EODHD_URL is set and STEGA_EODHD_KEY is not").
			WithHint("set STEGA_EODHD_KEY to your key")
	}
	public(&o)
	if err := marketdata.CheckProvider(o.Provider); err != nil {
		f := fault.Of(err)
		return process.Options{}, fault.Usage(f.Code, "STEGA_PRICES_PROVIDER: %s", f.Detail).WithHint("%s", f.Hint)
	}
	return process.Options{Marketdata: o}, nil
}

// public sets the public addresses of providers that need no key. A provider with a setting of its own stays the
// default.
func public(o *marketdata.Options) {
	set := []struct {
		name string
		is   bool
	}{
		{"folder", o.Folder != ""}, {"eodhd", o.EODHD.BaseURL != ""},
		{"stooq", o.Stooq.BaseURL != "" || o.Stooq.Key != ""}, {"yahoo", true},
	}
	for _, p := range set {
		if p.is && o.Provider == "" {
			o.Provider = p.name
		}
	}
	o.Stooq.BaseURL = cmp.Or(o.Stooq.BaseURL, provider.PublicStooq)
	o.Yahoo.BaseURL = cmp.Or(o.Yahoo.BaseURL, provider.PublicYahoo)
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
	described, err := resource.New(
		ctx, resource.WithAttributes(attribute.String("service.name", name)), resource.WithFromEnv(),
		resource.WithTelemetrySDK(),
	)
	if err != nil {
		return nil, fault.Usage("otel_invalid", "the OTEL_ variables cannot be used").Because(err)
	}
	tracing := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
	otel.SetTracerProvider(tracing)
	return func() { _ = tracing.Shutdown(context.WithoutCancel(ctx)) }, nil
}
