package process

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"stega/broker"
	"stega/events"
	"stega/fault"
	"stega/rest"
)

// Each tail reads the log by itself, so one token and all tokens together have few of them.
const (
	tailsEach  = 8
	tailsTotal = 64
)

// quiet is how long the rest of a chunk is waited for when the broker does not report exactly where its log ends.
const quiet = time.Second / 2

// tail streams the log of events as lines of JSON, from ?from= (a position; by default only what comes), until the
// client goes, or with ?follow=false up to the end that the log has when the request comes. Internal events come with
// ?internal=true only.
func (p *Process) tail(c echo.Context) error {
	t, err := tailOf(c)
	if err != nil {
		return err
	}
	release := p.tails.take(rest.Caller(c.Request().Context()))
	if release == nil {
		return fault.New(fault.KindRateLimited, "too_many_tails",
			"the log is read by as many requests as may be: %d of one token, %d in all", tailsEach, tailsTotal).
			WithHint("end one of them, or subscribe to GET /v1/stream, where one connection carries many channels")
	}
	defer release()
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	var end broker.LogBounds
	if !t.follow {
		if end, err = p.broker.LogBounds(ctx); err != nil {
			return err
		}
	}
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "application/x-ndjson")
	if !t.follow && (end.Empty || t.from > end.Recent.Position) {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	entries, err := p.broker.Log(ctx, t.from)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	w.Flush()
	t.w, t.end = w, end
	t.run(ctx, entries, &p.ready)
	return nil
}

// tailing is one request for the log.
type tailing struct {
	from             uint64
	follow, internal bool
	end              broker.LogBounds // of one that does not follow
	began            time.Time
	w                *echo.Response
}

func tailOf(c echo.Context) (*tailing, error) {
	t := &tailing{from: broker.LogEnd, follow: rest.Arg[bool](c, "follow"), internal: rest.Arg[bool](c, "internal"),
		began: time.Now()}
	if v := rest.Arg[string](c, "from"); v != "" {
		var err error
		if t.from, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, fault.Malformed("position_invalid", "%.64q is not a position of the log", v).
				WithHint("positions are whole numbers; 0 is the oldest")
		}
	}
	return t, nil
}

// run writes entries until the client or the process ends, or the end is reached.
func (t *tailing) run(ctx context.Context, entries <-chan broker.LogEntry, ready interface{ Load() bool }) {
	// The server is shut down gracefully only when this ends.
	look := time.NewTicker(quiet)
	defer look.Stop()
	encoder := json.NewEncoder(t.w)
	reached, idle := false, false
	for {
		select {
		case e, open := <-entries:
			if !open || reached && e.Time.After(t.began.Add(quiet)) { // it was not in the log when the request came
				return
			}
			if idle = false; t.shown(e) {
				if encoder.Encode(NewLogLine(e)) != nil {
					return
				}
				t.w.Flush()
			}
			if reached = !t.follow && e.Position >= t.end.Recent.Position; reached && t.end.Exact {
				return
			}
		case <-look.C:
			if !ready.Load() || reached && idle {
				return
			}
			idle = true
		case <-ctx.Done():
			return
		}
	}
}

func (t *tailing) shown(e broker.LogEntry) bool { return t.internal || !events.IsInternal(e.Type) }
