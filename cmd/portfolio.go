package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/events"
	"stega/fault"
	"stega/text"
)

func newPortfolio(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "portfolio", Aliases: []string{"portfolios"}, Short: "List, show, create, change and delete portfolios",
		Example: `  stega portfolio list
  stega portfolio create --name core --assets AAPL:60%,MSFT:40%
  stega portfolio get core`,
	})
	c.AddCommand(
		newPortfolioList(g), newPortfolioGet(g), newPortfolioCreate(g), newPortfolioUpdate(g), newPortfolioDelete(g),
	)
	return c
}

func newPortfolioList(g *globals) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List portfolios", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Example:           "  stega portfolio list\n  stega portfolio list -o json\n  stega portfolio list --quiet",
		Annotations:       csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			list, raw, err := all(g, limit, func(p client.Page) (client.Answer[api.List[events.Portfolio]], error) {
				return cl.Portfolios(ctx, p, "")
			})
			if err != nil {
				return err
			}
			rememberPortfolios(g.at, limit == 0, list...)
			v := portfolioColumns.view(list, func(p events.Portfolio) string { return p.ID })
			v.raw, v.note = raw, "there are no portfolios; create one with: stega portfolio create"
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 0, "maximum number of rows (0 means all)")
	return c
}

var portfolioColumns = columns[events.Portfolio]{
	{head: "NAME", value: func(p events.Portfolio) string { return p.Name }},
	{head: "ID", wide: true, value: func(p events.Portfolio) string { return p.ID }},
	{head: ">VERSION", value: func(p events.Portfolio) string { return strconv.FormatInt(p.Version, 10) }},
	{
		head: "ASSETS", value: func(p events.Portfolio) string { return brief(p.Assets) },
		exact: func(p events.Portfolio) string { return listed(p.Assets, len(p.Assets)) },
	},
	{
		head: "UPDATED", csv: "updated_at",
		value: func(p events.Portfolio) string { return p.UpdatedAt.Local().Format(time.DateTime) },
		exact: func(p events.Portfolio) string { return stamp(&p.UpdatedAt) },
	},
}

var assetColumns = columns[events.Asset]{
	{head: "SYMBOL", value: func(a events.Asset) string { return a.Symbol }},
	{head: ">WEIGHT", value: func(a events.Asset) string { return a.Weight.String() }},
}

// brief returns assets as --assets takes them, the first few of many.
func brief(assets []events.Asset) string {
	if len(assets) > 5 {
		return listed(assets, 4) + fmt.Sprintf(",… %d more", len(assets)-4)
	}
	return listed(assets, len(assets))
}

// listed returns the first assets as --assets takes them.
func listed(assets []events.Asset, most int) string {
	parts := make([]string, most)
	for i, a := range assets[:most] {
		parts[i] = a.Symbol + ":" + a.Weight.String()
	}
	return strings.Join(parts, ",")
}

func newPortfolioGet(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "get NAME|ID",
		Aliases:           []string{"show"},
		Short:             "Show one portfolio",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.one(portfolioNames),
		Example:           "  stega portfolio get core\n  stega portfolio get core -o yaml > core.yaml",
		Annotations:       csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			p, err := resolvePortfolio(ctx, g.at, cl, args[0])
			if err != nil {
				return err
			}
			a, err := cl.Portfolio(ctx, p.ID)
			if err != nil {
				return err
			}
			p = a.Value
			rememberPortfolios(g.at, false, p)
			if g.format == asTable && !g.quiet {
				printf(
					c.OutOrStdout(), "%s\nid %s, version %d, of %s\n\n", p.Name, p.ID, p.Version,
					p.UpdatedAt.Local().Format(time.DateTime),
				)
			}
			v := assetColumns.view(p.Assets, nil)
			v.raw, v.ids = a.Raw, []string{p.ID}
			return g.show(c, v)
		}),
	}
}

// findPortfolio finds a portfolio by its id or its name.
func findPortfolio(ctx context.Context, at place, cl *client.Client, word string) (events.Portfolio, error) {
	if uuid.Validate(word) == nil {
		a, err := cl.Portfolio(ctx, word)
		return a.Value, err
	}
	a, err := cl.Portfolios(ctx, client.Page{Limit: 2}, word)
	if err != nil {
		return events.Portfolio{}, err
	}
	if len(a.Value.Items) == 1 {
		return a.Value.Items[0], nil
	}
	f := fault.NotFound("portfolio_unknown", "there is no portfolio named %q", word).
		WithHint("list them with: stega portfolio list")
	if near := closest(word, slices.Collect(maps.Values(readKnown(at).Portfolios))); near != "" {
		f = f.WithHint("did you mean %q? list them with: stega portfolio list", near)
	}
	return events.Portfolio{}, f
}

// maxPrefixed bounds the portfolios among which a prefix of a name is looked for.
const maxPrefixed = 1000

