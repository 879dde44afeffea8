package rabbitmq

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/broker"
	"stega/fault"
)

// retryAfter is the pause before a refused publish is tried again. Each attempt ends the channel, with all that is
// unconfirmed on it.
const retryAfter = time.Second

// refusals holds the targets to which the server refuses publishes of this process, until it accepts one again.
type refusals struct {
	mu sync.Mutex
	of map[target]*refusal
}

// target is an exchange, or one routing key of it.
type target struct{ exchange, key string }

func (t target) part() string {
	if t.key == "" {
		return "exchange " + t.exchange
	}
	return "publishing " + t.key
}

type refusal struct {
	err error
	due time.Time // time of the next attempt
}

// The server names the refused target only in its reason.
var (
	refusedExchange = regexp.MustCompile(`exchange '([^']*)'`)
	refusedTopic    = regexp.MustCompile(`topic '([^']*)'`)
)

// add records why a publishing channel ended, if that was a refusal.
func (r *refusals) add(b *Broker, err error) {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server || e.Code != amqp.AccessRefused && e.Code != amqp.NotFound {
		return
	}
	var t target
	if m := refusedExchange.FindStringSubmatch(e.Reason); m != nil {
		t.exchange = m[1]
	}
	if m := refusedTopic.FindStringSubmatch(e.Reason); m != nil {
		t.key = m[1]
	}
	f := exchangeFault(t.exchange, err)
	if t.key != "" {
		f = fault.Unavailable("publish_forbidden", "the broker's user may not publish %s", t.key).
			WithHint("give the user the permissions of its service: see deploy/rabbitmq-definitions.json").Because(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[target]*refusal{}
	}
	r.of[t] = &refusal{fmt.Errorf("%w: %w", broker.ErrNacked, f), time.Now().Add(retryAfter)}
	b.refused.set(broker.Lack{Part: t.part(), Err: f})
}

// pending returns the error of a target that is not due for another attempt.
func (r *refusals) pending(exchange, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range [...]target{{exchange, ""}, {exchange, key}} {
		if refusal := r.of[t]; refusal != nil {
			if time.Now().Before(refusal.due) {
				return refusal.err
			}
			refusal.due = time.Now().Add(retryAfter)
		}
	}
	return nil
}

// allowed removes the refusals of a target that accepted a message.
func (r *refusals) allowed(b *Broker, exchange, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.of) == 0 {
		return
	}
	for _, t := range [...]target{{exchange, ""}, {exchange, key}} {
		if r.of[t] != nil {
			delete(r.of, t)
			b.refused.clear(t.part())
		}
	}
}
