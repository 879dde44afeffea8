package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

func newAPI(g *globals) *cobra.Command {
	var method, data string
	var headers []string
	var include bool
	c := &cobra.Command{
		Use: "api [METHOD] PATH", Short: "Send any request with the right token", Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Sends a request to the server and prints the body of its answer, as it comes. The paths are those of GET
/v1/openapi.json. Without METHOD it is GET, or POST when there are data. The exit status is that of the answer, see:
stega --help.`,
		Example: `  stega api /v1/portfolios
  stega api '/v1/returns/assets/AAPL?from=2026-01-01' --include
  stega api POST /v1/portfolios -d @portfolio.json
  stega api DELETE /v1/portfolios/019a2f60-0000-7000-8000-000000000000`,
		RunE: func(c *cobra.Command, args []string) error {
			g.direct = true // it is the server's own answer that is wanted
			return g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
				r, err := apiRequest(c.InOrStdin(), args, method, data, headers)
				if err != nil {
					return err
				}
				return g.api(ctx, c, cl, r, include)
			})(c, args)
		},
	}
	f := c.Flags()
	f.StringVarP(&method, "method", "X", "", "method of the request (default GET, or POST with --data)")
	f.StringVarP(&data, "data", "d", "", "body of the request: text, @file, or - for the standard input")
	f.StringArrayVarP(
		&headers, "header", "H", nil, "header of the request, such as 'If-Match: \"3\"'; can be given several times",
	)
	f.BoolVarP(&include, "include", "i", false, "print the status and the headers of the answer too")
	_ = c.RegisterFlagCompletionFunc("method", oneOf("GET", "POST", "PUT", "DELETE"))
	return c
}

// apiRequest is the request that a command line describes.
func apiRequest(in io.Reader, args []string, method, data string, headers []string) (r client.Request, err error) {
	if len(args) == 2 {
		if method != "" {
			return r, fault.Usage("method_twice", "%s and --method both name the method", args[0]).
				WithHint("name it once")
		}
		method = args[0]
	}
	path := args[len(args)-1]
	if !strings.HasPrefix(path, "/") {
		return r, fault.Usage("path_invalid", "%q is not a path", path).
			WithHint("a path begins with a slash: /v1/portfolios; the server is named by --url")
	}
	r = client.Request{Method: strings.ToUpper(method), Path: path, Header: http.Header{}}
	if data != "" {
		body, err := readData(in, data)
		if err != nil {
			return r, err
		}
		r.Body, r.ContentType = bytes.NewReader(body), "application/json"
		if !json.Valid(body) {
			r.ContentType = "text/csv" // the other kind of body that the server takes
		}
	}
	switch {
	case r.Method != "":
	case r.Body != nil:
		r.Method = http.MethodPost
	default:
		r.Method = http.MethodGet
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); !ok || name == "" {
			return r, fault.Usage("header_invalid", "%q is not a header", h).WithHint("write it like 'Prefer: wait=5'")
		}
		if name == "Content-Type" {
			r.ContentType = strings.TrimSpace(value)
			continue
		}
		r.Header[name] = append(r.Header[name], strings.TrimSpace(value))
	}
	return r, nil
}

// api sends a request and prints its answer. --timeout is for the beginning of the answer, unless it was given: then
// it is for all of it.
func (g *globals) api(ctx context.Context, c *cobra.Command, cl *client.Client, r client.Request, include bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begun := func() bool { return true }
	if g.timeout > 0 {
		late := time.AfterFunc(g.timeout, func() { cancel(g.late()) })
		defer late.Stop()
		if !c.Flags().Changed("timeout") {
			begun = late.Stop
		}
	}
	answer, err := cl.Ask(ctx, r)
	if err != nil {
		return err
	}
	begun()
	defer func() { _ = answer.Body.Close() }()
	out := c.OutOrStdout()
	if include {
		printf(out, "%s %s\n", answer.Proto, answer.Status)
		for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
			for _, value := range answer.Header[name] {
				printf(out, "%s: %s\n", name, value)
			}
		}
		printf(out, "\n")
	}
	var kept bytes.Buffer
	body := io.Reader(answer.Body)
	if answer.StatusCode >= http.StatusBadRequest {
		body = io.TeeReader(body, &kept)
	}
	shown := bodyWriter(out, answer.Header.Get("Content-Type"))
	_, err = io.Copy(shown, body)
	if closer, ok := shown.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case answer.StatusCode >= http.StatusBadRequest:
		answer.Body = io.NopCloser(&kept)
		return cl.Problem(answer)
	}
	return nil
}

// bodyWriter writes a body: JSON with nothing in it that could steer a terminal, and other text likewise when there
// is a terminal. What goes elsewhere is written byte by byte.
func bodyWriter(out io.Writer, kind string) io.Writer {
	if strings.Contains(kind, "json") {
		return &pieces{show: func(b []byte) error { return writeJSON(out, b) }}
	}
	if terminal(out) {
		return &pieces{show: func(b []byte) error { return writeLines(out, b) }}
	}
	return struct{ io.Writer }{out} // of a file, io.Copy would have the kernel copy, after all that was read
}

// pieces passes text on in pieces that end with a whole character.
type pieces struct {
	rest []byte
	show func([]byte) error
}

func (p *pieces) Write(b []byte) (int, error) {
	all := append(p.rest, b...)
	end := len(all)
	for i := max(0, end-utf8.UTFMax); i < end; i++ {
		if utf8.RuneStart(all[i]) && !utf8.FullRune(all[i:]) {
			end = i
		}
	}
	err := p.show(all[:end])
	p.rest = bytes.Clone(all[end:])
	return len(b), err
}

// Close writes what is left.
func (p *pieces) Close() error {
	if len(p.rest) == 0 {
		return nil
	}
	return p.show(p.rest)
}
