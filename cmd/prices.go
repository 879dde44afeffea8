package cmd

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/govalues/decimal"
	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
)

func newPrices(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "prices", Short: "Import, pull and show daily prices",
		Example: `  stega prices import prices.csv
  stega prices pull --backfill AAPL MSFT
  stega prices show AAPL --from 2026-01-01`,
	})
	c.AddCommand(newPricesImport(g), newPricesPull(g), newPricesProviders(g), newPricesShow(g))
	return c
}

// windowFlags are the flags of a range of days.
func (g *globals) windowFlags(c *cobra.Command, w *client.Window) {
	c.Flags().StringVar(&w.From, "from", "", "first day, YYYY-MM-DD (default the first with data)")
	c.Flags().StringVar(&w.To, "to", "", "last day, YYYY-MM-DD (default the last with data)")
	periodFlag(c, &w.From)
	c.Flags().StringVar(&w.After, "after", "",
		"wait, a short time, until all that follows from this operation is there")
	_ = c.RegisterFlagCompletionFunc("after", g.many(operationIDs))
	_ = c.RegisterFlagCompletionFunc("from", cobra.NoFileCompletions)
	_ = c.RegisterFlagCompletionFunc("to", cobra.NoFileCompletions)
}

func newPricesShow(g *globals) *cobra.Command {
	var w client.Window
	var adjusted bool
	c := alsoAs(&cobra.Command{
		Use: "show SYMBOL", Short: "Show the prices of a symbol", Args: cobra.ExactArgs(1),
		ValidArgsFunction: g.one(symbolNames),
		Long: `Shows the prices of a symbol as they were imported. With --adjusted every day has an adjusted close:
that of the source, or else one that is computed of the splits and the dividends after it.`,
		Example: "  stega prices show AAPL --from 2026-01-01\n  stega prices show AAPL --adjusted -o csv",
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			get := cl.Prices
			if adjusted {
				get = cl.AdjustedPrices
			}
			a, err := get(ctx, args[0], w)
			if err != nil {
				return err
			}
			rememberSymbols(g.at, false, a.Value.Symbol)
			programs := pricesTable(a.Value, "")
			return g.show(c, view{
				raw: a.Raw, ids: []string{a.Value.Symbol}, table: pricesTable(a.Value, "-"), csv: &programs,
				note: "there are no prices in this window",
			})
		}),
	}, asCSV)
	g.windowFlags(c, &w)
	c.Flags().BoolVar(&adjusted, "adjusted", false, "compute adjusted closes for every day")
	return c
}

