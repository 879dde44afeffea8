package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/fault"
	"stega/process"
)

func newHealth() *cobra.Command {
	var server api
	c := &cobra.Command{
		Use: "health", Short: "Say whether stega is ready, and what is missing", Args: cobra.NoArgs, Example: "  stega health --url http://127.0.0.1:8420",
		RunE: func(c *cobra.Command, _ []string) error {
			if at, err := url.Parse(server.url); err != nil || at.Host == "" {
				return fault.Usage("url_invalid", "%q is not where stega can run", server.url).WithHint("say --url http://127.0.0.1:8420")
			}
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(server.url, "/")+"/readyz", nil)
			if err != nil {
				return fault.Usage("url_invalid", "%q is not where stega can run", server.url)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				return fault.Unavailable("server_unavailable", "nothing answers at %s", server.url).WithHint("start it with: stega up").Because(err)
			}
			defer func() { _ = answer.Body.Close() }()
			var h process.Health
			if err := json.NewDecoder(answer.Body).Decode(&h); err != nil {
				return fault.Unavailable("answer_strange", "what answers at %s is not stega", server.url)
			}
			for _, name := range slices.Sorted(maps.Keys(h.Missing)) {
				_, _ = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", name, h.Missing[name])
			}
			if answer.StatusCode != http.StatusOK {
				return fault.Unavailable("not_ready", "stega at %s is not ready", server.url)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), h.Status)
			return err
		},
	}
	server.flags(c)
	return c
}

func newVersion() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use: "version", Short: "Say which stega this is", Args: cobra.NoArgs, Example: "  stega version -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			asJSON, err := out.json()
			if err != nil {
				return err
			}
			v := version()
			if asJSON {
				return print(c.OutOrStdout(), v)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "stega %s (%s, %s)\n", v.Version, v.Revision, v.Go)
			return err
		},
	}
	out.flags(c)
	return c
}

// about is which program this is.
type about struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

func version() about {
	v := about{"devel", "unknown", "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	return v
}
