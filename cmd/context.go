package cmd

import (
	"encoding/json"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
	"stega/text"
)

func newContext(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "context", Aliases: []string{"contexts"}, Short: "Manage contexts, which name servers",
		Example: "  stega context list\n  stega context add work https://stega.example.com\n  stega context use work",
	})
	c.AddCommand(newContextList(g), newContextUse(g), newContextAdd(g), newContextRemove(g))
	return c
}

// contextNames completes the first argument with the names of contexts.
func (g *globals) contextNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	config, _ := g.readContexts()
	return config.names(), cobra.ShellCompDirectiveNoFileComp
}

func newContextList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts; * is the current one", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega context list", Annotations: csvToo,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := g.readContexts()
			if err != nil {
				return err
			}
			list := []contextEntry{}
			for _, name := range config.names() {
				e := config.Contexts[name]
				list = append(list, contextEntry{name, e.URL, name == config.Current, e.Token != ""})
			}
			v := contextColumns.view(list, func(e contextEntry) string { return e.Name })
			v.note = "there are no contexts; create one with: stega login, or: stega context add NAME URL"
			if v.raw, err = json.Marshal(list); err != nil {
				return err
			}
			return g.show(c, v)
		},
	}
}

func newContextUse(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Switch to a context", Args: cobra.ExactArgs(1), ValidArgsFunction: g.contextNames,
		Example: "  stega context use work",
		RunE: func(c *cobra.Command, args []string) error {
			config, err := g.readContexts()
			if err != nil {
				return err
			}
			at, err := config.place(args[0])
			if err != nil {
				return err
			}
			config.Current = args[0]
			if err := g.save(config); err != nil {
				return err
			}
			printf(c.ErrOrStderr(), "commands now talk to %s\n", at.URL)
			if url := os.Getenv("STEGA_URL"); url != "" {
				printf(c.ErrOrStderr(), "once STEGA_URL is unset: it is %s, and goes first\n", text.RedactURL(url))
			}
			return nil
		},
	}
}

func newContextAdd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "add NAME URL", Short: "Give a server a name", Args: cobra.ExactArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		Long:              "Gives a server a name. One that needs a token gets it with: stega login --context NAME.",
		Example:           "  stega context add work https://stega.example.com",
		RunE: func(c *cobra.Command, args []string) error {
			name, where := args[0], args[1]
			if err := checkContextName(name); err != nil {
				return err
			}
			cl, err := client.New(client.Options{URL: where})
			if err != nil {
				return err
			}
			config, err := g.readContexts()
			if err != nil {
				return err
			}
			if _, ok := config.Contexts[name]; ok {
				return fault.Conflict("context_taken", "there is a context %q already", name).
					WithHint("remove it first: stega context remove %s", name)
			}
			config.Contexts[name] = endpoint{URL: cl.URL(), clientTLS: g.tls.over(clientTLS{})}
			how := "; use it with: stega context use " + name
			if config.Current == "" {
				config.Current, how = name, ", the current context"
			}
			if err := g.save(config); err != nil {
				return err
			}
			printf(c.ErrOrStderr(), "%s is %s%s\n", name, cl.URL(), how)
			return nil
		},
	}
}

func newContextRemove(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a context and its token", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.contextNames,
		Example:           "  stega context remove work",
		RunE: func(c *cobra.Command, args []string) error {
			config, err := g.readContexts()
			if err != nil {
				return err
			}
			if _, err := config.place(args[0]); err != nil {
				return err
			}
			delete(config.Contexts, args[0])
			if config.Current == args[0] {
				config.Current = ""
			}
			if err := g.save(config); err != nil {
				return err
			}
			printf(c.ErrOrStderr(), "%s is forgotten\n", args[0])
			return nil
		},
	}
}

// contextEntry is a context as it is listed.
type contextEntry struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Current bool   `json:"current"`
	Token   bool   `json:"token"` // whether there is one; the token itself stays in the file
}

var contextColumns = columns[contextEntry]{
	{head: " ", csv: "-", value: func(e contextEntry) string { return map[bool]string{true: "*"}[e.Current] }},
	{head: "NAME", value: func(e contextEntry) string { return e.Name }},
	{head: "URL", value: func(e contextEntry) string { return e.URL }},
	{csv: "current", exact: func(e contextEntry) string { return strconv.FormatBool(e.Current) }},
	{
		head:  "TOKEN",
		value: func(e contextEntry) string { return yes(e.Token, "no") },
		exact: func(e contextEntry) string { return strconv.FormatBool(e.Token) },
	},
}
