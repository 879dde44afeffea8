package process

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"stega/broker"
	"stega/fault"
	"stega/store"
)

// Health is the answer of /readyz: ready; degraded, which takes requests and has something wrong; or not ready. It
// names what is wrong without details, which the process logs.
type Health struct {
	Status   string            `json:"status"` // ready, degraded, or not ready
	Missing  map[string]string `json:"missing,omitempty"`
	Degraded map[string]string `json:"degraded,omitempty"`
}

const (
	// inspectEvery is the time between checks that the exchanges and the log exist.
	inspectEvery = 3 * time.Second
	// unsentLimit is the age of an unsent event from which on the relay is taken for stuck.
	unsentLimit = 30 * time.Second
)

// readyz answers 503 when the process is not ready, else 200. ARCHITECTURE.md has the table of conditions.
func (p *Process) readyz(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), 2*time.Second)
	defer cancel()
	h := p.health(ctx)
	status := http.StatusOK
	if h.Status == "not ready" {
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, h)
}

func (p *Process) health(ctx context.Context) Health {
	h := Health{Missing: map[string]string{}, Degraded: map[string]string{}}
	// Without the broker, an api goes on to answer reads and to accept writes; a consumer has nothing to do.
	needsBroker := h.Degraded
	if p.has(Consumer) {
		needsBroker = h.Missing
	}
	if !p.ready.Load() {
		h.Missing["process"] = "starting or stopping"
	}
	s := p.broker.State()
	switch {
	case !s.Connected:
		needsBroker["broker"] = "no connection"
	case s.Blocked != "":
		needsBroker["broker"] = "takes no messages: " + s.Blocked
	}
	for _, l := range p.inspected.lacks() {
		h.Missing[l.Part] = plain(l.Err)
	}
	if p.edge.Trouble() != nil && s.Connected {
		h.Missing["event log"] = "cannot be followed"
	} else if p.edge.Trouble() != nil {
		h.Degraded["event log"] = "cannot be followed while the broker is away"
	}
	for _, part := range p.parts {
		p.healthOf(ctx, part, s.Connected && s.Blocked == "", &h)
	}
	switch {
	case len(h.Missing) > 0:
		h.Status = "not ready"
	case len(h.Degraded) > 0:
		h.Status = "degraded"
	default:
		h.Status = "ready"
	}
	return h
}

func (p *Process) healthOf(ctx context.Context, part *part, connected bool, h *Health) {
	name := part.service.Name()
	if part.consumer != nil {
		for _, l := range part.consumer.Lacks() {
			h.Missing[l.Part] = plain(l.Err)
		}
		if part.consumer.Paused() != "" {
			h.Missing["consumer of "+name] = "paused: something that it depends on is away, or everything fails"
		}
		if part.consumer.Hung() != "" {
			h.Missing["handler of "+name] = "a handler runs for longer than it may"
		}
	}
	err := part.db.Ping(ctx)
	var age time.Duration
	if err == nil {
		age, err = part.db.OldestUnsent(ctx)
	}
	var dead []store.ParkedMessage
	if err == nil {
		dead, err = part.db.DeadLetters(ctx, store.Dead, 1, 0)
	}
	if err != nil {
		h.Missing["database of "+name] = "does not answer, or takes no writes"
		return
	}
	if connected && age > unsentLimit {
		h.Degraded["outbox of "+name] = "the oldest unsent event is " + age.Round(time.Second).String() + " old"
	}
	if len(dead) > 0 {
		h.Degraded["dead letters of "+name] = "there are some: list them with stega dead list"
	}
}

// plain returns an error without its cause, which only operators may read.
func plain(err error) string {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return "it fails: see the log"
	}
	text := f.Detail
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return text
}

// inspected is what the process lacks of the broker's parts that all share.
type inspected struct {
	mu   sync.Mutex
	last []broker.Lack
}

func (i *inspected) lacks() []broker.Lack {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last
}

// inspect checks the exchanges and the log of the broker until ctx ends, and logs what is missing.
func (p *Process) inspect(ctx context.Context) error {
	inspector, ok := p.broker.(broker.Inspector)
	if !ok {
		return nil
	}
	tick := time.NewTicker(inspectEvery)
	defer tick.Stop()
	report := broker.LackLog{Log: p.cfg.Log}
	for {
		limited, cancel := context.WithTimeout(ctx, 2*inspectEvery)
		lacks, err := inspector.Inspect(limited, broker.Topology{})
		cancel()
		if err == nil {
			p.inspected.mu.Lock()
			p.inspected.last = lacks
			p.inspected.mu.Unlock()
			report.Report(lacks)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
