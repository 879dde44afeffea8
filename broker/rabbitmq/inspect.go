package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	amqp10 "github.com/Azure/go-amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/fault"
)

var _ broker.Inspector = (*Broker)(nil)

// Inspect implements broker.Inspector. Exchanges and queues are declared passively, which needs no permission. AMQP
// 0-9-1 cannot list bindings. AMQP 1.0, on the same port, can, for any user of the virtual host.
func (b *Broker) Inspect(ctx context.Context, t broker.Topology) ([]broker.Lack, error) {
	if b.open.Err() != nil {
		return nil, broker.ErrClosed
	}
	ctx, cancel := b.untilClosed(ctx)
	defer cancel()
	conn, err := b.in.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("inspect the topology: %w", err)
	}
	lacks, err := b.passive(ctx, conn, t)
	if err != nil {
		return nil, fmt.Errorf("inspect the topology: %w", err)
	}
	missing := map[string]bool{}
	for _, l := range lacks {
		missing[l.Part] = true
	}
	for _, l := range b.refused.all() {
		if !missing[l.Part] {
			missing[l.Part] = true
			lacks = append(lacks, l)
		}
	}
	_, _, bindings := layout(b.names, t)
	bound, err := b.bindings.missing(ctx, conn.url, bindings)
	switch {
	case err == nil:
		b.bindings.failed = ""
	case ctx.Err() != nil:
		return nil, fmt.Errorf("inspect the bindings: %w", err)
	case b.bindings.failed != err.Error():
		b.bindings.failed = err.Error()
		b.log.Warn("cannot list the bindings: a missing one stays unnoticed", "error", err)
	}
	for _, d := range bound {
		if missing["queue "+d.Queue] || missing["exchange "+d.Exchange] {
			continue // it has no bindings
		}
		f := fault.Unavailable("binding_missing", "the broker's queue %s is not bound to %s of %s", d.Queue, d.Key,
			d.Exchange).
			WithHint("bind it with: stega migrate")
		lacks = append(lacks, broker.Lack{Part: "binding of " + d.Queue + " to " + d.Key,
			Service: b.names.service(d.Queue), Err: f})
	}
	return lacks, nil
}

// passive returns the missing exchanges and queues.
func (b *Broker) passive(ctx context.Context, conn *connection, t broker.Topology) (lacks []broker.Lack, err error) {
	exchanges, queues, _ := layout(b.names, t)
	var ch *amqp.Channel
	defer func() {
		if ch != nil {
			_ = ch.Close()
		}
	}()
	look := func(part, service string, declare func() error, missing func(error) *fault.Fault) error {
		if ch == nil || ch.IsClosed() { // an error closes it
			if ch, err = conn.Channel(); err != nil {
				return fmt.Errorf("open a channel: %w", err)
			}
		}
		err := declare()
		if err == nil {
			return nil
		}
		f := missing(err)
		if f == nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		lacks = append(lacks, broker.Lack{Part: part, Service: service, Err: f})
		return ctx.Err()
	}
	for _, e := range exchanges {
		err := look("exchange "+e.Name, "", func() error {
			return ch.ExchangeDeclarePassive(e.Name, e.Kind, e.Durable, false, false, false, nil)
		}, func(err error) *fault.Fault { return exchangeFault(e.Name, err) })
		if err != nil {
			return nil, err
		}
	}
	for _, q := range queues {
		err := look("queue "+q.Name, b.names.service(q.Name), func() error {
			_, err := ch.QueueDeclarePassive(q.Name, q.Durable, false, false, false, nil)
			return err
		}, func(err error) *fault.Fault { return queueFault(q.Name, err) })
		if err != nil {
			return nil, err
		}
	}
	return lacks, nil
}

// service returns the service of a queue; empty for the log.
func (n names) service(queue string) string {
	rest, _ := strings.CutPrefix(queue, n.prefix+".")
	service, _, found := strings.Cut(rest, ".")
	if !found {
		return ""
	}
	return service
}

// exchangeFault returns the fault of an unusable exchange, or nil for another error.
func exchangeFault(exchange string, err error) *fault.Fault {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return nil
	}
	switch e.Code {
	case amqp.NotFound:
		return fault.Unavailable("exchange_missing", "the broker has no exchange %s", exchange).
			WithHint("make it with: stega migrate").Because(err)
	case amqp.AccessRefused:
		return fault.Unavailable("publish_forbidden", "the broker's user may not publish to %s", exchange).
			WithHint("give the user the permissions of its service: see deploy/rabbitmq-definitions.json").Because(err)
	case amqp.PreconditionFailed:
		return fault.Unavailable("exchange_unusable", "the broker's exchange %s cannot be used as it is", exchange).
			WithHint("delete it, then run: stega migrate").Because(err)
	}
	return nil
}