// pricesTable has a column for each field that any of the bars has, and none where a bar lacks it.
func pricesTable(p api.SymbolPrices, none string) table {
	type column struct {
		name string
		of   func(b *api.Price) *decimal.Decimal
	}
	all := []column{
		{">OPEN", func(b *api.Price) *decimal.Decimal { return b.Open }},
		{">HIGH", func(b *api.Price) *decimal.Decimal { return b.High }},
		{">LOW", func(b *api.Price) *decimal.Decimal { return b.Low }},
		{">CLOSE", func(b *api.Price) *decimal.Decimal { return &b.Close }},
		{">ADJ CLOSE", func(b *api.Price) *decimal.Decimal { return b.AdjClose }},
		{">VOLUME", func(b *api.Price) *decimal.Decimal { return b.Volume }},
		{">DIVIDEND", func(b *api.Price) *decimal.Decimal { return b.Dividend }},
		{">SPLIT", func(b *api.Price) *decimal.Decimal { return b.Split }},
	}
	t := table{head: []string{"DATE"}}
	var shown []column
	for _, c := range all {
		for i := range p.Prices {
			if c.of(&p.Prices[i]) != nil {
				shown, t.head = append(shown, c), append(t.head, c.name)
				break
			}
		}
	}
	for i := range p.Prices {
		row := []string{p.Prices[i].Date.String()}
		for _, c := range shown {
			if v := c.of(&p.Prices[i]); v != nil {
				row = append(row, v.String())
			} else {
				row = append(row, none)
			}
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func newPricesPull(g *globals) *cobra.Command {
	var w waiting
	var backfill bool
	var from, provider string
	c := &cobra.Command{
		Use: "pull [SYMBOL…]", Short: "Pull prices from a provider", ValidArgsFunction: g.many(symbolNames),
		Long: `Has the server get prices from a provider: the latest ones or, with --backfill, those of the past; of all
symbols that it knows, or of some. A provider is a folder of files (stega up --prices-folder) or an API elsewhere;
stega prices providers lists them.`,
		Example: `  stega prices pull
  stega prices pull --backfill --from 2020-01-01 AAPL MSFT --wait=settled
  stega prices pull --provider yahoo AAPL`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			kind := "latest"
			if backfill {
				kind = "backfill"
			} else if from != "" {
				return fault.Usage("from_unused", "--from needs --backfill").WithHint("add --backfill")
			}
			_, err := g.write(
				ctx, c, cl,
				client.PullPrices(api.PullRequest{Kind: kind, Symbols: args, From: from, Provider: provider}), &w,
				"pulled prices",
			)
			if err == nil {
				rememberSymbols(g.at, false, upper(args)...)
			}
			return err
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&backfill, "backfill", false, "pull the history, not only the latest prices")
	c.Flags().StringVar(&from, "from", "", "first day, YYYY-MM-DD (default as far back as possible)")
	c.Flags().StringVar(&provider, "provider", "", "provider, see: stega prices providers (default that of the server)")
	_ = c.RegisterFlagCompletionFunc("provider", oneOf(providerNames...))
	return c
}

func newPricesProviders(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "providers", Short: "List price providers", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  stega prices providers\n  stega prices providers -o json", Annotations: csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			list, raw, err := all(
				g, 0, func(client.Page) (client.Answer[api.List[api.Provider]], error) { return cl.Providers(ctx) },
			)
			if err != nil {
				return err
			}
			v := providerColumns.view(list, func(p api.Provider) string { return p.Name })
			v.raw = raw
			return g.show(c, v)
		}),
	}
}

func upper(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToUpper(w)
	}
	return out
}

func newSymbols(g *globals) *cobra.Command {
	var limit int
	var search string
	c := &cobra.Command{
		Use:               "symbols [BEGINNING]",
		Short:             "List symbols",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.one(symbolNames),
		Example:           "  stega symbols\n  stega symbols A -o json\n  stega symbols --search .UK -o csv",
		Annotations:       csvToo,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			begin := strings.Join(args, "")
			list, raw, err := all(g, limit, func(p client.Page) (client.Answer[api.List[api.Symbol]], error) {
				return cl.Symbols(ctx, p, begin, search)
			})
			if err != nil {
				return err
			}
			v := symbolColumns.view(list, func(s api.Symbol) string { return s.Symbol })
			v.raw, v.note = raw, "there are no prices; import some with: stega prices import FILE"
			if begin != "" {
				v.note = fmt.Sprintf("no symbol with prices begins with %q", begin)
			}
			if search != "" {
				v.note = fmt.Sprintf("no symbol with prices contains %q", search)
			}
			rememberSymbols(g.at, begin == "" && search == "" && limit == 0, v.ids...)
			return g.show(c, v)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 0, "maximum number of rows (0 means all)")
	c.Flags().StringVar(&search, "search", "", "only symbols that contain this text, in any case")
	_ = c.RegisterFlagCompletionFunc("search", cobra.NoFileCompletions)
	return c
}

var providerColumns = columns[api.Provider]{
	{head: "NAME", value: func(p api.Provider) string { return p.Name }},
	{head: "ABOUT", value: func(p api.Provider) string { return p.About }},
	{head: "CONFIGURED", value: func(p api.Provider) string {
		if p.Configured && p.Default {
			return "yes, the default"
		}
		return yes(p.Configured, "no")
	}},
	{head: "SETTINGS OF THE SERVER", value: func(p api.Provider) string { return strings.Join(p.Settings, ", ") }},
}

var symbolColumns = columns[api.Symbol]{
	{head: "SYMBOL", value: func(s api.Symbol) string { return s.Symbol }},
	{head: "FIRST", value: func(s api.Symbol) string { return s.First.String() }},
	{head: "LAST", value: func(s api.Symbol) string { return s.Last.String() }},
	{head: ">DAYS", value: func(s api.Symbol) string { return strconv.Itoa(s.Count) }},
}
