package cmd

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

func newOpen(g *globals) *cobra.Command {
	var show bool
	c := &cobra.Command{
		Use: "open", Short: "Open the page in a browser, signed in", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Makes a link that signs a browser in once, and opens it. The link is printed when no browser can be
started, and with --print.`,
		Example: "  stega open\n  stega open --print",
		RunE: func(c *cobra.Command, args []string) error {
			g.direct = true // the link is good for a moment, so nothing keeps it for later
			return g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
				link, err := makeLink(ctx, cl)
				if err != nil {
					return err
				}
				if !show && !g.quiet && startBrowser(ctx, link) == nil {
					say(c, "%s opens in your browser", cl.URL())
					return nil
				}
				raw, err := json.Marshal(map[string]string{"url": link})
				if err != nil {
					return err
				}
				t := table{head: []string{""}}
				t.add(link)
				return g.show(c, view{raw: raw, ids: []string{link}, table: t})
			})(c, args)
		},
	}
	c.Flags().BoolVar(&show, "print", false, "print the link, and start no browser")
	return c
}

// makeLink has the server make a link, which must lead to the server.
func makeLink(ctx context.Context, cl *client.Client) (string, error) {
	made, err := client.Send[struct {
		URL string `json:"url"`
	}](ctx, cl, http.MethodPost, "/v1/links", struct{}{})
	if err != nil {
		return "", err
	}
	base, err := url.Parse(cl.URL() + "/")
	if err != nil {
		return "", err
	}
	link, err := base.Parse(made.Value.URL)
	if err != nil || made.Value.URL == "" {
		return "", fault.New(fault.KindInternal, "answer_strange", "%s made no link", cl.URL()).
			WithHint("what runs there? see: stega doctor").
			Because(err)
	}
	// a server behind a proxy need not know its own address, and cannot lead elsewhere
	base.Path, base.RawQuery, base.Fragment = link.Path, link.RawQuery, link.Fragment
	return base.String(), nil
}

// startBrowser starts the user's browser. What it is started with is seen by all users of the machine, so that is a
// file of this user alone which leads on to the link.
func startBrowser(ctx context.Context, link string) error {
	program := browser()
	if len(program) == 0 {
		return exec.ErrNotFound
	}
	path, err := exec.LookPath(program[0])
	if err != nil {
		return err
	}
	cache, ok := userFolder("XDG_CACHE_HOME", ".cache")
	if !ok {
		return os.ErrNotExist
	}
	file := filepath.Join(cache, "stega", "open.html")
	page := `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><meta ` +
		`http-equiv="refresh" content="0;url=` + html.EscapeString(
		link,
	) + `"><title>stega</title>`
	if err := writePrivately(file, []byte(page)); err != nil {
		return err
	}
	where := url.URL{Scheme: "file", Path: filepath.ToSlash(file)}
	if runtime.GOOS == "windows" {
		where.Path = "/" + where.Path
	}
	args := append(program[1:], where.String())
	return exec.CommandContext(context.WithoutCancel(ctx), path, args...).Start() //nolint:gosec // the user's browser
}

// browser is the program that opens addresses with the user's browser; none where nobody would see one.
func browser() []string {
	switch runtime.GOOS {
	case "darwin":
		return []string{"open"}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" && os.Getenv("WSL_DISTRO_NAME") == "" {
		return nil
	}
	return []string{"xdg-open"}
}
