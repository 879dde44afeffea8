package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
	"stega/internal/stegatest"
	"stega/internal/wait"
)

// free is an address of loopback that nobody listens on for now.
func free(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// server is "stega up" at an address, on the same data each time.
func server(t testing.TB, h *home, addr string) *stegatest.Program {
	t.Helper()
	p, ok := stegatest.Launch(
		t, nil, "up", "--addr", addr, "--data", filepath.Join(h.dir, "data"), "--log-level", "error", "--local-access",
		"admin",
	)
	require.True(t, ok, "stega up ends: %s", p.Output())
	return p
}

const core = `{"name":"%s","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`

type listOfPortfolios struct {
	Items []struct {
		ID, Name string
		Version  int
	}
}

func TestWritesThatAreMadeWhileTheServerIsAwayAreMadeOnceWhenItReturns(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	addr := free(t)
	d := serveIn(t, h, "http://"+addr)
	var ids []string
	for i := range 20 {
		id := events.NewID()
		a := d.do("POST", "/v1/portfolios", fmt.Sprintf(core, fmt.Sprintf("p%02d", i)), "Operation-Id", id)
		require.Equal(t, http.StatusAccepted, a.status, a.body)
		assert.Equal(t, "true", a.header.Get("Stega-Queued"))
		assert.Equal(t, "/v1/operations/"+id, a.header.Get("Location"))
		assert.JSONEq(t, `{"operation_id":"`+id+`","id":"`+id+`","status":"queued"}`, a.body)
		again := d.do("POST", "/v1/portfolios", fmt.Sprintf(core, fmt.Sprintf("p%02d", i)), "Operation-Id", id)
		assert.Equal(t, http.StatusAccepted, again.status, "the same write twice is one")
		ids = append(ids, id)
	}
	other := d.do("POST", "/v1/portfolios", fmt.Sprintf(core, "other"), "Operation-Id", ids[0])
	assert.Equal(t, http.StatusUnprocessableEntity, other.status)
	assert.Contains(t, other.body, "operation_id_reused")
	assert.Len(t, d.queue(), 20)
	assert.Contains(t, d.do("GET", "/v1/operations/"+ids[3], "").body, `"status":"queued"`)

	server(t, h, addr)
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
	list := decoded[listOfPortfolios](t, d.do("GET", "/v1/portfolios?limit=100", "").body)
	require.Len(t, list.Items, 20)
	for i, p := range list.Items { // ids grow with time
		assert.Equal(t, fmt.Sprintf("p%02d", i), p.Name, "in the order in which they were made")
		assert.Equal(t, 1, p.Version)
		assert.Equal(t, ids[i], p.ID, "its id was known when it was queued")
	}
	for _, id := range ids {
		assert.Contains(t, d.do("GET", "/v1/operations/"+id, "").body, `"status":"succeeded"`)
	}
}

func TestAConflictIsShownAndNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	addr := free(t)
	up := server(t, h, addr)
	d := serveIn(t, h, "http://"+addr)
	made := decoded[struct {
		ID string `json:"entity_id"`
	}](t, d.do("POST", "/v1/portfolios", fmt.Sprintf(core, "mine"), "Prefer", "wait=30").body)
	at := "/v1/portfolios/" + made.ID
	require.Equal(t, http.StatusOK, d.do("PUT", at, fmt.Sprintf(core, "changed"), "Prefer", "wait=30").status)
	up.Kill()

	stale, behind, free := events.NewID(), events.NewID(), events.NewID()
	assert.Equal(
		t,
		http.StatusAccepted,
		d.do("PUT", at, fmt.Sprintf(core, "from version 1"), "If-Match", `"1"`, "Operation-Id", stale).status,
	)
	assert.Equal(t, http.StatusAccepted, d.do("PUT", at, fmt.Sprintf(core, "last"), "Operation-Id", behind).status)
	assert.Equal(
		t, http.StatusAccepted, d.do("POST", "/v1/portfolios", fmt.Sprintf(core, "free"), "Operation-Id", free).status,
	)
	server(t, h, addr)
	wait.Until(t, "the others are done", func() bool { return len(d.queue()) == 2 && d.queue()[0].State == Failed })
	q := d.queue()
	assert.Equal(t, stale, q[0].Operation)
	require.NotNil(t, q[0].Fault)
	assert.Equal(t, fault.KindPrecondition, q[0].Fault.Kind, "%+v", q[0].Fault)
	assert.Equal(t, stale, q[1].Behind, "later writes of the same entity wait")
	assert.Contains(t, d.do("GET", "/v1/operations/"+stale, "").body, `"status":"failed"`)
	assert.Contains(t, d.do("GET", at, "").body, `"name":"changed"`)

	refused := d.do("PUT", at, fmt.Sprintf(core, "even later"))
	assert.Equal(t, "true", refused.header.Get("Stega-Queued"),
		"order of one entity holds for writes that come now, too")

	assert.Equal(t, http.StatusNoContent, d.do("DELETE", "/daemon/queue/"+stale, "").status)
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
	assert.Contains(t, d.do("GET", at, "").body, `"name":"even later"`)
}

