package cmd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/internal/files"
	"stega/process"
	"stega/services/boundary/gateway"
)

// signIn is logged once the boundary is ready.
const signIn = `The first admin token is in %s. Sign in where the boundary runs:
  stega open --print                       prints a link for a browser
  stega token create NAME --scope write    makes a token
In the composed stack: docker compose exec boundary-api /stega token create NAME --scope write
`

func newServe(g *globals) *cobra.Command {
	var where connections
	var at listening
	var services, roles []string
	var upstreams, tokenFile string
	var pool int
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run single services, on RabbitMQ and PostgreSQL",
		Long: `Runs services in one or both of their roles: api answers HTTP and takes commands, consumer handles events
and runs deferred commands. The databases and the broker must have been prepared with stega migrate.

The boundary is the one public entry: it routes to the other services, in this process or where --services says, and
takes tokens. Services without it take the secret in STEGA_SERVICE_TOKEN, which the boundary sends them; without it
they answer nothing but health checks.

With --token-file, the boundary makes a first admin token at its first start and keeps it in that file, for its owner
alone.`,
		Example: `  stega serve --service=returns --role=api
  stega serve --service=portfolio,returns --role=consumer
  stega serve --service=all --role=all --addr=127.0.0.1:8420`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			files.OwnByDefault() // of databases and brokers that are files
			names, err := process.Select(services)
			if err != nil {
				return err
			}
			as, err := process.Roles(roles)
			if err != nil {
				return err
			}
			if err := where.fill(); err != nil {
				return err
			}
			if err := at.check(c.ErrOrStderr()); err != nil {
				return err
			}
			pool, err := poolSize(pool)
			if err != nil {
				return err
			}
			opts, err := options("")
			if err != nil {
				return err
			}
			elsewhere, err := gateway.ParseUpstreams(upstreams)
			if err != nil {
				return err
			}
			shared, err := secret("STEGA_SERVICE_TOKEN")
			if err != nil {
				return err
			}
			title := "stega-" + strings.Join(names, "-")
			stop, err := traced(c.Context(), title)
			if err != nil {
				return err
			}
			defer stop()
			log := g.logger(c.ErrOrStderr())
			config := process.Config{
				Services:    names,
				Roles:       as,
				Addr:        at.addr,
				Database:    where.databaseOf,
				Connections: pool,
				Options:     opts,
				Log:         log,
				TLS:         at.tls,
				Secret:      shared,
				TokenFile:   tokenFile,
				Upstreams:   elsewhere,
				Broker: func(ctx context.Context) (broker.Broker, error) {
					return openPatiently(ctx, where.broker, title, log)
				},
			}
			if err := at.access(&config); err != nil {
				return err
			}
			return process.Run(c.Context(), config, func(addr string) {
				printf(c.ErrOrStderr(), "stega is ready on %s: %s as %v\n", at.url(addr), strings.Join(names, ", "), as)
				if tokenFile != "" && slices.Contains(names, "boundary") {
					printf(c.ErrOrStderr(), signIn, tokenFile)
				}
			})
		},
	}
	where.flags(c)
	c.Flags().IntVar(&pool, "database-connections", 0, fmt.Sprintf(
		"maximum number of connections to each PostgreSQL database, besides one for the relay (default "+
			"STEGA_DATABASE_CONNECTIONS, or %d)",
		process.DefaultConnections,
	))
	c.Flags().StringSliceVar(&services, "service", nil, "services to run, or all")
	c.Flags().StringSliceVar(&roles, "role", nil, "roles to run: api, consumer, all")
	at.flags(c)
	c.Flags().StringVar(&upstreams, "services", os.Getenv("STEGA_SERVICES"),
		"URLs of the other services for the boundary, such as portfolio=http://host:8420,… (default STEGA_SERVICES)")
	c.Flags().StringVar(&tokenFile, "token-file", os.Getenv("STEGA_TOKEN_FILE"),
		"file for the first admin token of the boundary (default STEGA_TOKEN_FILE)")
	c.Flags().Lookup("services").DefValue, c.Flags().Lookup("token-file").DefValue = "", ""
	return c
}

func newMigrate(g *globals) *cobra.Command {
	var where connections
	services := []string{"all"}
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Prepare databases and broker",
		Long: `Brings the databases of services up to date, and declares exchanges, queues and bindings. It changes
nothing when it is run again. Its users need the right to do so; the services themselves do not.`,
		Example: `  STEGA_DATABASE_URL='postgres://stega@127.0.0.1/{service}' stega migrate
  stega migrate --service=returns`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			files.OwnByDefault() // of databases and brokers that are files
			names, err := process.Select(services)
			if err != nil {
				return err
			}
			if err := where.fill(); err != nil {
				return err
			}
			log := g.logger(c.ErrOrStderr())
			return process.Migrate(c.Context(), names, where.databaseOf,
				func(ctx context.Context) (broker.Broker, error) {
					return openBroker(ctx, where.broker, "stega-migrate", log)
				},
				func(format string, args ...any) { printf(c.ErrOrStderr(), format+"\n", args...) })
		},
	}
	where.flags(c)
	c.Flags().StringSliceVar(&services, "service", services, "whose databases")
	return c
}
