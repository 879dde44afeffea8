package cmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

// followers are the services whose read views grow from what others tell.
var followers = []string{"correlations", "optimization", "returns"}

func newRebuild(g *globals) *cobra.Command {
	var w waiting
	var service string
	c := &cobra.Command{
		Use: "rebuild", Short: "Throw read views away and grow them anew", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Deletes the read views of a service and asks the owners of the data to tell them again, as events. The views fill up while
the service works on; they end up as they were, unless they were wrong. With --wait=settled it returns once they are full again.`,
		Example: "  stega rebuild --service returns\n  stega rebuild --service returns --wait=settled",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			if !slices.Contains(followers, service) {
				return fault.Usage("service_without_views", "the service %q has no read views of others' data", service).
					WithHint("those that have are %s", strings.Join(followers, ", "))
			}
			_, err := g.write(ctx, c, cl, client.Rebuild(service), &w, "the views of "+service+" are being told again")
			return err
		}),
	}
	w.flags(c)
	c.Flags().StringVar(&service, "service", "", "whose views")
	_ = c.MarkFlagRequired("service")
	_ = c.RegisterFlagCompletionFunc("service", oneOf(followers...))
	return c
}
