package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// script is a service that answers as it is told: with a status, or with an error for 0.
type script struct {
	mu     sync.Mutex
	status []int
	asked  int
	hold   time.Duration
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	i := s.asked
	s.asked++
	status := 0
	if i < len(s.status) {
		status = s.status[i]
	}
	s.mu.Unlock()
	if s.hold > 0 {
		t := time.NewTimer(s.hold)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		return nil, errors.New("reset")
	}
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{},
		Body:       io.NopCloser(strings.NewReader("")),
		Request:    r,
	}, nil
}

func (s *script) now(status ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.asked = status, 0
}

func scripted(s *script) *upstream {
	g := New(Options{
		Table:     paths,
		Upstreams: []Upstream{{Service: "portfolio", URL: &url.URL{Scheme: "http", Host: "x"}}},
	})
	u := g.upstreams["portfolio"]
	u.transport = s
	return u
}

func send(u *upstream, method string) error {
	r, err := http.NewRequest(method, "http://x/v1/portfolios", nil)
	if err != nil {
		return err
	}
	answer, err := u.RoundTrip(r)
	if err == nil {
		err = answer.Body.Close()
	}
	return err
}

func TestTheBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		u := scripted(s)
		for range 4 {
			require.Error(t, send(u, "POST"))
			assert.Equal(t, closed, u.breaker.now())
		}
		require.Error(t, send(u, "POST"))
		assert.Equal(t, opened, u.breaker.now())
		assert.Equal(t, 5, s.asked)

		var open openError
		require.ErrorAs(t, send(u, "POST"), &open)
		assert.Equal(t, time.Second, open.wait)
		require.ErrorAs(t, send(u, "GET"), &open, "and reads do not wait for it either")
		assert.Equal(t, 5, s.asked, "nobody asked")

		t.Log("a try that fails doubles the rest")
		time.Sleep(time.Second)
		require.Error(t, send(u, "POST"))
		assert.Equal(t, 6, s.asked)
		require.ErrorAs(t, send(u, "POST"), &open)
		assert.Equal(t, 2*time.Second, open.wait)
		for range 10 {
			time.Sleep(open.wait)
			require.NotErrorAs(t, send(u, "POST"), &openError{})
			require.ErrorAs(t, send(u, "POST"), &open)
		}
		assert.Equal(t, 30*time.Second, open.wait, "to an end")

		t.Log("of many, one tries; when it works, all may")
		s.now(200, 200, 200)
		s.hold = time.Second
		time.Sleep(open.wait)
		var all sync.WaitGroup
		results := make(chan error, 20)
		for range 20 {
			all.Go(func() { results <- send(u, "POST") })
		}
		all.Wait()
		close(results)
		worked := 0
		for err := range results {
			if err == nil {
				worked++
			}
		}
		assert.Equal(t, 1, worked)
		assert.Equal(t, 1, s.asked)
		assert.Equal(t, closed, u.breaker.now())
		s.hold = 0
		require.NoError(t, send(u, "POST"))
		require.NoError(t, send(u, "POST"))

		t.Log("failures count in a row only")
		s.now(0, 0, 0, 0, 200, 0, 0, 0, 0, 200)
		for range 10 {
			_ = send(u, "POST")
		}
		assert.Equal(t, closed, u.breaker.now())
	})
}

func TestReadsAreTriedExactlySoOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			method string
			script []int
			asked  int
			fails  bool
		}{
			{"GET", nil, 3, true},
			{"HEAD", nil, 3, true},
			{"GET", []int{0, 200}, 2, false},
			{"GET", []int{0, 502, 200}, 3, false},
			{"GET", []int{503, 503, 503, 200}, 3, false}, // the last answer is passed on
			{"GET", []int{500}, 1, false},
			{"GET", []int{504}, 1, false},
			{"GET", []int{404}, 1, false},
			{"POST", nil, 1, true},
			{"PUT", nil, 1, true},
			{"DELETE", nil, 1, true},
			{"POST", []int{502}, 1, false},
		} {
			s := &script{status: c.script}
			began := time.Now()
			err := send(scripted(s), c.method)
			assert.Equal(t, c.asked, s.asked, "%s %v", c.method, c.script)
			assert.Equal(t, c.fails, err != nil, "%s %v", c.method, c.script)
			assert.LessOrEqual(t, time.Since(began), 300*time.Millisecond+2, "%s %v", c.method, c.script)
		}
	})
}

func TestWhoGoesAwayIsNotHeldAgainstAService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{hold: time.Hour}
		u := scripted(s)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", nil)
			require.NoError(t, err)
			_, err = u.RoundTrip(r)
			require.Error(t, err)
			cancel()
		}
		assert.Equal(t, closed, u.breaker.now())
		assert.Equal(t, 10, s.asked)

		t.Log("nor is the try of an open breaker used up by one who goes")
		s.hold = 0
		for range 5 {
			_ = send(u, "POST")
		}
		require.Equal(t, opened, u.breaker.now())
		time.Sleep(time.Second)
		s.hold = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", nil)
		require.NoError(t, err)
		_, err = u.RoundTrip(r)
		require.Error(t, err)
		s.hold = 0
		s.now(200)
		require.NoError(t, send(u, "POST"))
		assert.Equal(t, closed, u.breaker.now())
	})
}

func TestASlowServiceIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{hold: time.Hour}
		began := time.Now()
		require.ErrorIs(t, send(scripted(s), "GET"), errSlow)
		assert.Equal(t, 30*time.Second, time.Since(began))
		assert.Equal(t, 1, s.asked)
	})
}
