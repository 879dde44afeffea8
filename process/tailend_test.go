package process

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"

	"stega/broker"
	"stega/events"
)

// A broker that names only the last chunk of its log goes on delivering while others write. What came after the
// request does not keep it open.
func TestATailEndsWhileOthersWrite(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	entries := make(chan broker.LogEntry)
	go func() {
		began := time.Now()
		for position := uint64(0); ; position++ {
			e := broker.LogEntry{Position: position, Message: events.Message{Data: []byte("{}")}}
			e.Type, e.Time = "portfolio.created", began.Add(-time.Second)
			if position > 5 { // the chunk of the last known position, 3, ends with 5
				e.Time = time.Now()
			}
			select {
			case entries <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	answer := httptest.NewRecorder()
	var ready atomic.Bool
	ready.Store(true)
	tail := tailing{began: time.Now(), w: echo.NewResponse(answer, echo.New())}
	tail.end.Recent.Position = 3
	tail.run(ctx, entries, &ready)
	assert.NoError(t, ctx.Err(), "it ends by itself")
	assert.GreaterOrEqual(t, strings.Count(answer.Body.String(), "\n"), 6)
}
