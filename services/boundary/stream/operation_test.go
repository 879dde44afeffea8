package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
)

// ledger is what a test knows of operations.
type ledger struct {
	mu        sync.Mutex
	known     map[string]string
	requested atomic.Int64
}

func (l *ledger) set(id, status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[id] = status
}

func (l *ledger) request(_ context.Context, id string) (json.RawMessage, error) {
	l.requested.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	status, known := l.known[id]
	if !known {
		return nil, fault.NotFound("operation_unknown", "there is no operation %s", id)
	}
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"status":%q}`, id, status)), nil
}

func resolved(id, status string) events.Message {
	return typed(events.OperationResolved{OperationState: events.OperationState{ID: id, Command: "portfolio.create",
		Service: "portfolio", Status: status}})
}

func TestASubscriptionToAnOperationThatIsOverAnswersWithItsOutcome(t *testing.T) {
	t.Parallel()
	l := &ledger{known: map[string]string{}}
	w := newWorld(t, Options{Operation: l.request})
	id := events.NewID()
	l.set(id, "succeeded")
	s := w.client().subscribed("operation:"+id, nil)
	assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"status":"succeeded"}`, id), string(s.Result.Operation))
}

func TestAnOperationIsToldAsItGoes(t *testing.T) {
	t.Parallel()
	l := &ledger{known: map[string]string{}}
	w := newWorld(t, Options{Operation: l.request})
	p := w.client()
	id := events.NewID()
	s := p.subscribed("operation:"+id, nil)
	assert.Empty(t, s.Result.Operation)
	everything := w.client()
	everything.subscribed("#", nil)
	named := w.client()
	named.subscribed("operation.*", nil)

	failed := resolved(id, "failed")
	failed.Data, _ = json.Marshal(events.OperationState{ID: id, Status: "failed",
		Error: json.RawMessage(`{"code":"weights_odd"}`)})
	w.publish(resolved(events.NewID(), "succeeded"), failed,
		typed(events.OperationProgressed{ID: id, Done: 1, Total: 2}),
		typed(events.OperationStalled{ID: id, Outcome: "failed", Waiting: []events.Waiting{{Service: "returns"}}}),
		typed(events.OperationSettled{ID: id, Status: "failed"}), message("portfolio.created", "core", 7))
	o := p.push().Push
	assert.Equal(t, "operation.resolved", o.Event.Type)
	assert.Equal(t, "failed", o.Operation.Status)
	assert.Equal(t, "pending", o.Operation.Outcome)
	assert.JSONEq(t, `{"code":"weights_odd"}`, string(o.Operation.Error))
	assert.Equal(t, "running", p.push().Push.Operation.Status)
	assert.Equal(t, "failed", p.push().Push.Operation.Outcome)
	o = p.push().Push
	assert.True(t, o.Operation.Settled)
	assert.Equal(t, "settled", o.Operation.Outcome)

	assert.Equal(t, 7, everything.push().Push.Event.Sequence,
		"what the bus says itself comes only to those who name it")
	assert.Equal(t, "operation.resolved", named.push().Push.Event.Type)
}

func TestAnOperationThatCannotBeLookedUpIsRefused(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	w := newWorld(t, Options{Operation: func(context.Context, string) (json.RawMessage, error) {
		if broken.Load() {
			return nil, errors.New("the database is away")
		}
		return nil, fault.NotFound("operation_unknown", "unknown")
	}})
	p := w.client()
	channel := "operation:" + events.NewID()
	s := p.subscribe(channel, nil)
	require.NotNil(t, s.Error)
	assert.Equal(t, "internal", s.Error.Code)
	assert.NotContains(t, s.Error.Detail, "database")
	broken.Store(false)
	p.subscribed(channel, nil) // the first is not in the way
}

// However a subscription and the end of an operation meet, the client learns of the end: from the answer or by a push.
func TestTheEndOfAnOperationIsNeverMissed(t *testing.T) {
	t.Parallel()
	l := &ledger{known: map[string]string{}}
	w := newWorld(t, Options{Operation: l.request, Rate: 1e6, Burst: 1e6})
	const clients, rounds = 4, 60
	var all sync.WaitGroup
	for range clients {
		p := w.client()
		all.Go(func() {
			for range rounds {
				if err := p.meet(w, l); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func (p *peer) meet(w *world, l *ledger) error {
	id := events.NewID()
	var end sync.WaitGroup
	defer end.Wait()
	end.Go(func() {
		l.set(id, "succeeded") // as the service does: commit, then the event
		publish(w.t, w.log, resolved(id, "succeeded"))
	})
	p.id++
	p.write(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"operation:%s"}}`, p.id, id))
	for {
		s, err := p.hear()
		switch {
		case err != nil:
			return err
		case s.Error != nil:
			return fmt.Errorf("refused: %+v", s.Error)
		case s.Push != nil && s.Push.Operation.ID == id, s.Result != nil && s.Result.Operation != nil:
			return nil
		}
	}
}

func TestAResumedSubscriptionAsksNobodyAboutTheOperation(t *testing.T) {
	t.Parallel()
	l := &ledger{known: map[string]string{}}
	w := newWorld(t, Options{Operation: l.request})
	first := message("portfolio.created", "core", 1)
	w.publish(first)
	w.read(first)
	at := w.hub.Position()
	id := events.NewID()
	end := resolved(id, "succeeded")
	w.publish(end)
	w.read(end)
	p := w.client()
	p.subscribed("operation:"+id, &at)
	assert.Equal(t, "succeeded", p.next().Push.Operation.Status)
	assert.Zero(t, l.requested.Load())
}
