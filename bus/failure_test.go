package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"

	"stega/fault"
)

func TestCause(t *testing.T) {
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"a fault's code", "name_taken", fmt.Errorf("create: %w", fault.Conflict("name_taken", "taken"))},
		{"a text without ids", "load portfolio #: connection refused",
			errors.New("load portfolio 0192f0c1-7d3e-7a4b-9f55-1c2d3e4f5a6b: connection refused")},
		{"a text without quoted words", "symbol … is unknown", errors.New(`symbol "AAPL" is unknown`)},
		{"a text without dates and amounts", "no price on #, want #.#",
			errors.New("no price on 2024-01-31, want 12.5")},
		{"the first line of a panic", "panic: index out of range [#]",
			&panicked{value: "index out of range [7]", stack: []byte("goroutine 1")}},
		{"an unpaired quote", `the "end`, errors.New(`the "end`)},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, cause(c.err)) })
	}
	assert.LessOrEqual(t, len(cause(errors.New(strings.Repeat("word ", 1000)))), maxShape+8)
}

func TestText(t *testing.T) {
	assert.LessOrEqual(t, len(text(errors.New(strings.Repeat("é", maxErrorText)))), maxErrorText+4)
	assert.Equal(t, "ab", text(errors.New("a\x00b")))
}

func TestBreaker(t *testing.T) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "open"})
	var p pauses
	b := newBreaker(3, &p, gauge)
	no := errors.New("connection refused")
	assert.False(t, b.failed("a", no))
	assert.False(t, b.failed("a", no), "the same subject counts once")
	assert.False(t, b.failed("b", no))
	b.succeeded()
	assert.False(t, b.failed("c", no))
	assert.False(t, b.failed("d", no))
	assert.Nil(t, b.open())
	assert.True(t, b.failed("e", no), "the third in a row is not parked")
	closed := b.open()
	assert.NotNil(t, closed)
	assert.Equal(t, "3 subjects failed in a row, the last with: connection refused", p.reason())
	assert.InDelta(t, 1, value(t, gauge), 0)
	b.succeeded()
	<-closed
	assert.Nil(t, b.open())
	assert.Empty(t, p.reason())
	assert.InDelta(t, 0, value(t, gauge), 0)

	for _, s := range []string{"a", "b", "c"} {
		b.failed(s, no)
	}
	b.probing(+1)
	b.probing(+1)
	b.probing(-1)
	assert.NotNil(t, b.open(), "another lane still holds messages")
	b.probing(-1)
	assert.Nil(t, b.open(), "nobody could close it any more")
}
