package storetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
	"stega/internal/wait"
	"stega/store"
)

// proxy is a TCP proxy before a server that can go dead: it passes nothing on and reports nothing.
type proxy struct {
	to   string
	in   net.Listener
	mu   sync.Mutex
	dead map[net.Conn]bool
	gone bool // new connections too
	all  []net.Conn
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &proxy{to: to, in: in, dead: map[net.Conn]bool{}}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := in.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = conn.Close()
				continue
			}
			c.mu.Lock()
			c.all = append(c.all, conn, out)
			c.dead[conn] = c.gone
			c.mu.Unlock()
			group.Go(func() { c.pass(conn, out, conn) })
			group.Go(func() { c.pass(out, conn, conn) })
		}
	})
	t.Cleanup(func() {
		_ = in.Close()
		c.drop()
		group.Wait()
	})
	return c
}

func (c *proxy) pass(from, to, key net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		c.mu.Lock()
		dead := c.dead[key]
		c.mu.Unlock()
		if dead {
			_, _ = io.Copy(io.Discard, from) // the kernel still acknowledges
			return
		}
		if n > 0 {
			_, _ = to.Write(buffer[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// cut stops all traffic on the open connections and, if all is set, on new ones.
func (c *proxy) cut(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = all
	for conn := range c.dead {
		c.dead[conn] = true
	}
}

// drop closes all connections.
func (c *proxy) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close()
	}
}

// through opens a database over a proxy.
func through(t testing.TB, address string) (*store.DB, *proxy) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	c := newProxy(t, u.Host)
	u.Host = c.in.Addr().String()
	return reopen(t, u.String()), c
}

// silentServer checks that no query, unit or upkeep without a deadline waits for a server that answers only
// keepalives, and that each works again over a new connection.
func silentServer(t *testing.T, h Harness) {
	if address := h.URL(t); !strings.HasPrefix(address, "postgres") {
		t.Skip("there is no server")
	}
	unit := func(text string) func(context.Context, *store.DB) error {
		return func(ctx context.Context, db *store.DB) error {
			return db.Do(ctx, func(ctx context.Context, tx *store.Tx) error { return trail(ctx, tx, 1, text) })
		}
	}
	for what, do := range map[string]func(context.Context, *store.DB) error{
		"a query": func(ctx context.Context, db *store.DB) error {
			_, err := db.Read().NewSelect().Table("trail").Count(ctx)
			return err
		},
		"a unit":      unit("one"),
		"a long unit": unit(strings.Repeat("x", 4<<20)),
		"upkeep":      func(ctx context.Context, db *store.DB) error { return db.Tidy(ctx, store.Retention{}) },
		"readiness":   func(ctx context.Context, db *store.DB) error { return db.Ping(ctx) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db, c := through(t, h.URL(t))
			require.NoError(t, do(t.Context(), db))
			c.cut(false)
			ended := make(chan error, 1)
			go func() { ended <- do(t.Context(), db) }()
			select {
			case err := <-ended:
				if err != nil { // otherwise the dead connection was replaced before its use
					assert.True(t, store.Away(err), "%v", err)
				}
			case <-time.After(60 * time.Second):
				t.Error("it waits for a silent server")
				c.drop()
				<-ended
			}
			require.NoError(t, do(t.Context(), db))
		})
	}
}

// takeover limits the time until another relay works.
const takeover = 30 * time.Second

func lostHost(t *testing.T, h Harness) {
	address := h.URL(t)
	db := reopen(t, address)
	if db.Read().Dialect().Name().String() != "pg" {
		t.Skip("there is no connection to lose")
	}
	lost, connection := through(t, address)
	a, b := newRecorder(), newRecorder()
	relay(t, lost, a)
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 1) })
	a.wait(t, 1)
	relay(t, db, b)
	connection.cut(true)
	began := time.Now()
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 2) })
	wait.Until(t, "the other relay sends", func() bool { return len(firsts(b.versions(t, "s"))) > 0 })
	assert.Less(t, time.Since(began), takeover)
	t.Logf("taken over after %s", time.Since(began))
}

func deadConnections(t *testing.T, h Harness) {
	address := h.URL(t)
	db := reopen(t, address)
	if db.Read().Dialect().Name().String() != "pg" {
		t.Skip("there is no connection to lose")
	}
	lost, connection := through(t, address)
	a := newRecorder()
	relay(t, lost, a)
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 1) })
	a.wait(t, 1)
	connection.cut(false)
	began := time.Now()
	unit(t, db, func(_ context.Context, tx *store.Tx) error { return emit(tx, "s", 2) })
	wait.Until(t, "the relay sends again", func() bool { return len(firsts(a.versions(t, "s"))) == 2 })
	assert.Less(t, time.Since(began), takeover)
	t.Logf("the relay sends again after %s", time.Since(began))
}

func connectionsRunOut(t *testing.T, h Harness) {
	address := h.URL(t)
	db := reopen(t, address)
	if db.Read().Dialect().Name().String() != "pg" {
		t.Skip("there are no connections to run out of")
	}
	role := "few_" + strings.ToLower(events.NewID()[24:])
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD 'few' CONNECTION LIMIT 1",
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO " + role,
	} {
		_, err := db.Read().ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := db.Read().ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		assert.NoError(t, err)
	})
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "few")
	first, err := store.Open(t.Context(), "tester", u.String())
	require.NoError(t, err)
	defer func() { assert.NoError(t, first.Close()) }()
	check := func(err error) {
		t.Helper()
		f, ok := errors.AsType[*fault.Fault](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, "too_many_connections", f.Code)
		assert.Contains(t, f.Detail, "too many connections")
		assert.Contains(t, f.Hint, "--database-connections")
		assert.True(t, store.Refuses(err))
	}
	_, err = store.Open(t.Context(), "tester", u.String())
	check(err)
	err = first.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "SELECT 1") // uses the only connection
		require.NoError(t, err)
		return first.Ping(t.Context())
	})
	check(err)
}
