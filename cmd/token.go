package cmd

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
)

func newToken(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "token", Aliases: []string{"tokens"}, Short: "Create, list and revoke access tokens",
		Long: `Makes, lists and revokes tokens. Each has a scope: read is for data, operations and the stream; write
also changes data; admin also handles tokens, dead letters, rebuilding, publishing by hand, and reads the audit.`,
		Example: "  stega token create ci --scope write --expires 90d\n  stega token list\n  stega token revoke ci",
	})
	c.AddCommand(newTokenCreate(g), newTokenList(g), newTokenRevoke(g))
	return c
}

func newTokenCreate(g *globals) *cobra.Command {
	var scope, expires string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a token; it is shown this once", Args: cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Example: `  stega token create dashboard
  stega token create ci --scope write --expires 90d
  STEGA_TOKEN=$(stega token create script -q) ./script`,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			made, err := cl.CreateToken(ctx, args[0], scope, expires)
			if err != nil {
				return err
			}
			t := made.Value
			if g.quiet || g.format != asTable {
				return g.show(c, view{raw: made.Raw, ids: []string{t.Secret}})
			}
			until := "does not expire"
			if t.ExpiresAt != nil {
				until = "expires on " + t.ExpiresAt.Local().Format(time.DateOnly)
			}
			printf(c.ErrOrStderr(), "The token %q may %s and %s. Keep it: it is not shown again.\n", t.Name, t.Scope,
				until)
			return writef(c.OutOrStdout(), "%s\n", t.Secret)
		}),
	}
	c.Flags().StringVar(&scope, "scope", "read", "what it may do: read, write or admin")
	c.Flags().StringVar(&expires, "expires", "", "validity, such as 90d or 12h (default unlimited)")
	_ = c.RegisterFlagCompletionFunc("scope", oneOf("read", "write", "admin"))
	return c
}

func newTokenList(g *globals) *cobra.Command {
	var revoked bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens (without secrets)", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega token list --revoked", Annotations: csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			tokens, err := tokens(ctx, g, cl, revoked)
			if err != nil {
				return err
			}
			v := tokenColumns.view(tokens, func(t client.Token) string { return t.ID })
			v.note = "there are no tokens; create one with: stega token create NAME"
			if v.raw, err = json.Marshal(tokens); err != nil {
				return err
			}
			return g.show(c, v)
		}),
	}
	c.Flags().BoolVar(&revoked, "revoked", false, "include revoked tokens")
	return c
}

// tokens lists those that were not revoked, or all.
func tokens(ctx context.Context, g *globals, cl *client.Client, revoked bool) ([]client.Token, error) {
	listed, _, err := all(
		g, 0, func(p client.Page) (client.Answer[api.List[client.Token]], error) { return cl.Tokens(ctx, p) },
	)
	kept := []client.Token{}
	for _, t := range listed {
		if revoked || t.RevokedAt == nil {
			kept = append(kept, t)
		}
	}
	return kept, err
}

func tokenState(t client.Token) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked " + t.RevokedAt.Local().Format(time.DateOnly)
	case t.ExpiresAt == nil:
		return "good"
	case t.ExpiresAt.Before(time.Now()):
		return "expired " + t.ExpiresAt.Local().Format(time.DateOnly)
	}
	return "good until " + t.ExpiresAt.Local().Format(time.DateOnly)
}

func newTokenRevoke(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME|ID…", Short: "Revoke tokens", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega token revoke ci",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			good, err := tokens(ctx, g, cl, false)
			if err != nil {
				return err
			}
			var ids []string
			for _, arg := range args {
				id := ""
				for _, t := range good {
					if t.Name == arg || t.ID == arg {
						id = t.ID
					}
				}
				if id == "" {
					return fault.NotFound("token_not_found", "there is no token %q, or it was revoked before", arg).
						WithHint("see: stega token list --revoked")
				}
				ids = append(ids, id)
			}
			for i, id := range ids {
				if err := cl.RevokeToken(ctx, id); err != nil {
					return err
				}
				printf(c.ErrOrStderr(), "The token %s is revoked.\n", args[i])
			}
			return nil
		}),
	}
}

var tokenColumns = columns[client.Token]{
	{head: "NAME", value: func(t client.Token) string { return t.Name }},
	{head: "ID", wide: true, value: func(t client.Token) string { return t.ID }},
	{head: "SCOPE", value: func(t client.Token) string { return t.Scope }},
	{
		head: "CREATED", csv: "created_at",
		value: func(t client.Token) string { return t.CreatedAt.Local().Format(time.DateOnly) },
		exact: func(t client.Token) string { return stamp(&t.CreatedAt) },
	},
	{
		head: "LAST USED", csv: "last_used_at", value: func(t client.Token) string { return past(t.LastUsedAt) },
		exact: func(t client.Token) string { return stamp(t.LastUsedAt) },
	},
	{head: "STATE", value: tokenState},
}

// past returns how long ago a time was.
func past(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	return ago(t) + " ago"
}
