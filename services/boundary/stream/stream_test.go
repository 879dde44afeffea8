package stream

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
)

func TestASubscriberGetsWhatItAskedForAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	p := w.client()
	p.subscribed("portfolio.*", nil)
	p.subscribed("subject:core", nil)
	p.subscribed("portfolio.created", nil)
	w.publish(message("prices.imported", "AAPL", 1), message("portfolio.created", "other", 2),
		message("portfolio.deleted", "core", 3),
		message("prices.imported", "core",
			4),
		typed(events.OperationAccepted{OperationState: events.OperationState{ID: events.NewID(), Status: "accepted"}}))

	s := p.push().Push
	assert.ElementsMatch(t, []string{"portfolio.created", "portfolio.*"}, s.Channels, "one push for several channels")
	assert.Equal(t, 2, s.Event.Sequence)
	assert.JSONEq(t, `{"n":2}`, string(s.Event.Data))
	s = p.push().Push
	assert.ElementsMatch(t, []string{"subject:core", "portfolio.*"}, s.Channels)
	s = p.push().Push
	assert.Equal(t, []string{"subject:core"}, s.Channels)
	assert.Equal(t, 4, s.Event.Sequence)

	require.Nil(t, p.request("unsubscribe", map[string]string{"channel": "subject:core"}).Error)
	w.publish(message("prices.imported", "core", 5), message("portfolio.created", "core", 6))
	assert.Equal(t, 6, p.push().Push.Event.Sequence)
}

func TestAClientThatComesBackGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	p := w.client()
	p.subscribed("portfolio.*", nil)
	w.publish(message("portfolio.created", "a", 1))
	s := p.push().Push
	at := Position{s.Position, s.Event.ID}
	require.NoError(t, p.ws.CloseNow())

	missed := []events.Message{message("portfolio.created", "a", 2), message("prices.imported", "b", 3),
		message("portfolio.created", "c", 4)}
	w.publish(missed...)
	w.read(missed[2])
	p = w.client()
	answer := p.subscribed("portfolio.*", &at)
	assert.True(t, answer.Result.Resumed)
	assert.Equal(t, 2, p.next().Push.Event.Sequence)
	assert.Equal(t, 4, p.next().Push.Event.Sequence)
	w.publish(message("portfolio.created", "a", 5))
	assert.Equal(t, 5, p.next().Push.Event.Sequence)
}
