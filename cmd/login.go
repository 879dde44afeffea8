package cmd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"stega/client"
	"stega/fault"
)

func newLogin(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "login [NAME]", Short: "Log in to a server", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Asks for a token, tries it, and keeps it with the server's URL as a context, which becomes the current
one. The token is typed, or read from the standard input when that is no terminal; it is never a flag, where others
could see it. The context is called like the server unless NAME says otherwise. Tokens are made with: stega token
create.`, Example: `  stega login --url https://stega.example.com
  stega login team --url https://stega.example.com < token.txt`,
		RunE: func(c *cobra.Command, args []string) error {
			at, err := g.place()
			if err != nil {
				return err
			}
			name, err := contextName(at, args)
			if err != nil {
				return err
			}
			token, err := readToken(c.InOrStdin(), c.ErrOrStderr(), at.URL)
			if err != nil {
				return err
			}
			at.Token, at.From, at.Local = token, "what was typed", false
			g.at = at
			if err := g.try(c.Context(), at); err != nil {
				return g.blame(err)
			}
			config, err := g.readContexts()
			if err != nil {
				return err
			}
			config.Contexts[name] = endpoint{URL: at.URL, Token: token, clientTLS: at.TLS}
			config.Current = name
			if err := g.save(config); err != nil {
				return err
			}
			printf(c.ErrOrStderr(), "logged in to %s; the current context is %s\n", at.URL, name)
			return nil
		},
	}
}

// contextName is the name that was asked for, that of the context that was chosen, or the server's.
func contextName(at place, args []string) (string, error) {
	switch {
	case len(args) > 0:
		return args[0], checkContextName(args[0])
	case at.Context != "":
		return at.Context, nil
	}
	u, err := url.Parse(at.URL)
	if err != nil || u.Host == "" {
		return "", fault.Usage("url_invalid", "%q is not where stega can run", at.URL).
			WithHint("a URL looks like %s", defaultURL)
	}
	return u.Host, nil
}

func checkContextName(name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\n/\\") {
		return fault.Usage("context_name_invalid", "%q cannot be the name of a context", name).
			WithHint("take a word, such as work")
	}
	return nil
}

// maxToken bounds what is read as a token.
const maxToken = 4096

// readToken asks on a terminal, without showing what is typed, and else reads a line.
func readToken(in io.Reader, ask io.Writer, where string) (string, error) {
	var text string
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		printf(ask, "token for %s: ", where)
		b, err := term.ReadPassword(int(f.Fd()))
		printf(ask, "\n")
		if err != nil {
			return "", fault.Usage("token_unreadable", "the token cannot be read").Because(err)
		}
		text = string(b)
	} else {
		line, err := bufio.NewReader(io.LimitReader(in, maxToken)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fault.Usage("token_unreadable", "the token cannot be read").Because(err)
		}
		text = line
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fault.Usage("token_missing", "there is no token").
			WithHint("type it when asked, or send it to the standard input: stega login < token.txt")
	}
	return text, nil
}

// try sees whether a server takes a token.
func (g *globals) try(ctx context.Context, at place) error {
	cl, err := at.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := g.limit(ctx)
	defer cancel()
	_, err = cl.Portfolios(ctx, client.Page{Limit: 1}, "")
	return err
}
