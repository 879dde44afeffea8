package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/fault"
)

// api is a running stega that a command talks to.
type api struct {
	url string
}

func (a *api) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.url, "url", env("STEGA_URL", "http://127.0.0.1:8420"), "where stega runs")
}

// do asks, and returns a body that the caller closes; a fault of the server comes back as the same fault.
func (a *api) do(ctx context.Context, method, path, contentType string, body io.Reader, headers ...string) (io.ReadCloser, error) {
	base, err := url.Parse(a.url)
	if err != nil || base.Host == "" {
		return nil, fault.Usage("url_invalid", "%q is not where stega can run", a.url).WithHint("say --url http://127.0.0.1:8420")
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(a.url, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fault.Unavailable("server_unavailable", "nothing answers at %s", a.url).
			WithHint("start it with: stega up; or say where it runs with --url or STEGA_URL").Because(err)
	}
	if answer.StatusCode < http.StatusBadRequest {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var f fault.Fault
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&f); err != nil || f.Kind == "" {
		return nil, fault.New(fault.KindInternal, "answer_strange", "%s answers %s", a.url, answer.Status).
			WithHint("is it stega that runs there?")
	}
	return nil, &f
}

// json asks and reads the answer.
func (a *api) json(ctx context.Context, method, path string, body, into any, headers ...string) error {
	var reader io.Reader
	contentType := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader, contentType = bytes.NewReader(b), "application/json"
	}
	answer, err := a.do(ctx, method, path, contentType, reader, headers...)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(answer).Decode(into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// print writes a value as JSON.
func print(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// output is the flag -o.
type output struct{ format string }

func (o *output) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "table", "table or json")
}

func (o *output) json() (bool, error) {
	switch o.format {
	case "table":
		return false, nil
	case "json":
		return true, nil
	}
	return false, fault.Usage("output_unknown", "there is no output %q", o.format).WithHint("say -o table or -o json")
}

// ago is how long a time is past, for people.
func ago(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return time.Since(*t).Round(time.Second).String()
}
