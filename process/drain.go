package process

import (
	"context"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"stega/fault"
)

// drain counts the requests that run, so that the end can wait for them, and refuses those that come later. Health
// and metrics are not counted: they answer until the end.
type drain struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // made when the end begins; closed when the last request has ended
}

// middleware counts the requests below /v1.
func (d *drain) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !strings.HasPrefix(c.Request().URL.Path, "/v1/") {
			return next(c)
		}
		if !d.begin() {
			c.Response().Header().Set(echo.HeaderConnection, "close")
			return fault.Unavailable("stopping", "this process is ending").
				WithHint("try again: another process answers, or this one when it is back")
		}
		defer d.end()
		return next(c)
	}
}

func (d *drain) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.idle != nil {
		return false
	}
	d.running++
	return true
}

func (d *drain) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running--; d.running == 0 && d.idle != nil {
		close(d.idle)
	}
}

// wait refuses further requests, and blocks until the last one has ended or ctx ends. It is called once.
func (d *drain) wait(ctx context.Context) {
	d.mu.Lock()
	d.idle = make(chan struct{})
	if d.running == 0 {
		close(d.idle)
	}
	d.mu.Unlock()
	select {
	case <-d.idle:
	case <-ctx.Done():
	}
}
