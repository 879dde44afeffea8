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
		Use: "rebuild", Short: "Rebuild the read views of a service", Args: cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Replaces the read views of a service, entity by entity, by what the owners of the data have. The views
answer as before meanwhile, and end as they were, unless they were wrong. Dead letters whose events come again are
dropped. The operation shows the progress and succeeds when all is replaced. With --wait=settled the command returns
when all that follows can be read too.`,
		Example: "  stega rebuild --service returns\n  stega rebuild --service returns --wait=settled",
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, _ []string) error {
			if !slices.Contains(followers, service) {
				return fault.Usage("service_without_views", "the service %q has no read views of others' data",
					service).
					WithHint("those that have are %s", strings.Join(followers, ", "))
			}
			_, err := g.write(ctx, c, cl, client.Rebuild(service), &w, "the views of "+service+" are being rebuilt")
			return err
		}),
	}
	w.flags(c)
	c.Flags().StringVar(&service, "service", "", "service whose read views are rebuilt")
	_ = c.MarkFlagRequired("service")
	_ = c.RegisterFlagCompletionFunc("service", oneOf(followers...))
	return c
}
