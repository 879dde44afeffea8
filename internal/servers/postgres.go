package servers

import (
	"context"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

const (
	postgresPort = 5432
	postgresURL  = "STEGA_TEST_POSTGRES_URL"
)

// postgres is the server with its durable settings: results about commits and crashes need fsync.
var postgres = &server{
	name: "postgres", image: "postgres:17", ports: []int{postgresPort},
	env: map[string]string{"POSTGRES_USER": adminName, "POSTGRES_PASSWORD": adminPassword, "POSTGRES_DB": "stega"},
	cmd: []string{"postgres", "-c", "max_connections=300"}, // parallel tests have a pool each
	ready: func(ctx context.Context, s *server) error {
		return admin(ctx, postgresAdmin(s.address(postgresPort)), "SELECT 1")
	},
}

// PG is a separate database on the PostgreSQL of the process.
type PG struct {
	Database string

	admin string // URL of the administrator
}

// Postgres creates an empty database, and removes it when the test ends.
func Postgres(t testing.TB) *PG {
	t.Helper()
	p := &PG{Database: name(), admin: administrator(t)}
	// It sorts by the rules of a language, as most installations do, whatever the server's locale is.
	p.Exec(t,
		`CREATE DATABASE "`+p.Database+`" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`)
	t.Cleanup(func() { p.Exec(t, `DROP DATABASE IF EXISTS "`+p.Database+`" WITH (FORCE)`) })
	return p
}

// administrator returns the URL of the administrator of the process's PostgreSQL.
func administrator(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(postgresURL); given != "" {
		return given
	}
	postgres.need(t)
	return postgresAdmin(postgres.address(postgresPort))
}

func postgresAdmin(address string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(adminName, adminPassword), Host: address, Path: "/stega",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// URL returns the URL of the database; its user owns it and has all rights.
func (p *PG) URL() string {
	u, err := url.Parse(p.admin)
	if err != nil {
		return p.admin // a connection reports it
	}
	u.Path = "/" + p.Database
	return u.String()
}

// Exec runs one statement as the administrator, outside the database.
func (p *PG) Exec(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := admin(ctx, p.admin, statement); err != nil {
		t.Fatalf("postgres: %s: %v", statement, err)
	}
}

func admin(ctx context.Context, url, statement string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	_, err = c.Exec(ctx, statement)
	return err
}

// CutConnections ends all connections to the database, like a failover.
func (p *PG) CutConnections(t testing.TB) {
	t.Helper()
	p.Exec(t, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '`+p.Database+`'`)
}

// PostgresReadOnly makes the server refuse writes, or accept them again, for all tests of the process. A test that
// calls it must not run in parallel with others. At its end the server accepts writes.
func PostgresReadOnly(t testing.TB, on bool) {
	t.Helper()
	url, value := administrator(t), "off"
	if on {
		value = "on"
		t.Cleanup(func() { PostgresReadOnly(t, false) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, statement := range []string{"ALTER SYSTEM SET default_transaction_read_only = " + value,
		"SELECT pg_reload_conf()"} {
		if err := admin(ctx, url, statement); err != nil {
			t.Fatalf("postgres: %s: %v", statement, err)
		}
	}
	for now := ""; now != value; {
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			err = c.QueryRow(ctx, "SHOW default_transaction_read_only").Scan(&now)
			_ = c.Close(ctx)
		}
		if err != nil {
			t.Fatalf("postgres: read-only %s: %v", value, err)
		}
	}
}

// Stop stops the server for all tests of the process. A test that calls it must not run in parallel with others. At
// its end the server runs again.
func (p *PG) Stop(t testing.TB) { t.Helper(); postgres.stop(t) }

// Start starts the server again and returns when it answers. Its address stays the same.
func (p *PG) Start(t testing.TB) { t.Helper(); postgres.startAgain(t) }

// Restart stops the server and starts it again.
func (p *PG) Restart(t testing.TB) {
	t.Helper()
	p.Stop(t)
	p.Start(t)
}
