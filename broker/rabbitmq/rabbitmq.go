// Package rabbitmq implements the broker on RabbitMQ 4.
//
// A Broker has two connections, one to publish and one to consume, because an alarm of the server blocks publishing
// connections. A connector replaces each connection that ends, and nothing outlives a connection but its connector.
// Deliveries belong to their connection: after a reconnect the same delivery tag means another message. The recovery
// of the client library reuses channels and confuses the two, so it stays off.
//
// Publishes are pipelined in a window of unconfirmed messages. Services need no right to configure: an administrator
// runs Declare, and deploy/rabbitmq-definitions.json lists the rights of each service's user.
package rabbitmq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/fault"
)

// Config configures a Broker. All fields but the URL have defaults.
type Config struct {
	URL     string       // amqp://user:password@host:port/vhost, or amqps; comma-separated for the nodes of a cluster
	Name    string       // of the connections, as the server lists them
	Prefix  string       // of the names of exchanges and queues; stega
	Log     *slog.Logger // default: no log
	TLS     *tls.Config  // for amqps; default: the system's certificates
	Patient bool         // keep connecting when the server is unreachable at first, instead of an error

	Window         int           // most unconfirmed messages; 4096
	WindowBytes    int64         // most unconfirmed bytes; 16 MiB
	ConfirmTimeout time.Duration // after which an unconfirmed message counts as unknown; 30 s
	DialTimeout    time.Duration // of one attempt to connect; 10 s
	Heartbeat      time.Duration // a connection ends after three unanswered ones; 10 s
	CloseTimeout   time.Duration // how long Close waits for confirmations; 2 s
	MaxBackoff     time.Duration // the longest pause between attempts; 5 s
	DeclareTimeout time.Duration // how long Declare retries temporary refusals; 60 s
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Name == "" {
		c.Name = "stega"
	}
	if c.Prefix == "" {
		c.Prefix = "stega"
	}
	c.Window = cmp.Or(max(c.Window, 0), 4096)
	c.WindowBytes = cmp.Or(max(c.WindowBytes, 0), 16<<20)
	c.ConfirmTimeout = cmp.Or(max(c.ConfirmTimeout, 0), 30*time.Second)
	c.DialTimeout = cmp.Or(max(c.DialTimeout, 0), 10*time.Second)
	c.Heartbeat = cmp.Or(max(c.Heartbeat, 0), 10*time.Second)
	c.CloseTimeout = cmp.Or(max(c.CloseTimeout, 0), 2*time.Second)
	c.MaxBackoff = cmp.Or(max(c.MaxBackoff, 0), 5*time.Second)
	c.DeclareTimeout = cmp.Or(max(c.DeclareTimeout, 0), time.Minute)
	return c
}

// backoffBase is the first delay between attempts.
const backoffBase = 50 * time.Millisecond

// Broker is a connection to RabbitMQ.
type Broker struct {
	cfg      Config
	urls     []*url.URL
	redacted string // the URLs without passwords
	log      *slog.Logger
	out      *connector // the connection that publishes
	in       *connector // the connection that consumes and declares
	pub      *publisher
	names    names
	depths   depths
	declared topics // topics that this process declared
	refused  refused
	bindings bindings
	subs     sync.Map // running subscriptions

	open    context.Context // ends with Close: nothing new starts
	close   context.CancelFunc
	life    context.Context // ends after the work in flight had its time: connections close
	end     context.CancelFunc
	running sync.WaitGroup
	once    sync.Once

	starting sync.Mutex // held while something starts; delays Close
}

var _ broker.Broker = (*Broker)(nil)

// Open connects to the server. If the server is unreachable or refuses the user, the error is a fault with a hint.
// With Patient, an unreachable server is retried in the background, and State reports the last error.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	urls, err := addresses(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	b := &Broker{cfg: cfg, urls: urls, redacted: redacted(urls), log: cfg.Log, names: names{cfg.Prefix}}
	b.bindings.b = b
	b.open, b.close = context.WithCancel(context.Background())
	b.life, b.end = context.WithCancel(context.Background())
	b.out, b.in = newConnector(b, "publish"), newConnector(b, "consume")
	b.pub = newPublisher(b)

	var first [2]*connection
	for i, l := range []*connector{b.out, b.in} {
		if first[i], err = l.dial(ctx); err != nil {
			f := b.unreachable(err)
			if cfg.Patient && f.Code == unreachable && ctx.Err() == nil {
				b.log.Warn("the broker is unreachable, retrying", "broker", b.redacted, "error", err)
				break
			}
			if first[0] != nil {
				_ = first[0].Close()
			}
			b.close()
			b.end()
			return nil, f
		}
	}
	b.running.Go(func() { b.out.run(first[0]) })
	b.running.Go(func() { b.in.run(first[1]) })
	b.running.Go(b.pub.run)
	b.running.Go(b.pub.outcomes.run)
	return b, nil
}

// unreachable is the fault code of a broker that may be reachable later.
const unreachable = "broker_unreachable"

// unreachable returns the fault of a failed connection.
func (b *Broker) unreachable(err error) *fault.Fault {
	const point = "point --broker-url or STEGA_BROKER_URL at yours"
	var refusal *amqp.Error
	errors.As(err, &refusal)
	switch {
	case errors.Is(err, amqp.ErrCredentials), errors.Is(err, amqp.ErrSASL):
		return fault.Unavailable("broker_refused", "the broker at %s refuses the user or the password", b.redacted).
			WithHint("check both in --broker-url or STEGA_BROKER_URL; " +
				"stega migrate and the definitions file create a user for each service").
			Because(err)
	case errors.Is(err, amqp.ErrVhost), refusal != nil &&
		(refusal.Code == amqp.NotAllowed || refusal.Code == amqp.AccessRefused):
		return fault.Unavailable("broker_refused",
			"the broker at %s has no such virtual host, or the user lacks access to it", b.redacted).
			WithHint("create it with: rabbitmqctl add_vhost NAME, or %s", point).Because(err)
	}
	return fault.Unavailable(unreachable, "the broker at %s cannot be reached", b.redacted).
		WithHint("start one with: docker compose up rabbitmq, or %s", point).Because(err)
}

// State implements broker.Broker.
func (b *Broker) State() broker.State {
	out, in := b.out.state(), b.in.state()
	s := broker.State{Connected: out.Connected && in.Connected, Blocked: out.Blocked}
	if s.Err = out.Err; s.Err == nil {
		s.Err = in.Err
	}
	if s.Err == nil {
		s.Err = b.pub.lastError()
	}
	return s
}

// Close implements broker.Broker. It waits up to Config.CloseTimeout for confirmations, and until every done function
// has returned. So a done function must not call it.
func (b *Broker) Close() error {
	b.once.Do(func() {
		b.starting.Lock()
		b.close()
		b.starting.Unlock()
		b.subs.Range(func(s, _ any) bool {
			s.(*subscription).sendAcks()
			return true
		})
		if s := b.out.state(); s.Connected && s.Blocked == "" {
			b.pub.settle(b.cfg.CloseTimeout)
		}
		b.end()
	})
	b.running.Wait()
	b.bindings.end()
	return nil
}

// untilClosed returns a context that ends with ctx or when the broker closes.
func (b *Broker) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.open, func() { cancel(broker.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
