// Package rabbitmq is the broker on RabbitMQ 4.
//
// A Broker holds two connections, one to publish and one to consume, as an alarm of the server stops those that
// publish. Each mends itself: a session is a connection with its channels, and nothing outlives it but the wish to
// have another one. Deliveries belong to their session, for after a reconnect the same delivery tag is another
// message; the recovery of the client library, which reuses channels and so confuses the two, stays off.
//
// Publishes are pipelined in a window of unconfirmed messages. Services need no right to configure: Declare is run by
// an administrator, and deploy/rabbitmq-definitions.json says what a service's own user may do.
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

// Config says how to reach the server. All but the URL have defaults.
type Config struct {
	URL     string       // amqp://user:password@host:port/vhost, or amqps; several by commas, for the nodes of a cluster
	Name    string       // of the connections, as the server lists them
	Prefix  string       // of the names of exchanges and queues; stega
	Log     *slog.Logger // nothing is logged without
	TLS     *tls.Config  // for amqps; the system's certificates without
	Patient bool         // do not fail when the server cannot be reached at first, but keep trying

	Window         int           // unconfirmed messages at most; 4096
	WindowBytes    int64         // and their bytes; 16 MiB
	ConfirmTimeout time.Duration // after which an unconfirmed message counts as unknown; 30 s
	DialTimeout    time.Duration // of one attempt to connect; 10 s
	Heartbeat      time.Duration // after three without an answer a connection is dead; 10 s
	CloseTimeout   time.Duration // how long Close waits for confirmations; 2 s
	MaxBackoff     time.Duration // the longest pause between attempts; 5 s
	DeclareTimeout time.Duration // how long Declare tries again what the server refuses in passing; 60 s
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

// backoffBase is the first delay between tries.
const backoffBase = 50 * time.Millisecond

// Broker is a connection to RabbitMQ.
type Broker struct {
	cfg      Config
	urls     []*url.URL
	shown    string // the URLs without their passwords
	log      *slog.Logger
	out      *link // the connection that publishes
	in       *link // the connection that consumes and declares
	pub      *publisher
	names    names
	depths   depths
	known    topics // that this process declared
	refused  refused
	bindings bindings
	subs     sync.Map // subscriptions that run

	open    context.Context // ends with Close: nothing new is begun
	close   context.CancelFunc
	life    context.Context // ends when what was begun had its time: connections close
	end     context.CancelFunc
	running sync.WaitGroup
	once    sync.Once

	starting sync.Mutex // holds Close up while something is being started
}

var _ broker.Broker = (*Broker)(nil)

// Open connects to the server. When it cannot be reached, or refuses the user, the error is a fault that says what to
// do; a patient one keeps trying in the background instead, and State says how it goes.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	urls, err := addresses(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	b := &Broker{cfg: cfg, urls: urls, shown: shown(urls), log: cfg.Log, names: names{cfg.Prefix}}
	b.bindings.b = b
	b.open, b.close = context.WithCancel(context.Background())
	b.life, b.end = context.WithCancel(context.Background())
	b.out, b.in = newLink(b, "publish"), newLink(b, "consume")
	b.pub = newPublisher(b)

	var first [2]*connection
	for i, l := range []*link{b.out, b.in} {
		if first[i], err = l.dial(ctx); err != nil {
			f := b.unreachable(err)
			if cfg.Patient && f.Code == unreachable && ctx.Err() == nil {
				b.log.Warn("the broker cannot be reached yet, trying on", "broker", b.shown, "error", err)
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
	b.running.Go(b.pub.answers.run)
	return b, nil
}

// unreachable is the code of the fault of a broker that may be there later.
const unreachable = "broker_unreachable"

// unreachable is the fault of a connection that does not come about.
func (b *Broker) unreachable(err error) *fault.Fault {
	const point = "point --broker-url or STEGA_BROKER_URL at yours"
	var refusal *amqp.Error
	errors.As(err, &refusal)
	switch {
	case errors.Is(err, amqp.ErrCredentials), errors.Is(err, amqp.ErrSASL):
		return fault.Unavailable("broker_refused", "the broker at %s refuses the user or the password", b.shown).
			WithHint("check both in --broker-url or STEGA_BROKER_URL; stega migrate and the definitions file make a user for each service").
			Because(err)
	case errors.Is(err, amqp.ErrVhost), refusal != nil &&
		(refusal.Code == amqp.NotAllowed || refusal.Code == amqp.AccessRefused):
		return fault.Unavailable("broker_refused",
			"the broker at %s has no such virtual host, or not for this user", b.shown).
			WithHint("make it with: rabbitmqctl add_vhost NAME, or %s", point).Because(err)
	}
	return fault.Unavailable(unreachable, "the broker at %s cannot be reached", b.shown).
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
		s.Err = b.pub.trouble()
	}
	return s
}

// Close implements broker.Broker. It waits a moment for the confirmations of what is on its way, and until
// every done function has returned; so it must not be called from one.
func (b *Broker) Close() error {
	b.once.Do(func() {
		b.starting.Lock()
		b.close()
		b.starting.Unlock()
		b.subs.Range(func(s, _ any) bool {
			s.(*subscription).hurry()
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

// either is done when ctx is or the broker closes.
func (b *Broker) either(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.open, func() { cancel(broker.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
