package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/events"
	"stega/fault"
)

var create = CreatePortfolio("core", nil)

func accept(w http.ResponseWriter, r *http.Request) string {
	id := r.Header.Get("Operation-Id")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"operation_id":%q,"id":"p1"}`, id)
	return id
}

// hangUp ends the connection of a request without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestSubmitWaitsForPushes(t *testing.T) {
	t.Parallel()
	for level, want := range map[Level]Operation{
		ForAccepted: {Status: Accepted, EntityID: "p1"},
		ForResolved: {Status: Succeeded, EntityID: "p1", Outcome: Pending},
		ForSettled:  {Status: Succeeded, EntityID: "p1", Outcome: Settled, Settled: true},
	} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			next := make(chan string, 1)
			s.write = func(_ int, w http.ResponseWriter, r *http.Request) { next <- accept(w, r) }
			go func() {
				id := <-next
				s.tell(Operation{ID: id, Status: Running})
				s.tell(Operation{ID: id, Status: Succeeded, Outcome: Pending})
				if level == ForSettled {
					s.tell(Operation{ID: id, Status: Succeeded, Settled: true})
				}
			}()
			op, err := s.client().Submit(t.Context(), create, Wait{For: level})
			require.NoError(t, err)
			want.ID = op.ID
			assert.Equal(t, want, op)
			if level != ForAccepted {
				assert.Equal(t, []string{"operation:" + op.ID}, s.asked)
			}
		})
	}
}

func TestSubmitTellsTheFaultsOfTheServerAndOfTheCommand(t *testing.T) {
	t.Parallel()
	taken := fault.Conflict("name_taken", "there is a portfolio named core already").WithHint("choose another name")
	t.Run("refused at once", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		wrong := fault.Invalid("portfolio_invalid", "no").
			WithHint("do").
			With(fault.Item{Pointer: "/name", Detail: "is missing"})
		s.write = func(_ int, w http.ResponseWriter, _ *http.Request) { refuse(w, wrong) }
		op, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled})
		assert.Equal(t, wrong, err)
		assert.Empty(t, op.Status)
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
			id := accept(w, r)
			go s.tell(Operation{ID: id, Status: Failed, Error: taken})
		}
		op, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled})
		assert.Equal(t, taken, err)
		assert.Equal(t, Failed, op.Status)
	})
	t.Run("a handler gave up", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
			id := accept(w, r)
			go s.tell(Operation{ID: id, Status: Succeeded, Outcome: GaveUp, Waiting: []events.Waiting{
				{
					Topic:    "portfolio.created",
					Subject:  "p1",
					Service:  "returns",
					Handler:  "portfolioCreated",
					State:    "dead",
					Attempts: 9,
					Error:    "no",
				},
			}})
		}
		_, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled})
		f := fault.Of(err)
		assert.Equal(t, CodeSettleFailed, f.Code)
		assert.Equal(t, fault.KindConflict, f.Kind)
		assert.Equal(
			t,
			[]fault.Item{{
				Pointer: "returns/portfolioCreated",
				Detail:  "portfolio.created of p1 is dead after 9 tries: no",
			}},
			f.Errors,
		)
	})
}

func TestSubmitTellsOfStallsAndWaitsOn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		id := accept(w, r)
		go s.tell(
			Operation{
				ID:      id,
				Status:  Succeeded,
				Outcome: Stalled,
				Waiting: []events.Waiting{{Service: "returns", State: "parked"}},
			},
		)
	}
	stalls := 0
	op, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled, Stalled: func(op Operation) {
		stalls++
		go s.tell(Operation{ID: op.ID, Status: Succeeded, Settled: true})
	}})
	require.NoError(t, err)
	assert.True(t, op.Settled)
	assert.Empty(t, op.Waiting)
	assert.Equal(t, 1, stalls)
}

func TestATimeoutNeverMeansThatTheWriteFailed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		s.tell(
			Operation{
				ID:      accept(w, r),
				Status:  Succeeded,
				Outcome: Stalled,
				Waiting: []events.Waiting{{Service: "returns", State: "pending", Topic: "x"}},
			},
		)
	}
	_, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled, Timeout: 300 * time.Millisecond})
	f := fault.Of(err)
	assert.Equal(t, CodeWaitTimeout, f.Code)
	assert.Equal(t, fault.KindTimeout, f.Kind)
	assert.Contains(t, f.Detail, "it goes on")
	assert.Contains(t, f.Hint, "stega op watch")

	ctx, cancel := context.WithCancel(t.Context())
	op, err := s.client().Submit(ctx, create, Wait{For: ForSettled, Stalled: func(Operation) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, Succeeded, op.Status)
	assert.Equal(t, []fault.Item{{Pointer: "returns", Detail: "x is pending"}}, tooSlow(Wait{}, op).Errors)
}

func TestSubmitRepeatsTheSameRequestWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(w http.ResponseWriter){
		"no answer":   hangUp,
		"unavailable": func(w http.ResponseWriter) { refuse(w, fault.Unavailable("service_unavailable", "no")) },
		"timed out":   func(w http.ResponseWriter) { refuse(w, fault.New(fault.KindTimeout, "service_slow", "no")) },
		"a proxy's":   func(w http.ResponseWriter) { http.Error(w, "bad gateway", http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			var seen sync.Map
			s.write = func(n int, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				seen.Store(r.Header.Get("Operation-Id")+string(body), true)
				if n < 4 {
					fail(w)
					return
				}
				id := accept(w, r)
				go s.tell(Operation{ID: id, Status: Succeeded})
			}
			tries := 0
			cmd := create
			cmd.Body, cmd.Stream = nil, strings.NewReader("body")
			op, err := s.client().Submit(t.Context(), cmd, Wait{For: ForResolved, Trying: func(error) { tries++ }})
			require.NoError(t, err)
			assert.Positive(t, tries)
			all := 0
			seen.Range(func(k, _ any) bool { all++; assert.Equal(t, op.ID+"body", k); return true })
			assert.Equal(t, 1, all)
			assert.Equal(t, 4, s.writes)
		})
	}
}

func TestAPushIsEnoughWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.tell(Operation{ID: r.Header.Get("Operation-Id"), Status: Succeeded, EntityID: "p1"})
		hangUp(w)
	}
	cmd := create
	cmd.Body, cmd.Stream = nil, io.MultiReader(strings.NewReader("cannot be sent again"))
	op, err := s.client().Submit(t.Context(), cmd, Wait{For: ForResolved})
	require.NoError(t, err)
	assert.Equal(t, "p1", op.EntityID)
	assert.Equal(t, 1, s.writes)
}

func TestAWriteThatCannotBeRepeatedIsReportedAsUnknown(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write = func(_ int, w http.ResponseWriter, _ *http.Request) { hangUp(w) }
	cmd := create
	cmd.Body, cmd.Stream = nil, io.MultiReader(strings.NewReader("cannot be sent again"))
	op, err := s.client().Submit(t.Context(), cmd, Wait{For: ForResolved})
	f := fault.Of(err)
	assert.Equal(t, CodeAnswerLost, f.Code)
	assert.Contains(t, f.Hint, op.ID)
	op, err = s.client(func(o *Options) { o.RetryFor = -1 }).Submit(t.Context(), create, Wait{For: ForAccepted})
	assert.True(t, has(err, CodeAnswerLost))
	assert.NotEmpty(t, op.ID)
}

func TestSubmitSurvivesReconnects(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		id := accept(w, r)
		s.cut()
		s.mu.Lock() // nobody is there to hear it
		s.ops[id] = Operation{ID: id, Status: Succeeded, Outcome: Settled, Settled: true}
		s.mu.Unlock()
	}
	op, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled})
	require.NoError(t, err)
	assert.True(t, op.Settled)
}

func TestManySubmitsShareConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var cuts atomic.Int64
	s.write = func(n int, w http.ResponseWriter, r *http.Request) {
		id := accept(w, r)
		go func() {
			if n%50 == 0 {
				cuts.Add(1)
				s.cut()
			}
			s.tell(Operation{ID: id, Status: Succeeded})
			s.tell(Operation{ID: id, Status: Succeeded, Settled: true})
		}()
	}
	c := s.client()
	var all sync.WaitGroup
	for range 250 {
		all.Go(func() {
			op, err := c.Submit(t.Context(), create, Wait{For: ForSettled})
			assert.NoError(t, err)
			assert.True(t, op.Settled)
		})
	}
	all.Wait()
	assert.LessOrEqual(t, len(c.streams), 3)
	for _, shared := range c.streams {
		assert.Zero(t, shared.used)
		assert.Empty(t, shared.subs)
	}
	assert.Equal(t, int64(5), cuts.Load())
}

func TestSubmitToAServerThatIsNotThereSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	s.Close()
	for _, level := range []Level{ForAccepted, ForResolved, ForSettled} {
		_, err := c.Submit(t.Context(), create, Wait{For: level})
		f := fault.Of(err)
		assert.Equal(t, CodeServerUnavailable, f.Code)
		assert.Equal(t, fault.KindUnavailable, f.Kind)
		assert.Contains(t, f.Hint, "stega up")
	}
}

func TestAwaitFollowsAnOperationOfBefore(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.tell(Operation{ID: "o1", Status: Running})
	op, err := s.client().Await(t.Context(), "o1", Wait{For: ForResolved, Changed: func(op Operation) {
		if op.Status == Running {
			go s.tell(Operation{ID: "o1", Status: Succeeded, Command: "prices.pull"})
		}
	}})
	require.NoError(t, err)
	assert.Equal(t, "prices.pull", op.Command)
	_, err = s.client().Await(t.Context(), "o2", Wait{For: ForResolved})
	assert.True(t, has(err, "operation_unknown"), "%v", err)
}

func TestWithoutAStreamTheServerHoldsItsAnswer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.greet = func(_ int, w http.ResponseWriter) bool { refuse(w, fault.NotFound("path_unknown", "no")); return false }
	s.write = func(n int, w http.ResponseWriter, r *http.Request) {
		op := Operation{ID: r.Header.Get("Operation-Id"), Status: Succeeded, EntityID: "p1"}
		if n == 2 {
			assert.Equal(t, "wait=50, settled", r.Header.Get("Prefer"))
			op.Settled, op.Outcome = true, Settled
		}
		_ = json.NewEncoder(w).Encode(op)
	}
	op, err := s.client().Submit(t.Context(), create, Wait{For: ForResolved})
	require.NoError(t, err)
	assert.Equal(t, "p1", op.EntityID)
	op, err = s.client().Submit(t.Context(), create, Wait{For: ForSettled})
	require.NoError(t, err)
	assert.True(t, op.Settled)
	_, err = s.client().Submit(t.Context(), create, Wait{For: ForSettled})
	assert.True(t, has(err, "settled_unreported"), "%v", err)
}

func TestAClosedClientSaysSo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.client()
	c.Close()
	_, err := c.Submit(t.Context(), create, Wait{For: ForResolved})
	assert.True(t, has(err, "stream_closed"), "%v", errors.Unwrap(err))
}

func TestASubscriptionThatAServerIsTooBusyForIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.busy = 3
	s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
		go s.tell(Operation{ID: accept(w, r), Status: Succeeded, Settled: true})
	}
	op, err := s.client().Submit(t.Context(), create, Wait{For: ForSettled})
	require.NoError(t, err)
	assert.True(t, op.Settled)
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Len(t, s.asked, 4)
	assert.Equal(t, 1, s.connects, "the connection is kept")
}

// Nothing can have happened of an operation whose id is new: the server need not look for it, and what comes after
// the newest position that it told is pushed.
func TestANewOperationIsListenedForFromTheNewestPosition(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]uint64{"in the log": 1, "gone from the log": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.publish("portfolio.created", "portfolio.*")
			s.hello.Position, s.first = s.tail(), first
			s.publish("portfolio.created", "portfolio.*")
			s.write = func(_ int, w http.ResponseWriter, r *http.Request) {
				go s.tell(Operation{ID: accept(w, r), Status: Succeeded, Settled: true})
			}
			c := s.client()
			op, err := c.Submit(t.Context(), create, Wait{For: ForSettled})
			require.NoError(t, err)
			want := []string{"operation:" + op.ID + " from 1"}
			if first > 1 {
				want = append(want, "operation:"+op.ID)
			}
			s.mu.Lock()
			assert.Equal(t, want, s.asked)
			s.mu.Unlock()
			known := create
			known.OperationID = op.ID // it was sent before: it may be over
			again, err := c.Submit(t.Context(), known, Wait{For: ForSettled})
			require.NoError(t, err)
			assert.True(t, again.Settled)
			s.mu.Lock()
			assert.Equal(t, append(want, "operation:"+op.ID), s.asked)
			s.mu.Unlock()
		})
	}
}

// A daemon in front of a server that is away has no stream, and queues the write.
func TestAWriteThatADaemonQueuesIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"operation_id":"`+r.Header.Get("Operation-Id")+`","id":"e","status":"queued"}`)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"kind":"unavailable","code":"server_unavailable","detail":"nothing answers"}`)
	}))
	defer d.Close()
	c, err := New(Options{URL: d.URL, RetryFor: -1})
	require.NoError(t, err)
	defer c.Close()
	op, err := c.Submit(t.Context(), create, Wait{For: ForSettled, Timeout: 10 * time.Second})
	assert.True(t, has(err, CodeWriteQueued), "%v", err)
	assert.Equal(t, Queued, op.Status)
	assert.Equal(t, "e", op.EntityID)
}