// refused holds the parts that the server refuses to this process, until it allows them again.
type refused struct {
	mu sync.Mutex
	of map[string]broker.Lack // by part
}

func (r *refused) set(l broker.Lack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string]broker.Lack{}
	}
	r.of[l.Part] = l
}

func (r *refused) clear(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, part)
}

func (r *refused) all() []broker.Lack {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.of), func(a, b broker.Lack) int { return cmp.Compare(a.Part, b.Part) })
}

// bindings lists bindings over AMQP 1.0, on a separate, persistent connection.
type bindings struct {
	b *Broker

	mu     sync.Mutex
	conn   *amqp10.Conn
	to     *amqp10.Sender
	from   *amqp10.Receiver
	count  uint64
	failed string // last logged error
}

// management is the server's node for requests; managementTries limits the attempts of one request.
const (
	management      = "/management"
	managementTries = 3
)

// missing returns the bindings of want that the server lacks.
func (l *bindings) missing(ctx context.Context, server *url.URL, want []binding) (missing []binding, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, l.b.cfg.DialTimeout)
	defer cancel()
	for _, d := range want {
		var n int
		// The first request may overtake the credit for its answer, and an idle connection may have ended.
		for try := 1; ; try++ {
			if n, err = l.look(ctx, server, d); err == nil {
				break
			}
			l.close()
			if try == managementTries || ctx.Err() != nil {
				return nil, err
			}
		}
		if n == 0 {
			missing = append(missing, d)
		}
	}
	return missing, nil
}

// look returns the number of bindings that match.
func (l *bindings) look(ctx context.Context, server *url.URL, d binding) (int, error) {
	if l.conn == nil {
		if err := l.dial(ctx, server); err != nil {
			return 0, err
		}
	}
	l.count++
	query := url.Values{"src": {d.Exchange}, "dstq": {d.Queue}, "key": {d.Key}}
	path, verb, reply := "/bindings?"+query.Encode(), "GET", "$me"
	err := l.to.Send(ctx, &amqp10.Message{
		Properties: &amqp10.MessageProperties{MessageID: l.count, To: &path, Subject: &verb, ReplyTo: &reply},
		Value:      amqp10.Null{},
	}, nil)
	if err != nil {
		return 0, fmt.Errorf("query a binding: %w", err)
	}
	m, err := l.from.Receive(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("query a binding: %w", err)
	}
	if m.Properties == nil || m.Properties.CorrelationID != l.count || m.Properties.Subject == nil ||
		*m.Properties.Subject != "200" {
		return 0, fmt.Errorf("query a binding: unexpected answer: %v", m.Properties)
	}
	found, ok := m.Value.([]any)
	if !ok {
		return 0, fmt.Errorf("query a binding: the answer is a %T", m.Value)
	}
	return len(found), nil
}

func (l *bindings) dial(ctx context.Context, server *url.URL) (err error) {
	user, password := "guest", "guest"
	if server.User != nil {
		user = server.User.Username()
		password, _ = server.User.Password()
	}
	vhost := "/"
	if len(server.Path) > 1 {
		vhost = server.Path[1:]
	}
	address := url.URL{Scheme: server.Scheme, Host: server.Host}
	l.conn, err = amqp10.Dial(ctx, address.String(), &amqp10.ConnOptions{
		SASLType:    amqp10.SASLTypePlain(user, password),
		HostName:    "vhost:" + vhost,
		ContainerID: l.b.cfg.Name + " inspect",
		TLSConfig:   l.b.cfg.TLS.Clone(),
		IdleTimeout: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("connect over AMQP 1.0: %w", err)
	}
	session, err := l.conn.NewSession(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a session: %w", err)
	}
	// Two AMQP 1.0 links of one name carry requests and answers.
	const name = "stega"
	properties := map[string]any{"paired": true}
	settled, first := amqp10.SenderSettleModeSettled, amqp10.ReceiverSettleModeFirst
	l.from, err = session.NewReceiver(ctx, management, &amqp10.ReceiverOptions{
		Name: name, TargetAddress: management, Properties: properties, Credit: 10, SettlementMode: &first,
		RequestedSenderSettleMode: &settled,
	})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", management, err)
	}
	l.to, err = session.NewSender(ctx, management, &amqp10.SenderOptions{
		Name: name, SourceAddress: management, Properties: properties, SettlementMode: &settled,
	})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", management, err)
	}
	return nil
}

// close ends the connection; the next request opens another.
func (l *bindings) close() {
	if l.conn != nil {
		_ = l.conn.Close() // it may have ended
		l.conn = nil
	}
}

// end ends the connection for good.
func (l *bindings) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
}
