package marketdata

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
	"stega/bus"
	"stega/fault"
	"stega/internal/servers"
	"stega/internal/wait"
	"stega/migrations"
	"stega/store"
)

// handClock is a clock that a test sets.
type handClock struct {
	mu    sync.Mutex
	now   time.Time
	waits map[chan time.Time]time.Time
}

func newHandClock(now string) *handClock {
	t, err := time.Parse(time.RFC3339, now)
	if err != nil {
		panic(err)
	}
	return &handClock{now: t, waits: map[chan time.Time]time.Time{}}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) At(t time.Time) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := make(chan time.Time, 1)
	if c.now.Before(t) {
		c.waits[late] = t
	} else {
		late <- c.now
	}
	return late
}

func (c *handClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	for late, t := range c.waits {
		if !now.Before(t) {
			late <- now
			delete(c.waits, late)
		}
	}
}

// member is a process of a cluster: a service on a connection of its own to the shared database.
type member struct {
	service *Service
	db      *store.DB
	bus     *bus.CommandBus
	stop    func()
}

func join(t *testing.T, url string, clock Clock) *member {
	t.Helper()
	db, err := store.Open(t.Context(), "marketdata", servers.Database(t, "marketdata", url))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	files, err := migrations.Of("marketdata")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), files))
	m := &member{service: New(db, Options{Clock: clock, Folder: t.TempDir()}), db: db}
	d := bus.NewDispatcher("marketdata")
	m.service.Register(d)
	m.bus = bus.NewCommandBus(d, db)
	return m
}

func (m *member) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.service.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(m.stop)
}

func (m *member) create(t *testing.T, p api.ScheduleRequest) string {
	t.Helper()
	require.NoError(t, checkSchedule(&p))
	op, err := m.bus.Submit(
		t.Context(), bus.Submission{Command: CreateSchedule{ID: "0198a2f6-0000-7000-8000-000000000001", plan: p}},
	)
	require.NoError(t, err)
	require.Nil(t, op.Error, "%v", op.Error)
	m.service.wake()
	return op.Subject
}

// pulls are the runs so far, the newest first.
func (m *member) pulls(t *testing.T) (runs []store.Operation) {
	t.Helper()
	all, err := m.db.Operations(t.Context(), 1000, "")
	require.NoError(t, err)
	for _, op := range all {
		if op.Command == (PullPrices{}).Topic() {
			runs = append(runs, op)
		}
	}
	return runs
}

func (m *member) row(t *testing.T, id string) api.Schedule {
	t.Helper()
	r, err := findSchedule(t.Context(), m.db.Read(), id, false)
	require.NoError(t, err)
	s, err := r.schedule()
	require.NoError(t, err)
	return s
}

// oncePerCluster sets the clock forward from minute to minute while several processes wait for the same runs.
func oncePerCluster(t *testing.T, url string) {
	clock := newHandClock("2024-01-05T12:00:30Z")
	members := []*member{join(t, url, clock), join(t, url, clock), join(t, url, clock)}
	first := members[0]
	for _, m := range members {
		m.start(t)
	}
	id := first.create(t, api.ScheduleRequest{Name: "often", Cron: "* * * * *"})
	const minutes = 30
	var lastOperations []string
	for range minutes {
		due := *first.row(t, id).NextAt
		clock.set(due)
		wait.Until(t, "the run is taken", func() bool {
			last := first.row(t, id).LastDueAt
			return last != nil && last.Equal(due)
		})
		lastOperations = append(lastOperations, first.row(t, id).LastOperation)
	}
	for _, m := range members {
		m.stop() // whatever else was about to run has run
	}
	runs := first.pulls(t)
	require.Len(t, runs, minutes)
	for i, op := range runs {
		assert.Equal(t, lastOperations[minutes-1-i], op.ID)
		assert.Equal(t, id, op.EntityID)
		assert.Equal(t, store.Accepted, op.Status)
	}
	var jobs int
	require.NoError(t, first.db.Read().NewRaw("SELECT count(*) FROM outbox WHERE topic = ?", (PullPrices{}).Topic()).
		Scan(t.Context(), &jobs))
	assert.Equal(t, minutes, jobs, "each is sent to the queue of jobs once")
}

func TestARunTakesPlaceOncePerCluster(t *testing.T) {
	t.Parallel()
	oncePerCluster(t, "sqlite://"+filepath.Join(t.TempDir(), "marketdata.db"))
}

func TestOfSchedulesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "marketdata", TestARunTakesPlaceOncePerCluster, TestWhatWasMissedIsMadeUpOnce, TestADisabledScheduleRests,
		TestADamagedScheduleHoldsUpNoOther, TestATriggerOfAScheduleThatWentAwayLeavesNothing,
	)
}

