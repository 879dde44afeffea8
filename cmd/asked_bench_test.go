package cmd

import (
	"fmt"
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

// portfolioList is a server's list of so many portfolios.
func portfolioList(n int) answering {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"id":"019a2f60-0000-7000-8000-%012d","name":"core%d","version":1,"assets":[{"symbol":"A","weight":"0.6"},{"symbol":"B","weight":"0.4"}],`+
			`"created_at":"2026-01-02T03:04:05.678901Z","updated_at":"2026-01-02T03:04:05.678901Z"}`, i, i)
	}
	return answering(`{"items":[` + strings.Join(items, ",") + `],"next_cursor":""}`)
}

// BenchmarkAsked is what a command costs that the daemon runs, without its answer: building the command line, finding the server, printing.
func BenchmarkAsked(b *testing.B) {
	for _, m := range []struct {
		name       string
		portfolios int
		args       []string
	}{
		{"list", 1, []string{"portfolio", "list"}},
		{"list of 1000", 1000, []string{"portfolio", "list"}},
		{"completion", 1, []string{"__complete", "portfolio", "get", ""}},
	} {
		b.Run(m.name, func(b *testing.B) {
			env := map[string]string{"HOME": b.TempDir()}
			list := portfolioList(m.portfolios)
			for b.Loop() {
				out := runAsked(b.Context(), daemon.Command{Args: m.args, Env: env, HTTP: list}, func() {})
				require.Zero(b, out.Status, string(out.Stderr))
			}
		})
	}
}
