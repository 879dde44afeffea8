package bustest

import (
	"context"
	"encoding/json"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/bus"
	"stega/events"
	"stega/store"
)

// again is a broker that flags the events of one subject as redelivered.
type again struct {
	broker.Broker
	subject string
}

func (a *again) Subscribe(ctx context.Context, service string, q broker.Queue, prefetch int) (broker.Consumer, error) {
	c, err := a.Broker.Subscribe(ctx, service, q, prefetch)
	if err != nil || q != broker.Events {
		return c, err
	}
	return forward(c, func(d *broker.Delivery) { d.Redelivered = d.Redelivered || d.Subject == a.subject }), nil
}

// replayRequests returns the subjects for which a service requested a replay from their owner, in order.
func (s *service) replayRequests() (keys []string) {
	s.t.Helper()
	var all []string
	require.NoError(s.t, s.db.Read().NewRaw("SELECT data FROM outbox WHERE topic = ? ORDER BY id",
		events.ReplayRequested{}.Topic()).Scan(s.t.Context(), &all))
	for _, data := range all {
		var e events.ReplayRequested
		require.NoError(s.t, json.Unmarshal([]byte(data), &e))
		assert.Equal(s.t, s.name, e.Service)
		assert.Equal(s.t, []string{happened{}.Topic()}, e.Topics)
		assert.Empty(s.t, e.Rebuild)
		keys = append(keys, e.Keys...)
	}
	return keys
}

// overtakes delivers messages after later ones of their subjects: x from the dead queue, y from the log.
func overtakes(w *environment, newStore NewStore) {
	s := w.service(newStore, func(s *service) {
		simple(never, bus.HoldWhenDead())(s)
		bus.Handle(s.dispatcher, func(ctx context.Context, tx *store.Tx, m happened) error {
			return note(ctx, tx, "free", m.PortfolioID, m.Version)
		}, bus.Name("free"))
	})
	w.declare(s)
	w.publish(numbered("x", 1))
	s.rejectFirst(1, "it was delivered too often")
	held := &deadLater{Broker: &again{w.broker, "y"}, open: make(chan struct{})}
	s.run(held)
	w.publish(numbered("x", 2), numbered("x", 3), numbered("y", 2))
	w.eventually("the later ones took effect", func() bool { return s.count("h") == 3 && s.count("free") == 3 })
	w.publish(numbered("y", 1), numbered("y", 3))
	w.eventually("the messages of y were handled", func() bool { return len(s.effects("free", "y")) == 3 })
	assert.Equal(w.t, []int64{2, 3}, s.effects("h", "y"))
	assert.Equal(w.t, []string{"y"}, s.replayRequests())

	close(held.open)
	w.eventually("the dead ones are listed", func() bool { return len(s.letters(store.Dead)) == 2 })
	w.publish(numbered("x", 4))
	for _, l := range s.letters(store.Dead) {
		require.NoError(w.t, s.db.Revive(w.t.Context(), l.ID, nil))
	}
	w.eventually("nothing is parked", func() bool { return len(s.letters("")) == 0 })
	w.eventually("the messages of x were handled",
		func() bool { return len(s.effects("free", "x")) == 4 && len(s.effects("h", "x")) == 3 })
	assert.Equal(w.t, []int64{2, 3, 4}, s.effects("h", "x"))
	assert.ElementsMatch(w.t, []int64{1, 2, 3, 4}, s.effects("free", "x"),
		"another handler receives states, and drops old ones by itself")
	assert.Equal(w.t, []string{"y", "x"}, s.replayRequests())
}
