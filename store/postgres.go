package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"stega/fault"
)

// postgresEngine runs each unit of work on a connection of its pool, with as few round trips as its statements allow: the
// beginning travels with the first statement and the commit with the last ones.
type postgresEngine struct {
	db      *DB
	observe func(string)
	pool    *bun.DB
	infra   *bun.DB // for the relay, so that a busy pool cannot stall it
}

func openPostgres(ctx context.Context, d *DB, url string, o options) (engine, string, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, "", fault.Usage("database_url_invalid", "the database URL of %s cannot be read", d.service).
			WithHint("it looks like postgres://user:password@host:5432/%s", d.service)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "stega-" + d.service
	}
	if config.RuntimeParams["idle_in_transaction_session_timeout"] == "" {
		config.RuntimeParams["idle_in_transaction_session_timeout"] = "60s" // a process that hangs must not hold locks for ever
	}
	where := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	if o.connections == 0 {
		o.connections = 12
	}
	p := &postgresEngine{db: d, observe: o.observe, pool: pgPool(config, o.connections), infra: pgPool(config, 2)}
	if err := p.pool.PingContext(ctx); err != nil {
		return nil, "", errors.Join(unreachable(d.service, where, err), p.close())
	}
	return p, where, nil
}

func unreachable(service, where string, err error) error {
	return fault.Unavailable("database_unavailable", "the database of %s at %s does not answer", service, where).
		WithHint("check that PostgreSQL runs there and that user, password and database are right (--database-url, STEGA_DATABASE_URL)").
		Because(err)
}

func pgPool(config *pgx.ConnConfig, connections int) *bun.DB {
	pool := sql.OpenDB(stdlib.GetConnector(*config))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return bun.NewDB(pool, pgdialect.New())
}

func (p *postgresEngine) read() *bun.DB { return p.pool }

func (p *postgresEngine) close() error { return errors.Join(p.pool.Close(), p.infra.Close()) }

func (p *postgresEngine) do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (err error) {
	conn, err := p.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	session := &session{Conn: conn, db: p.pool, observe: p.observe}
	session.later("BEGIN")
	tx := newTx(p.db, session)
	committed := false
	defer func() {
		tx.ended = true
		if !committed && session.begun {
			p.rollback(ctx, conn)
		}
		if e := conn.Close(); e != nil && err == nil && !committed {
			err = e
		}
	}()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.finish(ctx); err != nil {
		return err
	}
	if !session.begun && string(session.pending) == "BEGIN" {
		return nil // nothing was asked of the database
	}
	if aborted(conn) {
		return errors.New("a statement of the unit of work has failed")
	}
	session.later("COMMIT")
	if err := session.flush(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// aborted reports whether a statement has failed, which would turn the commit into a rollback without an error.
func aborted(conn bun.Conn) bool {
	failed := false
	_ = conn.Raw(func(c any) error {
		failed = c.(*stdlib.Conn).Conn().PgConn().TxStatus() == 'E'
		return nil
	})
	return failed
}

// rollback takes a transaction back, or gives up its connection, which the server then does.
func (p *postgresEngine) rollback(ctx context.Context, conn bun.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := conn.Conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// leadPoll is how often a relay that stands by looks whether it can take over.
const leadPoll = time.Second

func (p *postgresEngine) lead(ctx context.Context, service string) (*leadership, error) {
	conn, err := p.infra.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	tick := time.NewTicker(leadPoll)
	defer tick.Stop()
	for {
		var mine bool
		// The schema is part of the lock's name, as services may share a database.
		err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(hashtextextended('stega relay of ' || ? || current_schema(), 0))",
			service).Scan(&mine)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("take the relay's lock: %w", err)
		}
		if mine {
			// Giving up the connection gives up the lock.
			return &leadership{conn: conn, write: p.infra, release: func() {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn })
				_ = conn.Close()
			}}, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = conn.Close()
			return nil, ctx.Err()
		}
	}
}
