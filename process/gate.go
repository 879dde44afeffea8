package process

import (
	"context"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"stega/fault"
)

// gate counts the requests that run, so that the end can wait for them, and turns away those that come later. Health
// and metrics do not pass through it: they answer until the end.
type gate struct {
	mu     sync.Mutex
	inside int
	empty  chan struct{} // made when the gate closes; closed when the last request has left
}

// through is the middleware that sends what is below /v1 through the gate.
func (g *gate) through(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !strings.HasPrefix(c.Request().URL.Path, "/v1/") {
			return next(c)
		}
		if !g.enter() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
			return fault.Unavailable("stopping", "this process is ending").WithHint("try again: another one answers, or this one when it is back")
		}
		defer g.leave()
		return next(c)
	}
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.empty != nil {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
	}
}

// close lets nothing in any more, and waits until the last request has left or ctx ends. It is called once.
func (g *gate) close(ctx context.Context) {
	g.mu.Lock()
	g.empty = make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
	case <-ctx.Done():
	}
}
