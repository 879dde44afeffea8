package cmd

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stega/daemon"
)

// answering answers every request with the same text.
type answering string

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(a))), Request: r,
	}, nil
}

// BenchmarkAsked is what a command costs that the daemon runs, without its answer: building the command line, finding the server, printing.
func BenchmarkAsked(b *testing.B) {
	list := answering(`{"items":[{"id":"019a2f60-0000-7000-8000-000000000000","name":"core","version":1,"assets":[{"symbol":"A","weight":"1"}]}],"next_cursor":""}`)
	for _, args := range [][]string{{"portfolio", "list"}, {"__complete", "portfolio", "get", ""}} {
		b.Run(strings.Join(args, " "), func(b *testing.B) {
			env := map[string]string{"HOME": b.TempDir()}
			for b.Loop() {
				out := runAsked(b.Context(), daemon.Command{Args: args, Env: env, HTTP: list}, func() {})
				require.Zero(b, out.Status, string(out.Stderr))
			}
		})
	}
}
