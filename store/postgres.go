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
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"stega/fault"
)

// postgresEngine runs each unit of work on a connection of its pool, with as few round trips as its statements allow:
// the beginning travels with the first statement and the commit with the last ones.
type postgresEngine struct {
	db      *DB
	observe func(string)
	pool    *bun.DB
	relay   *bun.DB // one connection for the relay, so that a busy pool cannot stall it

	notified chan struct{} // the relay's session was notified of a commit
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
	config.DialFunc = dial(func() bool { return d.migrating.Load() == 0 }) // one statement of a migration may take long
	params(config, map[string]string{
		"application_name":                    "stega-" + d.service,
		"idle_in_transaction_session_timeout": "60s", // a process that hangs must not hold locks for ever
		// The server ends the session of a client whose host is gone, and with it its locks.
		"tcp_keepalives_idle":     "5",
		"tcp_keepalives_interval": "5",
		"tcp_keepalives_count":    "2",
		"tcp_user_timeout":        "15000",
	})
	where := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	if o.connections == 0 {
		o.connections = DefaultConnections
	}
	relay := config.Copy()
	params(relay, map[string]string{
		// A frozen process keeps its connection alive, and must not keep the relay's lock.
		"idle_session_timeout": leadIdle, "idle_in_transaction_session_timeout": leadIdle,
	})
	notified := make(chan struct{}, 1)
	relay.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { signal(notified) }
	p := &postgresEngine{
		db: d, observe: o.observe, pool: pgPool(config, o.connections), relay: pgPool(relay, 1), notified: notified,
	}
	if err := p.pool.PingContext(ctx); err != nil {
		return nil, "", errors.Join(unreachable(d.service, where, err), p.close())
	}
	return p, where, nil
}

// params adds run-time parameters of sessions, unless the URL has them.
func params(config *pgx.ConnConfig, add map[string]string) {
	for name, value := range add {
		if config.RuntimeParams[name] == "" {
			config.RuntimeParams[name] = value
		}
	}
}

func unreachable(service, where string, err error) error {
	if Refuses(err) {
		return unavailable(service, where, err)
	}
	return fault.Unavailable("database_unavailable", "the database of %s at %s does not answer", service, where).
		WithHint("check that PostgreSQL runs there and that user, password and database are right " +
			"(--database-url, STEGA_DATABASE_URL)").
		Because(err)
}

func pgPool(config *pgx.ConnConfig, connections int) *bun.DB {
	pool := sql.OpenDB(stdlib.GetConnector(*config))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(time.Minute)
	return bun.NewDB(pool, pgdialect.New())
}

func (p *postgresEngine) read() *bun.DB { return p.pool }

// readOnly is true of a server that takes no writes.
const readOnly = "pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"

func (p *postgresEngine) ping(ctx context.Context) error {
	conn, err := p.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var refuses bool
	if err := conn.QueryRowContext(ctx, "SELECT "+readOnly).Scan(&refuses); err != nil {
		return err
	}
	if refuses {
		p.leave(conn)
		return errReadOnly
	}
	return nil
}

// leave gives up a connection to a server that takes no writes, and those that are idle beside it: the address may
// lead to another by now.
func (p *postgresEngine) leave(conn bun.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	p.pool.SetMaxIdleConns(0)
	p.pool.SetMaxIdleConns(p.pool.Stats().MaxOpenConnections)
}

func (p *postgresEngine) close() error { return errors.Join(p.pool.Close(), p.relay.Close()) }

func (p *postgresEngine) do(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) (err error) {
	conn, err := p.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	session := &session{Conn: conn, db: p.pool, observe: p.observe}
	session.queue("BEGIN")
	tx := newTx(p.db, session)
	committed := false
	defer func() {
		tx.ended = true
		if !committed && session.begun {
			p.rollback(ctx, conn, err)
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
	session.queue("COMMIT")
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
func (p *postgresEngine) rollback(ctx context.Context, conn bun.Conn, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := conn.Conn.ExecContext(ctx, "ROLLBACK")
	switch {
	case err != nil:
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	case why != nil && Refuses(why):
		p.leave(conn)
	}
}

const (
	// postgresPoll is how often a relay of PostgreSQL scans without news; a notification may be lost with the process
	// that was to send it.
	postgresPoll = 5 * time.Second
	// leadPoll is how often a relay that stands by looks whether it can take over.
	leadPoll = 4 * time.Second
	// leadIdle is how long the server keeps the relay's session, and so its lock, without a query.
	leadIdle = "15s"
	// leadBeat is the longest time that a relay leaves its session without a query.
	leadBeat = 5 * time.Second
	// leadQuery bounds each query of the relay.
	leadQuery = 10 * time.Second
)

func (p *postgresEngine) lead(ctx context.Context) (*leadership, error) {
	conn, err := p.relay.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	// Giving up the connection gives up the lock.
	release := func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
	}
	tick := time.NewTicker(leadPoll)
	defer tick.Stop()
	committed := false
	for {
		mine, channel, err := p.tryLead(ctx, conn, committed)
		if err == nil && mine {
			_, err = conn.ExecContext(ctx, "LISTEN "+channel)
		}
		if err != nil {
			release()
			return nil, fmt.Errorf("take the relay's lock: %w", err)
		}
		if mine {
			return &leadership{
				conn: conn, release: release, poll: postgresPoll, notified: p.notified,
				listen: func() (stop func()) { return p.listen(ctx, conn) },
			}, nil
		}
		committed = false
		select {
		case <-p.db.committed:
			committed = true
		case <-tick.C:
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
}

// listen receives notifications on the session until stop is called.
func (p *postgresEngine) listen(ctx context.Context, conn bun.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.Raw(func(c any) error {
			return c.(*stdlib.Conn).Conn().PgConn().WaitForNotification(ctx)
		})
		if ctx.Err() == nil { // the next query shows what is wrong, if something is
			signal(p.notified)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// tryLead reports whether the session has the relay's lock now, and on which channel the relay is notified. A server
// that takes no writes gives none: nothing that is sent could be deleted. When this process has committed, it
// notifies the relay of the process that has the lock.
func (p *postgresEngine) tryLead(
	ctx context.Context, conn bun.Conn, committed bool,
) (mine bool, channel string, err error) {
	ctx, cancel := context.WithTimeout(ctx, leadQuery)
	defer cancel()
	var refuses bool
	// The schema is part of the lock's name, as services may share a database.
	query := conn.NewSelect().ColumnExpr("r, mine, channel").TableExpr("(SELECT *, CASE WHEN r THEN false ELSE "+
		"pg_try_advisory_lock(hashtextextended(name, 0)) END AS mine, 'stega_' || md5(name) AS channel FROM (SELECT "+
		readOnly+" AS r, 'stega relay of ' || ? || current_schema() AS name) AS server) AS relay", p.db.service)
	if committed {
		query = query.ColumnExpr("CASE WHEN NOT r AND NOT mine THEN pg_notify(channel, '')::text END")
		var sent sql.NullString
		err = query.Scan(ctx, &refuses, &mine, &channel, &sent)
	} else {
		err = query.Scan(ctx, &refuses, &mine, &channel)
	}
	if err == nil && refuses {
		err = errReadOnly
	}
	return mine, channel, err
}
