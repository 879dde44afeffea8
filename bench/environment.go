package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"stega/broker"
	"stega/broker/embedded"
	"stega/broker/rabbitmq"
	"stega/fault"
	"stega/process"
)

// environment is the broker and the databases of a measurement, under a unique name.
type environment struct {
	Config

	name                     string
	url, token               string // of the process
	brokerKind, databaseKind string
	schemas                  []string // services that have one
}

// The services that exist for the measurement only.
const (
	sink  = "bench-sink"  // receives messages, and handles none
	bound = "bench-bound" // handles events
)

func newEnvironment(ctx context.Context, cfg Config) (*environment, error) {
	p := &environment{Config: cfg, name: "stega_bench_" + strings.ToLower(rand.Text()[:8]), brokerKind: "embedded",
		databaseKind: "SQLite"}
	if cfg.BrokerURL != "" {
		p.brokerKind = "RabbitMQ"
	}
	if cfg.DatabaseURL == "" {
		return p, nil
	}
	if !strings.HasPrefix(cfg.DatabaseURL, "postgres") {
		return nil, fault.Usage("database_url_invalid", "stega bench cannot use this database").
			WithHint("point --database-url at PostgreSQL, or leave it out for SQLite in a temporary folder")
	}
	p.databaseKind = "PostgreSQL"
	for _, service := range append(process.Names(), bound) {
		if err := p.schema(ctx, service, "CREATE SCHEMA %s"); err != nil {
			return nil, errors.Join(err, p.remove(ctx))
		}
		p.schemas = append(p.schemas, service)
	}
	return p, nil
}

// schema runs a statement on the schema of a service.
func (p *environment) schema(ctx context.Context, service, statement string) error {
	c, err := pgx.Connect(ctx, p.server(service))
	if err != nil {
		return fault.Unavailable("database_unreachable", "the database of %s cannot be reached", service).
			WithHint("check --database-url or STEGA_DATABASE_URL").Because(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err = c.Exec(ctx, fmt.Sprintf(statement, p.schemaOf(service))); err != nil {
		return fault.Unavailable("bench_not_allowed", "the user of the database of %s may not create a schema",
			service).
			WithHint("use a user with that right, such as the one for stega migrate").Because(err)
	}
	return nil
}

func (p *environment) schemaOf(service string) string {
	return pgx.Identifier{p.name + "_" + strings.ReplaceAll(service, "-", "_")}.Sanitize()
}

// server returns the URL of the database of a service; the services of the measurement use that of another service.
func (p *environment) server(service string) string {
	if service == bound {
		service = process.Names()[0]
	}
	return strings.ReplaceAll(p.DatabaseURL, "{service}", service)
}

// database returns the URL of a service's database in this environment.
func (p *environment) database(service string) string {
	if p.DatabaseURL == "" {
		return "sqlite://" + filepath.Join(p.Folder, service+".db")
	}
	u, err := url.Parse(p.server(service))
	if err != nil {
		return p.server(service) // connecting reports what is wrong with it
	}
	q := u.Query()
	q.Set("search_path", strings.Trim(p.schemaOf(service), `"`))
	u.RawQuery = q.Encode()
	return u.String()
}

func (p *environment) open(ctx context.Context) (broker.Broker, error) {
	if p.BrokerURL == "" {
		return embedded.Open(ctx, filepath.Join(p.Folder, "broker"), p.Log)
	}
	return rabbitmq.Open(ctx, rabbitmq.Config{URL: p.BrokerURL, Name: p.name, Prefix: p.name, Log: p.Log})
}

// remove removes what was created on servers. The folder belongs to the caller.
func (p *environment) remove(ctx context.Context) error {
	var errs []error
	for _, service := range p.schemas {
		errs = append(errs, p.schema(ctx, service, "DROP SCHEMA %s CASCADE"))
	}
	if p.BrokerURL != "" {
		errs = append(errs, p.removeQueues(ctx))
	}
	return errors.Join(errs...)
}

func (p *environment) removeQueues(ctx context.Context) error {
	b, err := rabbitmq.Open(ctx, rabbitmq.Config{URL: p.BrokerURL, Name: p.name, Prefix: p.name, Log: p.Log})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	topology, err := process.Topology()
	if err != nil {
		return err
	}
	for _, service := range []string{sink, bound} {
		topology.Services = append(topology.Services, broker.ServiceTopology{Service: service})
	}
	return b.Remove(ctx, topology)
}
