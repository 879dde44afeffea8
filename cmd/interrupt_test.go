package cmd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stega/internal/stegatest"
	"stega/store"
)

// wide are prices of many symbols over many days, and the symbols.
func wide(symbols, days int) (csv string, names []string) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("date")
	prices := make([]float64, symbols)
	for i := range prices {
		prices[i] = 100
		names = append(names, fmt.Sprintf("W%03d", i))
	}
	b.WriteString("," + strings.Join(names, ",") + "\n")
	for d := range days {
		b.WriteString(time.Date(2015, 1, 1+d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		for i := range prices {
			prices[i] *= 1 + rng.NormFloat64()*.01
			_, _ = fmt.Fprintf(&b, ",%.4f", prices[i])
		}
		b.WriteString("\n")
	}
	return b.String(), names
}

//nolint:paralleltest // it sets the environment
func TestCtrlCCancelsAJobOrLeavesItRunning(t *testing.T) {
	server := stegatest.Up(t)
	t.Setenv("STEGA_TOKEN", server.Token)
	csv, names := wide(200, 2500)
	server.Import(csv, "")
	var known struct{ Items []struct{ ID string } }
	server.Eventually("the returns are known", func() bool {
		var o struct{ Settled bool }
		server.Get("/v1/operations?limit=1", &known)
		server.Get("/v1/operations/"+known.Items[0].ID, &o)
		return o.Settled
	})
	interrupt := func(on string) (status int, stderr string, op store.Operation) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		over := make(chan struct{})
		defer func() { <-over }()
		seen := known.Items[0].ID
		go func() {
			defer close(over)
			server.Eventually("the job runs", func() bool {
				var ops struct{ Items []store.Operation }
				server.Get("/v1/operations?limit=1", &ops)
				op = ops.Items[0]
				return op.ID != seen && op.Status == store.Running
			})
			cancel()
		}()
		args := append(
			[]string{"optimize", "--objective", "min_cdar", "--url", server.URL, "--direct", "--on-interrupt", on},
			names...)
		status, _, stderr = command(ctx, t, args...)
		known.Items[0].ID = op.ID
		return status, stderr, op
	}
	status, stderr, op := interrupt("cancel")
	assert.Equal(t, 130, status)
	assert.Contains(t, stderr, "operation "+op.ID+" is cancelled")
	status, stderr, op = interrupt("ask") // nobody is there to be asked
	assert.Equal(t, 130, status)
	assert.Contains(t, stderr, "no longer waiting; operation "+op.ID+" goes on")
	var o store.Operation
	server.Eventually("it goes on to its end", func() bool {
		server.Get("/v1/operations/"+op.ID, &o)
		return o.Done()
	})
	assert.Equal(t, store.Succeeded, o.Status)
}

func TestWhoSaysNothingLeavesTheJobRunning(t *testing.T) {
	t.Parallel()
	for said, end := range map[string]bool{
		"y\n":        true,
		" YES \n":    true,
		"y":          true,
		"n\n":        false,
		"\n":         false,
		"":           false,
		"leave it\n": false,
	} {
		var out bytes.Buffer
		assert.Equal(t, end, wantsEnd(strings.NewReader(said), &out), "%q", said)
		assert.Contains(t, out.String(), "cancel the operation?")
	}
}