func TestWhatWasMissedIsMadeUpOnce(t *testing.T) {
	t.Parallel()
	url := "sqlite://" + filepath.Join(t.TempDir(), "marketdata.db")
	clock := newHandClock("2024-01-05T12:00:00Z") // a Friday
	before := join(t, url, clock)
	before.start(t)
	id := before.create(t, api.ScheduleRequest{Name: "close", Cron: "30 16 * * 1-5", TimeZone: "America/New_York"})
	due := *before.row(t, id).NextAt
	assert.Equal(t, "2024-01-05T21:30:00Z", due.Format(time.RFC3339))
	before.stop()

	clock.set(due.AddDate(0, 0, 10)) // nobody was there on seven closes
	after := []*member{join(t, url, clock), join(t, url, clock)}
	for _, m := range after {
		m.start(t)
	}
	wait.Until(t, "it is made up", func() bool { return before.row(t, id).LastDueAt != nil })
	s := before.row(t, id)
	assert.Equal(t, due, *s.LastDueAt)
	assert.Equal(t, clock.Now(), *s.LastAt)
	assert.Equal(
		t, "2024-01-16T21:30:00Z", s.NextAt.Format(time.RFC3339), "the run of the moment is the one that is made up",
	)
	for _, m := range after {
		m.stop()
	}
	assert.Len(t, before.pulls(t), 1)
}

func TestADisabledScheduleRests(t *testing.T) {
	t.Parallel()
	clock := newHandClock("2024-01-05T12:00:30Z")
	m := join(t, "sqlite://"+filepath.Join(t.TempDir(), "marketdata.db"), clock)
	off, on := false, true
	p := api.ScheduleRequest{Name: "often", Cron: "* * * * *", Enabled: &off}
	id := m.create(t, p)
	assert.Nil(t, m.row(t, id).NextAt)
	clock.set(clock.Now().Add(time.Hour))
	_, err := m.service.runDue(t.Context())
	require.NoError(t, err)
	assert.Empty(t, m.pulls(t))

	p.Enabled = &on
	require.NoError(t, checkSchedule(&p))
	op, err := m.bus.Submit(t.Context(), bus.Submission{Command: UpdateSchedule{ID: id, plan: p}})
	require.NoError(t, err)
	require.Nil(t, op.Error, "%v", op.Error)
	next, err := m.service.runDue(t.Context())
	require.NoError(t, err)
	assert.Empty(t, m.pulls(t), "what was due while it rested is not made up")
	assert.Equal(t, clock.Now().Add(5*time.Second), next)
	clock.set(*m.row(t, id).NextAt)
	_, err = m.service.runDue(t.Context())
	require.NoError(t, err)
	assert.Len(t, m.pulls(t), 1)
}

// One that cannot be read does not keep others from running.
func TestADamagedScheduleHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	clock := newHandClock("2024-01-05T12:00:30Z")
	m := join(t, "sqlite://"+filepath.Join(t.TempDir(), "marketdata.db"), clock)
	id := m.create(t, api.ScheduleRequest{Name: "often", Cron: "* * * * *"})
	require.NoError(t, m.db.Do(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ExecContext(
			ctx,
			`INSERT INTO schedules SELECT '0', 'damaged', 'damaged', 1, cron, 'Atlantis/Centre', kind, symbols,
				provider, enabled, 1, 0, 0, '',
			created_at, updated_at FROM schedules`,
		)
		return err
	}))
	clock.set(*m.row(t, id).NextAt)
	next, err := m.service.runDue(t.Context())
	assert.ErrorContains(t, err, "Atlantis")
	assert.Equal(t, clock.Now().Add(5*time.Second), next, "it is tried again, and not at once")
	assert.Len(t, m.pulls(t), 1)
}

func TestATriggerOfAScheduleThatWentAwayLeavesNothing(t *testing.T) {
	t.Parallel()
	m := join(t, "sqlite://"+filepath.Join(t.TempDir(), "marketdata.db"), newHandClock("2024-01-05T12:00:30Z"))
	_, err := m.bus.Submit(t.Context(), bus.Submission{
		Command: PullPrices{ID: "0198a2f6-0000-7000-8000-000000000002", Kind: Latest},
		With: func(ctx context.Context, tx *store.Tx, operation string) error {
			return m.service.triggered(ctx, tx, "gone", operation)
		},
	})
	assert.Equal(t, "schedule_unknown", fault.Of(err).Code)
	assert.Empty(t, m.pulls(t))
	var jobs int
	require.NoError(t, m.db.Read().NewRaw("SELECT count(*) FROM outbox").Scan(t.Context(), &jobs))
	assert.Zero(t, jobs)
}
