// Package rabbitmq is the broker on RabbitMQ 4. A session is a connection with its channels; what was delivered or is not confirmed belongs to
// its session, so that nothing that came before a reconnect can be mistaken for what came after. There is one connection to
// publish and one to consume, since an alarm blocks publishers alone. The library's own recovery is not used.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/fault"
)

// Config says where the broker is and how to speak to it; zero values mean the defaults.
type Config struct {
	URL     string // amqp://user:password@host:5672/vhost
	Name    string // of the connections, for operators
	Log     *slog.Logger
	Patient bool // do not fail when the broker is not there at the start: keep trying

	Window         int           // messages that are not confirmed yet, 4096
	ConfirmTimeout time.Duration // after which a confirmation counts as lost, 30 s
	DialTimeout    time.Duration // 5 s
	RetryMax       time.Duration // the longest pause between two tries to connect, 5 s
}

// Broker is a connection to RabbitMQ that mends itself.
type Broker struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	window chan struct{}

	publish *link
	consume *link

	mu        sync.Mutex
	unsettled map[string]int // deliveries by queue that this process holds
}

var _ broker.Broker = (*Broker)(nil)

// Open connects.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	def(&cfg.Window, 4096)
	def(&cfg.ConfirmTimeout, 30*time.Second)
	def(&cfg.DialTimeout, 5*time.Second)
	def(&cfg.RetryMax, 5*time.Second)
	def(&cfg.Name, "stega")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := amqp.ParseURI(cfg.URL); err != nil {
		return nil, fault.Usage("broker_url_invalid", "the broker's URL cannot be read").WithHint("it looks like amqp://user:password@host:5672/vhost")
	}
	b := &Broker{cfg: cfg, window: make(chan struct{}, cfg.Window), unsettled: map[string]int{}}
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.publish = b.link("publish")
	b.consume = b.link("consume")
	for _, l := range []*link{b.publish, b.consume} {
		if err := l.start(ctx); err != nil {
			_ = b.Close()
			return nil, err
		}
	}
	return b, nil
}

func def[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

// State says how the connections are.
func (b *Broker) State() broker.State {
	p, c := b.publish.state(), b.consume.state()
	s := broker.State{Connected: p.Connected && c.Connected, Blocked: p.Blocked, Err: p.Err}
	if s.Err == nil {
		s.Err = c.Err
	}
	return s
}

// Close ends all consumers and the connections; unsettled deliveries come again later.
func (b *Broker) Close() error {
	b.cancel()
	b.publish.shut()
	b.consume.shut()
	b.tasks.Wait()
	return nil
}

// link keeps one connection up.
type link struct {
	b    *Broker
	name string

	mu      sync.Mutex
	current *session
	changed chan struct{} // closed when current or blocked changes
	blocked string
	err     error
}

// session is one connection, as long as it lives.
type session struct {
	conn *amqp.Connection
	done chan struct{} // closed when the connection has ended
	out  *publisher    // of the connection that publishes
}

func (b *Broker) link(name string) *link {
	return &link{b: b, name: name, changed: make(chan struct{})}
}

// start connects, and from then on keeps connected.
func (l *link) start(ctx context.Context) error {
	err := l.connect(ctx)
	if err != nil && !l.b.cfg.Patient {
		return unreachable(l.b.cfg.URL, err)
	}
	l.b.tasks.Go(l.keep)
	return nil
}

func unreachable(where string, err error) error {
	shown := "the broker"
	if u, e := url.Parse(where); e == nil {
		shown = u.Redacted()
	}
	f := fault.Unavailable("broker_unavailable", "RabbitMQ at %s does not answer", shown).
		WithHint("start one with: docker compose up -d rabbitmq; or say where it is with --broker-url or STEGA_BROKER_URL")
	if e, ok := errors.AsType[*amqp.Error](err); ok && (e.Code == amqp.AccessRefused || e.Code == amqp.NotAllowed) {
		f = fault.Unavailable("broker_refused", "RabbitMQ at %s does not let us in", shown).
			WithHint("check user, password and virtual host in --broker-url or STEGA_BROKER_URL")
	}
	return f.Because(err)
}

func (l *link) connect(ctx context.Context) error {
	cfg := l.b.cfg
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.Name + " " + l.name)
	conn, err := amqp.DialConfig(cfg.URL, amqp.Config{
		Heartbeat: 10 * time.Second, Locale: "en_US", Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: cfg.DialTimeout}
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return c, c.SetDeadline(time.Now().Add(cfg.DialTimeout)) // for the handshake; the library clears it
		},
	})
	if err != nil {
		l.failed(err)
		return err
	}
	s := &session{conn: conn, done: make(chan struct{})}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	if l.name == "publish" {
		if s.out, err = newPublisher(s, cfg); err != nil {
			_ = conn.Close()
			l.failed(err)
			return err
		}
	}
	l.b.tasks.Go(func() {
		for blocked != nil || closed != nil {
			select {
			case e, ok := <-closed:
				if ok && e != nil {
					l.failed(e)
				}
				closed = nil
			case e, ok := <-blocked:
				if !ok {
					blocked = nil
					continue
				}
				reason := ""
				if e.Active {
					reason = e.Reason
					cfg.Log.Warn("the broker takes no messages at present", "reason", reason)
				}
				l.mu.Lock()
				l.blocked = reason
				l.notify()
				l.mu.Unlock()
			}
		}
		close(s.done)
		if s.out != nil {
			s.out.end()
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.err, l.blocked = s, nil, ""
	l.notify()
	return nil
}

func (l *link) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// notify wakes those who wait for a change. The lock is held.
func (l *link) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// keep connects again whenever the connection has ended.
func (l *link) keep() {
	pause := 20 * time.Millisecond
	for {
		l.mu.Lock()
		s := l.current
		l.mu.Unlock()
		if s != nil {
			select {
			case <-s.done:
			case <-l.b.ctx.Done():
				return
			}
			l.mu.Lock()
			l.current = nil
			l.notify()
			l.mu.Unlock()
			l.b.cfg.Log.Info("the connection to the broker has ended", "connection", l.name)
		}
		if err := l.connect(l.b.ctx); err == nil {
			pause = 20 * time.Millisecond
			l.b.cfg.Log.Info("connected to the broker", "connection", l.name)
			continue
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // not a secret
		case <-l.b.ctx.Done():
			return
		}
		pause = min(2*pause, l.b.cfg.RetryMax)
	}
}

// get waits for a session; one to publish also until the broker takes messages.
func (l *link) get(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, changed, blocked := l.current, l.changed, l.blocked
		l.mu.Unlock()
		if l.b.ctx.Err() != nil {
			return nil, broker.ErrClosed
		}
		if s != nil && blocked == "" {
			select {
			case <-s.done:
			default:
				return s, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.b.ctx.Done():
			return nil, broker.ErrClosed
		}
	}
}

func (l *link) state() broker.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := broker.State{Connected: l.current != nil, Blocked: l.blocked, Err: l.err}
	if l.b.ctx.Err() != nil {
		s = broker.State{Err: broker.ErrClosed}
	}
	if s.Connected {
		s.Err = nil
	}
	return s
}

// shut ends the connection.
func (l *link) shut() {
	l.mu.Lock()
	s := l.current
	l.mu.Unlock()
	if s != nil {
		_ = s.conn.CloseDeadline(time.Now().Add(2 * time.Second))
	}
}

// channel runs fn on a channel of its own.
func (l *link) channel(ctx context.Context, fn func(ch *amqp.Channel) error) error {
	s, err := l.get(ctx)
	if err != nil {
		return err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	defer func() { _ = ch.Close() }()
	return fn(ch)
}
