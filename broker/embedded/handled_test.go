package embedded

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
)

// listen collects the ids that are reported as handled.
func listen(b *Broker) (ids chan string, stop func()) {
	ids = make(chan string, 1000)
	return ids, b.OnHandled(func(id string) { ids <- id })
}

func TestHandled(t *testing.T) {
	t.Parallel()
	const topic, other = "test.happened", "test.nothing"
	for name, test := range map[string]func(*testing.T, *Broker, chan string){
		"an event is handled when every service has acked it": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a", "b")
			publish(t, b, event("1", topic), event("2", topic))
			a, c := subscribe(t, b, "a", broker.Events), subscribe(t, b, "b", broker.Events)
			first, second := take(t, a), take(t, a)
			require.NoError(t, first.Ack())
			require.NoError(t, second.Ack())
			assert.Empty(t, ids)
			require.NoError(t, take(t, c).Ack())
			assert.Equal(t, "1", receive(t, "the first", ids))
			require.NoError(t, take(t, c).Ack())
			assert.Equal(t, "2", receive(t, "the second", ids))
		},
		"an event without subscribers is handled when it is stored": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a")
			publish(t, b, event("1", other))
			assert.Equal(t, "1", receive(t, "the event", ids))
		},
		"a command is handled when its service has acked it": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a", "b")
			m := event("1", topic)
			m.Service = "b"
			publish(t, b, m)
			d := take(t, subscribe(t, b, "b", broker.Commands))
			assert.Empty(t, ids)
			require.NoError(t, d.Ack())
			assert.Equal(t, "1", receive(t, "the command", ids))
		},
		"a rejected event is handled when its dead letter was acked": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a", "b")
			publish(t, b, event("1", topic))
			require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Reject("bad"))
			require.NoError(t, take(t, subscribe(t, b, "b", broker.Events)).Ack())
			dead := subscribe(t, b, "a", broker.Dead)
			d := take(t, dead)
			assert.Empty(t, ids)
			require.NoError(t, d.Reject("again")) // it stays
			d = take(t, dead)
			assert.Equal(t, "bad", d.Reason)
			require.NoError(t, d.Ack())
			assert.Equal(t, "1", receive(t, "the event", ids))
			assert.Zero(t, depth(t, b, "a", broker.Dead))
		},
		"an event that was released is handled once it is acked": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a")
			publish(t, b, event("1", topic))
			c := subscribe(t, b, "a", broker.Events)
			stale := take(t, c)
			require.NoError(t, c.Close())
			require.NoError(t, stale.Ack())
			c = subscribe(t, b, "a", broker.Events)
			require.NoError(t, take(t, c).Release())
			assert.Empty(t, ids)
			d := take(t, c)
			assert.Equal(t, 1, d.Attempts, "the closed consumer counts, the release does not")
			require.NoError(t, d.Ack())
			assert.Equal(t, "1", receive(t, "the event", ids))
		},
		"an event published twice is handled when both are settled": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a")
			publish(t, b, event("1", topic))
			c := subscribe(t, b, "a", broker.Events)
			first := take(t, c)
			publish(t, b, event("1", topic))
			second := take(t, c)
			require.NoError(t, first.Reject("bad"))
			require.NoError(t, second.Reject("bad as well"))
			assert.Equal(t, 1, depth(t, b, "a", broker.Dead), "there is one dead letter")
			assert.Empty(t, ids)
			require.NoError(t, take(t, subscribe(t, b, "a", broker.Dead)).Ack())
			assert.Equal(t, "1", receive(t, "the event", ids))
			publish(t, b, event("1", topic)) // and once more
			require.NoError(t, take(t, c).Ack())
			assert.Equal(t, "1", receive(t, "the event", ids))
		},
		"a publisher gets the confirmation first": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a")
			c := subscribe(t, b, "a", broker.Events)
			confirm := make(chan struct{})
			require.NoError(t, b.Publish(t.Context(), event("1", topic), func(err error) {
				assert.NoError(t, err)
				<-confirm
			}))
			require.NoError(t, take(t, c).Ack())
			assert.Empty(t, ids)
			close(confirm)
			assert.Equal(t, "1", receive(t, "the event", ids))
		},
		"after stop nothing is reported": func(t *testing.T, b *Broker, ids chan string) {
			declare(t, b, topic, "a")
			second, stop := listen(b)
			stop()
			stop()
			publish(t, b, event("1", other))
			receive(t, "the first listener", ids)
			assert.Empty(t, second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, t.TempDir())
			ids, stop := listen(b)
			t.Cleanup(stop)
			test(t, b, ids)
			assert.Empty(t, ids)
			b.mu.Lock()
			defer b.mu.Unlock()
			assert.Empty(t, b.handled.open, "nothing is remembered for ever")
		})
	}
}

func TestADeadLetterOfAnEarlierRunAnswersForItsMessageOnlyWhenThatCameAgain(t *testing.T) {
	t.Parallel()
	const topic = "test.happened"
	dir := t.TempDir()
	b := open(t, dir)
	declare(t, b, topic, "a", "b")
	publish(t, b, event("1", topic), event("2", topic))
	c := subscribe(t, b, "a", broker.Events)
	require.NoError(t, take(t, c).Reject("bad"))
	require.NoError(t, take(t, c).Reject("bad"))
	require.NoError(t, b.Close())

	b = open(t, dir)
	ids, stop := listen(b)
	defer stop()
	declare(t, b, topic, "a", "b")
	dead := subscribe(t, b, "a", broker.Dead)
	one, two := take(t, dead), take(t, dead)
	require.NoError(t, one.Ack())
	assert.Empty(t, ids, "the other service has not handled it, and its queue is gone")

	publish(t, b, event("2", topic)) // as the outbox does
	require.NoError(t, take(t, subscribe(t, b, "b", broker.Events)).Ack())
	require.NoError(t, take(t, subscribe(t, b, "a", broker.Events)).Reject("bad again"))
	assert.Equal(t, 1, depth(t, b, "a", broker.Dead))
	assert.Empty(t, ids)
	require.NoError(t, two.Ack())
	assert.Equal(t, "2", receive(t, "the event", ids))
	require.NoError(t, b.Close())

	b = open(t, dir)
	assert.Zero(t, depth(t, b, "a", broker.Dead), "no copy of a settled dead letter comes back")
}
