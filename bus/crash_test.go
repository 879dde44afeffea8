package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/broker/embedded"
	"stega/broker/rabbitmq"
	"stega/bus"
	"stega/events"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/store"
)

// What the process that crashes is told of: it is this test's binary.
const (
	crashBroker   = "STEGA_TEST_CRASH_BROKER"
	crashDatabase = "STEGA_TEST_CRASH_DATABASE"
	crashMessages = "STEGA_TEST_CRASH_MESSAGES"
	crashService  = "crasher"
	poison        = 3 // the version of subject 3 that ends its process
	crashSubjects = 8
	crashEach     = 5
)

// TestOneMessageThatKillsItsProcess delivers 40 messages to a consumer that one of them ends, as often as it begins
// again.
func TestOneMessageThatKillsItsProcess(t *testing.T) {
	if os.Getenv(crashBroker) != "" {
		t.Skip("this is the process that crashes")
	}
	url := servers.RabbitMQ(t).URL()
	b := rabbitAt(t, url)
	db := crashes(t, url, crashSubjects*crashEach, func(*store.DB) {
		require.NoError(t, b.Declare(t.Context(), crashTopology()))
		for v := range int64(crashEach) {
			for s := range crashSubjects {
				e := crashEvent(s, v)
				data, err := json.Marshal(e)
				require.NoError(t, err)
				id := events.NewID()
				taken := make(chan error, 1)
				require.NoError(t,
					b.Publish(t.Context(), broker.Outgoing{Message: events.Message{Envelope: events.Envelope{
						ID:          id,
						Source:      "stega/test",
						Type:        e.Topic(),
						Subject:     e.Subject(),
						Time:        time.Now().UTC(),
						Correlation: id,
						Sequence:    v + 1,
						ContentType: "application/json",
					}, Data: data}}, func(err error) { taken <- err }))
				require.NoError(t, <-taken)
			}
		}
	})
	oneCulprit(t, db)
	n, err := b.Depth(t.Context(), crashService, broker.Dead)
	require.NoError(t, err)
	assert.Zero(t, n)
}

// TestOneMessageThatKillsItsProcessWithTheBrokerInIt is the same where the broker ends with its process and its
// queues with it.
func TestOneMessageThatKillsItsProcessWithTheBrokerInIt(t *testing.T) {
	db := crashes(t, embeddedScheme+filepath.Join(t.TempDir(), "broker"), crashSubjects*crashEach, func(db *store.DB) {
		for v := range int64(crashEach) {
			for s := range crashSubjects {
				require.NoError(t, db.Do(t.Context(), func(_ context.Context,
					tx *store.Tx) error {
					return tx.Emit(crashEvent(s, v))
				}))
			}
		}
	})
	oneCulprit(t, db)
}

// TestAParkedMessageThatKillsItsProcess parks a message whose retries end their process.
func TestAParkedMessageThatKillsItsProcess(t *testing.T) {
	db := crashes(t, embeddedScheme+filepath.Join(t.TempDir(), "broker"), crashEach+1, func(db *store.DB) {
		for v := range int64(crashEach) {
			e := events.PortfolioReturnsUpdated{PortfolioID: "parked", Version: v + 1}
			require.NoError(t, db.Do(t.Context(), func(_ context.Context, tx *store.Tx) error { return tx.Emit(e) }))
		}
		require.NoError(t, db.Do(t.Context(), func(_ context.Context,
			tx *store.Tx) error {
			return tx.Emit(crashEvent(0, 0))
		}))
	})
	m := culprit(t, db)
	assert.Equal(t, int64(poison), m.Message.Sequence)
	assert.Equal(t, crashAttempts, m.Attempts)
	assert.Contains(t, m.LastError, "it is not ready to be handled", "the failure before")
	assert.Equal(t, []int64{1, 2, 4, 5}, effects(t, db, "parked"))
	assert.Equal(t, []int64{1}, effects(t, db, "s0"))
}

const (
	embeddedScheme = "embedded:"
	crashAttempts  = 5
)

func crashTopology() broker.Topology {
	return broker.Topology{Services: []broker.ServiceTopology{{Service: crashService,
		Topics: []string{events.PortfolioReturnsUpdated{}.Topic()}}}}
}

func crashEvent(subject int, before int64) events.PortfolioReturnsUpdated {
	return events.PortfolioReturnsUpdated{PortfolioID: fmt.Sprint("s", subject), Version: before + 1}
}