// resolvePortfolio finds a portfolio to read by its id, its name, or a prefix of its name that no other name has. A
// command that changes a portfolio takes the whole name: see findPortfolio.
func resolvePortfolio(ctx context.Context, at place, cl *client.Client, word string) (events.Portfolio, error) {
	p, err := findPortfolio(ctx, at, cl, word)
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != "portfolio_unknown" {
		return p, err
	}
	a, failed := cl.Portfolios(ctx, client.Page{Limit: maxPrefixed}, "")
	if failed != nil || a.Value.NextCursor != "" {
		return p, err
	}
	var found []events.Portfolio
	for _, p := range a.Value.Items {
		if strings.HasPrefix(text.Fold(p.Name), text.Fold(word)) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return p, err
	case 1:
		return found[0], nil
	}
	return p, fault.NotFound("portfolio_ambiguous", "several portfolios have names that begin with %q", word).
		WithHint("write %q or %q in full", found[0].Name, found[1].Name)
}

func newPortfolioCreate(g *globals) *cobra.Command {
	var w waiting
	var in portfolioInput
	c := &cobra.Command{
		Use: "create", Short: "Create a portfolio", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Creates a portfolio of symbols and weights. Weights are ratios that sum to one, or percentages; short
positions are negative. With --wait=settled it returns once the returns of the portfolio can be read.`,
		Example: `  stega portfolio create --name core --assets AAPL:60%,MSFT:40%
  stega portfolio create --file core.yaml --wait=settled
  stega portfolio get core -o json | stega portfolio create --name copy --file -`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			name, assets, err := in.read(c.InOrStdin())
			if err != nil {
				return err
			}
			if name == "" {
				return fault.Usage("name_missing", "--name is required").WithHint("such as --name core")
			}
			if len(assets) == 0 {
				return fault.Usage("assets_missing", "--assets or --file is required").
					WithHint("such as --assets AAPL:60%%,MSFT:40%%")
			}
			op, err := g.write(ctx, c, cl, client.CreatePortfolio(name, assets), &w,
				fmt.Sprintf("created portfolio %q", name))
			if op.EntityID != "" && err == nil {
				rememberPortfolios(g.at, false, events.Portfolio{ID: op.EntityID, Name: name})
			}
			return err
		}),
	}
	w.flags(c)
	in.flags(c, g)
	return c
}

func newPortfolioUpdate(g *globals) *cobra.Command {
	var w waiting
	var in portfolioInput
	var match int64
	c := &cobra.Command{
		Use: "update NAME|ID", Short: "Change a portfolio", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(portfolioNames),
		Long: `Changes the name, the assets, or both, and leaves the rest. The change applies only to the version that
was read, so no change of others is lost; --if-match names the version that you have seen.`,
		Example: `  stega portfolio update core --assets AAPL:0.5,MSFT:0.5
  stega portfolio update core --name "core, 2026" --if-match 3`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			name, assets, err := in.read(c.InOrStdin())
			if err != nil {
				return err
			}
			if name == "" && len(assets) == 0 {
				return fault.Usage("change_missing", "--name, --assets or --file is required")
			}
			reading, cancel := g.limit(ctx)
			defer cancel()
			p, err := findPortfolio(reading, g.at, cl, args[0])
			if err != nil {
				return err
			}
			if name == "" {
				name = p.Name
			}
			if len(assets) == 0 {
				assets = p.Assets
			}
			cmd := client.UpdatePortfolio(p.ID, name, assets)
			cmd.IfMatch = client.Version(p.Version)
			if match > 0 {
				cmd.IfMatch = client.Version(match)
			}
			_, err = g.write(ctx, c, cl, cmd, &w, fmt.Sprintf("changed portfolio %q", name))
			if err == nil {
				rememberPortfolios(g.at, false, events.Portfolio{ID: p.ID, Name: name})
			}
			return err
		}),
	}
	w.flags(c)
	in.flags(c, g)
	c.Flags().Int64Var(&match, "if-match", 0, "only if this is its version (default the one that is read before)")
	return c
}

func newPortfolioDelete(g *globals) *cobra.Command {
	var w waiting
	var match int64
	c := &cobra.Command{
		Use: "delete NAME|ID", Aliases: []string{"rm"}, Short: "Delete a portfolio", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(portfolioNames),
		Example:           "  stega portfolio delete core\n  stega portfolio delete core --if-match 3",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			reading, cancel := g.limit(ctx)
			defer cancel()
			p, err := findPortfolio(reading, g.at, cl, args[0])
			if err != nil {
				return err
			}
			cmd := client.DeletePortfolio(p.ID)
			if match > 0 {
				cmd.IfMatch = client.Version(match)
			}
			_, err = g.write(ctx, c, cl, cmd, &w, fmt.Sprintf("deleted portfolio %q", p.Name))
			if err == nil {
				forgetPortfolio(g.at, p.ID)
			}
			return err
		}),
	}
	w.flags(c)
	c.Flags().Int64Var(&match, "if-match", 0, "only if this is its version")
	return c
}