func TestARefusedWriteCanBeRetried(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	b.down()
	id := events.NewID()
	require.Equal(
		t,
		http.StatusAccepted,
		d.do("PUT", "/v1/portfolios/p", `{"x":1}`, "Operation-Id", id, "If-Match", `"1"`).status,
	)
	b.refuse = func(r *http.Request, _ string) (int, any) {
		if r.Header.Get("If-Match") != "" {
			return http.StatusPreconditionFailed, map[string]string{
				"kind":   "precondition",
				"code":   "version_other",
				"detail": "it is another version",
			}
		}
		return 0, nil
	}
	b.up()
	wait.Until(t, "it is refused", func() bool { q := d.queue(); return len(q) == 1 && q[0].State == Failed })
	assert.Equal(t, "version_other", d.queue()[0].Fault.Code)
	a := d.do("POST", "/daemon/queue/"+id[:13]+"/retry?any_version=true", "")
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.writes[len(b.writes)-1]
	assert.Empty(t, last.Header.Get("If-Match"))
	assert.NotEqual(t, id, last.Header.Get("Operation-Id"), "the operation of before is over")
}

func TestAWriteBehindOthersWaitsAsItsClientPrefers(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	d.connected()
	b.down()
	for i := range 5 {
		d.do("POST", "/v1/portfolios", strconv.Itoa(i))
	}
	b.up()
	d.connected()
	a := d.do("POST", "/v1/portfolios", "5", "Prefer", "wait=30")
	assert.Equal(t, http.StatusOK, a.status, a.body)
	assert.Contains(t, a.body, `"status":"succeeded"`)
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprintf("POST /v1/portfolios %d", i))
	}
	assert.Equal(t, want, b.received())
}

func TestWhatTheServerDoesNotRecordIsQueued(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	b.mu.Lock()
	b.refuse = func(*http.Request, string) (int, any) {
		return http.StatusServiceUnavailable, map[string]string{
			"kind":   "unavailable",
			"code":   "command_not_recorded",
			"detail": "the database is away",
		}
	}
	b.mu.Unlock()
	a := d.do("POST", "/v1/portfolios", "{}")
	assert.Equal(t, "true", a.header.Get("Stega-Queued"))
	assert.Equal(
		t, http.StatusServiceUnavailable, d.do("POST", "/v1/portfolios", "{}", "Stega-Queue", "no").status,
		"unless its client does not want that",
	)
	assert.Equal(
		t, http.StatusServiceUnavailable, d.do("POST", "/v1/tokens", "{}").status,
		"what is no operation is never queued",
	)
	b.mu.Lock()
	b.refuse = nil
	b.mu.Unlock()
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
}

func TestAWriteWaitsForATokenAndIsNotLost(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	b.tokens = []string{"good"}
	b.down()
	settings := &login{url: b.url()}
	d := serveIn(t, newHome(t), b.url(), func(o *Options) { o.Servers = settings })
	d.do("POST", "/v1/portfolios", "{}")
	b.up()
	wait.Until(t, "it was tried", func() bool {
		q := d.queue()
		return len(q) == 1 && q[0].State == Queued && q[0].Fault != nil && q[0].Fault.Code == "token_invalid"
	})
	d.do("GET", "/v1/portfolios", "", "Authorization", "Bearer good")
	assert.Len(t, d.queue(), 1, "that is the token of another")
	settings.token.Store("good")
	d.do("GET", "/v1/portfolios", "", "Authorization", "Bearer good")
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
}

// login is settings whose token comes later.
type login struct {
	url   string
	token atomic.Value
}

func (l *login) Current() (Server, error) { return Server{URL: l.url, Token: l.Token("")}, nil }
func (l *login) Token(string) string      { token, _ := l.token.Load().(string); return token }