// crashes starts a process that one message ends until that message is dead and all others took effect.
func crashes(t *testing.T, url string, messages int, send func(db *store.DB)) *store.DB {
	database := "sqlite://" + filepath.Join(t.TempDir(), "crasher.db")
	db := opened(t, crashService, database)
	crashing(t, db)
	send(db)
	crashes := 0
	for survived := false; !survived; {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestTheProcessThatCrashes$")
		child.Env = append(os.Environ(), crashBroker+"="+url, crashDatabase+"="+database,
			fmt.Sprintf("%s=%d", crashMessages, messages))
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			survived = true
		case errors.As(err, &exit) && exit.ExitCode() == 3:
			crashes++
			require.Less(t, crashes, 25, "it crashes for ever")
		default:
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Logf("it crashed %d times", crashes)
	return db
}

// culprit is the only message that is parked or dead.
func culprit(t *testing.T, db *store.DB) store.ParkedMessage {
	t.Helper()
	letters, err := db.DeadLetters(t.Context(), "", 100, 0)
	require.NoError(t, err)
	require.Len(t, letters, 1, "the culprit alone")
	m := letters[0]
	assert.Equal(t, store.Dead, m.State)
	assert.Equal(t, "h", m.Handler)
	assert.Contains(t, m.LastError, "its consumer ended")
	return m
}

func effects(t *testing.T, db *store.DB, subject string) (versions []int64) {
	t.Helper()
	require.NoError(t, db.Read().NewRaw("SELECT version FROM effects WHERE subject = ? ORDER BY rowid",
		subject).Scan(t.Context(), &versions))
	return versions
}

// oneCulprit checks that only the poisonous message is dead and that the others took effect.
func oneCulprit(t *testing.T, db *store.DB) {
	t.Helper()
	m := culprit(t, db)
	assert.Equal(t, "s3", m.Message.Subject)
	assert.Equal(t, int64(poison), m.Message.Sequence)
	for s := range crashSubjects {
		want := []int64{1, 2, 3, 4, 5}
		if s == 3 {
			want = []int64{1, 2, 4, 5}
		}
		assert.Equal(t, want, effects(t, db, fmt.Sprint("s", s)), "subject %d", s)
	}
}

// crashing makes the service whose handler ends its process.
func crashing(t testing.TB, db *store.DB) *bus.Dispatcher {
	_, err := db.Read().ExecContext(t.Context(), "SELECT 1")
	require.NoError(t, err)
	require.NoError(t, db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS effects (subject TEXT, version BIGINT)")
		return err
	}))
	d := bus.NewDispatcher(crashService)
	bus.Handle(d, func(ctx context.Context, tx *store.Tx, m events.PortfolioReturnsUpdated) error {
		if m.PortfolioID == "s3" && m.Version == poison {
			os.Exit(3)
		}
		if m.PortfolioID == "parked" && m.Version == poison {
			var parked int
			if err := db.Read().NewRaw("SELECT count(*) FROM parked WHERE sequence = ?", m.Version).Scan(ctx,
				&parked); err != nil {
				return err
			}
			if parked > 0 {
				os.Exit(3)
			}
			return errors.New("it is not ready to be handled")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?, ?)", m.PortfolioID, m.Version)
		return err
	}, bus.Name("h"))
	require.NoError(t, d.Seal())
	return d
}

// TestTheProcessThatCrashes is a consumer that ends when everything has settled, if it survives until then.
func TestTheProcessThatCrashes(t *testing.T) {
	if os.Getenv(crashBroker) == "" {
		t.Skip("TestOneMessageThatKillsItsProcess begins it")
	}
	db, err := store.Open(t.Context(), crashService, os.Getenv(crashDatabase))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	d := crashing(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var b broker.Broker
	if dir, ok := strings.CutPrefix(os.Getenv(crashBroker), embeddedScheme); ok {
		b, err = embedded.Open(t.Context(), dir, log)
		require.NoError(t, err)
		require.NoError(t, b.Declare(t.Context(), crashTopology()))
		var relay sync.WaitGroup
		relay.Go(func() { _ = (&store.Relay{DB: db, Broker: b, Log: log}).Run(ctx, func() {}) })
		defer relay.Wait()
		defer cancel()
	} else {
		b, err = rabbitmq.Open(t.Context(),
			rabbitmq.Config{URL: os.Getenv(crashBroker), Name: "crasher", Patient: true})
		require.NoError(t, err)
	}
	defer func() { _ = b.Close() }()
	done := make(chan error, 1)
	c := &bus.Consumer{
		Dispatcher: d, DB: db, Broker: b, Log: log, Options: bus.ConsumerOptions{
			RetryBase: 50 * time.Millisecond, RetryMax: 200 * time.Millisecond, MaxAttempts: crashAttempts,
		},
	}
	ready := make(chan struct{})
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	<-ready
	wait.Until(t, "everything has settled", func() bool {
		var effects, parked, dead int
		err := db.Read().NewRaw(`SELECT (SELECT count(*) FROM effects), (SELECT count(*) FROM parked
			WHERE state <> 'dead'),
			(SELECT count(*) FROM parked WHERE state = 'dead')`).Scan(t.Context(), &effects, &parked, &dead)
		return err == nil && parked == 0 && strconv.Itoa(effects+dead) == os.Getenv(crashMessages)
	})
	cancel()
	require.NoError(t, <-done)
}
