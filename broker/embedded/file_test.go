package embedded

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/broker"
	"stega/events"
)

// Triggers that make statements fail.
const (
	refuseEntries = `CREATE TRIGGER refuse_entries BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'refused'); END`
	refuseProbes  = `CREATE TRIGGER refuse_probes BEFORE UPDATE ON settings BEGIN SELECT RAISE(ABORT, 'refused'); END`
)

func FuzzMessages(f *testing.F) {
	f.Add("id", "subject", int64(0), int64(0))
	f.Add("", " lead, trail \t", int64(-1), int64(1700000000123456789))
	f.Add("id\r\n\r\n", "100%41 \"\x00\xff東", int64(1<<62), int64(-1))
	file, err := openFile(f.Context(), f.TempDir(), time.Now())
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, file.close()) })
	f.Fuzz(func(t *testing.T, id, subject string, sequence, nanos int64) {
		m := events.Message{Envelope: events.Envelope{
			ID: id, Source: subject, Type: id, Subject: subject, Time: time.Unix(0, nanos).UTC(), Correlation: id,
			Causation: subject, Sequence: sequence, TraceParent: id, ContentType: subject,
		}, Data: []byte(subject + id)}
		from, _, _ := file.end()
		require.NoError(t, file.append([]*events.Message{&m}, time.Now()))
		got, err := file.read(t.Context(), from)
		require.NoError(t, err)
		assert.Equal(t, []broker.LogEntry{{Position: from, Message: m}}, got)
	})
}

func TestTheLogIsPrunedByAgeAndSize(t *testing.T) {
	t.Parallel()
	f, err := openFile(t.Context(), t.TempDir(), time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.close()) })
	now := time.Now()
	first, _, _ := f.end()
	store := func(n int, at time.Time) {
		for range n {
			m := event("1", happened).Message
			m.Data = make([]byte, 100_000)
			require.NoError(t, f.append([]*events.Message{&m}, at))
		}
	}
	bounds := func(kept uint64) {
		t.Helper()
		b, err := f.bounds(t.Context())
		require.NoError(t, err)
		assert.False(t, b.Empty)
		assert.Equal(t, first, b.Origin)
		assert.Equal(t, kept, b.Recent.Position-b.First+1)
	}
	store(5, now.Add(-logAge-time.Hour))
	store(10, now)
	require.NoError(t, f.prune(now, logBytes))
	bounds(10)
	require.NoError(t, f.prune(now, 600_000))
	b, err := f.bounds(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, 5, b.Recent.Position-b.First+1, 1)
	require.NoError(t, f.prune(now, 0))
	bounds(1)
	require.NoError(t, f.prune(now.Add(2*logAge), 0))
	bounds(1)
}

func TestALogThatCannotBeWrittenIsReportedAndWrittenAgain(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	declare(t, b, happened, "a")
	publish(t, b, event("1", happened))
	before := read(t, b, 0, 1)[0]
	entries, err := b.Log(t.Context(), broker.LogEnd)
	require.NoError(t, err)
	_, err = b.file.Load().writing.ExecContext(t.Context(), refuseEntries+";"+refuseProbes)
	require.NoError(t, err)
	answer := make(chan error, 1)
	require.NoError(t, b.Publish(t.Context(), event("2", happened), func(err error) { answer <- err }))
	require.ErrorIs(t, receive(t, "an answer", answer), broker.ErrNacked)
	require.NotEmpty(t, b.State().Blocked)
	_, err = b.file.Load().writing.ExecContext(t.Context(), `DROP TRIGGER refuse_entries; DROP TRIGGER refuse_probes`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.State() == broker.State{Connected: true} }, patience, time.Millisecond)
	publish(t, b, event("3", happened))
	assert.Equal(t, before, read(t, b, 0, 1)[0])
	assert.Equal(t, "3", receive(t, "an entry", entries).ID)
	c := subscribe(t, b, "a", broker.Events)
	assert.Equal(t, "1", take(t, c).ID)
	d := take(t, c)
	assert.Equal(t, "3", d.ID)
	require.NoError(t, d.Reject("bad"))
}

// A reader that comes late and one that is slow get every entry once, while others are appended.
func TestReadersOfALongLogGetEveryEntryInOrder(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	const n = 3*readEntries + 7
	live, err := b.Log(t.Context(), broker.LogEnd)
	require.NoError(t, err)
	messages := make([]broker.Outgoing, n)
	for i := range messages {
		messages[i] = event(strconv.Itoa(i), happened)
	}
	publish(t, b, messages...)
	for i, e := range read(t, b, 0, n) {
		require.Equal(t, strconv.Itoa(i), e.ID)
		require.Equal(t, e, receive(t, "an entry", live))
	}
}