func TestBodiesThatAreTooLargeAreNotQueued(t *testing.T) {
	t.Parallel()
	b := newBoundary(t)
	d := serveIn(t, newHome(t), b.url())
	large := strings.Repeat("x", maxQueuedBody+1)
	assert.Equal(
		t, http.StatusOK, d.do("POST", "/v1/prices", large, "Content-Type", "text/csv").status,
		"with the server there it goes through",
	)
	b.down()
	a := d.do("POST", "/v1/prices", large, "Content-Type", "text/csv")
	assert.Equal(t, http.StatusServiceUnavailable, a.status)
	assert.Contains(t, a.body, "a body of more than 32 MiB is not queued")
	assert.Empty(t, d.queue())
	a = d.do("POST", "/v1/prices", large[1:], "Content-Type", "text/csv")
	assert.Equal(t, http.StatusAccepted, a.status, a.body)
}

func TestTheQueueOutlastsKill(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	addr := free(t)
	url := "http://" + addr
	p := h.launch(program)
	c := h.connection(url)
	for i := range 10 {
		a := ask(t, c, "POST", "/v1/portfolios", fmt.Sprintf(core, fmt.Sprintf("p%d", i)))
		require.Equal(t, http.StatusAccepted, a.status, a.body)
	}
	p.kill()
	server(t, h, addr)
	h.launch(program)
	c = h.connection(url)
	wait.Until(t, "the queue is empty", func() bool { return len(queueOf(t, c)) == 0 })
	assert.Len(t, decoded[listOfPortfolios](t, ask(t, c, "GET", "/v1/portfolios?limit=100", "").body).Items, 10)
}

// Killed again and again while it sends, the daemon makes each write once.
func TestKilledWhileItSendsItMakesEachWriteOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	program := stegatest.Binary(t)
	addr := free(t)
	url := "http://" + addr
	p := h.launch(program)
	c := h.connection(url)
	const n = 60
	for i := range n {
		require.Equal(
			t, http.StatusAccepted,
			ask(t, c, "POST", "/v1/portfolios", fmt.Sprintf(core, fmt.Sprintf("p%02d", i))).status,
		)
	}
	up := server(t, h, addr)
	for left := n; left > n/2; {
		p.kill()
		p = h.launch(program)
		c = h.connection(url)
		wait.Until(
			t, "it sends", func() bool {
				now := len(queueOf(t, c))
				ok := now < left || now == 0
				left = now
				return ok
			},
		)
	}
	up.Kill()
	server(t, h, addr)
	wait.Until(t, "the queue is empty", func() bool { return len(queueOf(t, c)) == 0 })
	list := decoded[listOfPortfolios](t, ask(t, c, "GET", "/v1/portfolios?limit=1000", "").body)
	require.Len(t, list.Items, n)
	for i, p := range list.Items {
		assert.Equal(t, fmt.Sprintf("p%02d", i), p.Name)
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: a small disk to fill can be mounted by root only")
	}
	h := newHome(t)
	require.NoError(t, os.Mkdir(h.state, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", h.state).
		CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a small disk to fill cannot be mounted here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", h.state).Run() })
	b := newBoundary(t)
	b.down()
	d := serveIn(t, h, b.url())
	body := strings.Repeat("x", 100_000)
	var kept []string
	for i := 0; ; i++ {
		require.Less(t, i, 100, "the disk does not get full")
		id := events.NewID()
		a := d.do("POST", "/v1/prices", fmt.Sprint(i, body), "Content-Type", "text/csv", "Operation-Id", id)
		if a.status != http.StatusAccepted {
			assert.Equal(t, http.StatusServiceUnavailable, a.status)
			assert.Contains(t, a.body, `"code":"daemon_disk_full"`)
			assert.Contains(t, a.body, "make room")
			break
		}
		kept = append(kept, id)
	}
	require.NotEmpty(t, kept)
	assert.Len(t, d.queue(), len(kept))
	assert.Equal(t, "disk", findingOf(t, h, "disk").Name)
	assert.NotEqual(t, OK, findingOf(t, h, "disk").Verdict)
	d.end()
	d = serveIn(t, h, b.url()) // a daemon starts on a full disk, too
	assert.Len(t, d.queue(), len(kept))
	b.up()
	wait.Until(t, "the queue is empty", func() bool { return len(d.queue()) == 0 })
	b.mu.Lock()
	defer b.mu.Unlock()
	var sent []string
	for _, r := range b.writes {
		if id := r.Header.Get("Operation-Id"); len(sent) == 0 || sent[len(sent)-1] != id {
			sent = append(sent, id)
		}
	}
	assert.Equal(t, kept, sent, "every write that was promised, in order")
}

func findingOf(t *testing.T, h *home, name string) Finding {
	t.Helper()
	for _, f := range Examine(context.Background(),
		Patient{Paths: h.paths(), Server: Server{URL: "http://127.0.0.1:1"}}) {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("nothing is found about %s", name)
	return Finding{}
}
