package cmd

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stega/fault"
	"stega/store"
)

func newRebuild() *cobra.Command {
	var server api
	var service string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Throw read views away and grow them anew",
		Long: `Deletes the read views of a service and asks the owners of the data to tell them again, as events. The views fill up while
the service works on; they end up as they were, unless they were wrong.`,
		Example: "  stega rebuild --service returns", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if service != "returns" {
				return fault.Usage("service_without_views", "the service %q has no read views of others' data", service).WithHint("say --service returns")
			}
			var done struct {
				store.Operation
				OperationID string `json:"operation_id"` // of one that is not over yet
			}
			err := server.json(c.Context(), "POST", "/v1/rebuild/"+service, nil, &done, "Prefer", fmt.Sprintf("wait=%d", int(timeout.Seconds())))
			switch {
			case err != nil:
				return err
			case done.Error != nil:
				return done.Error
			case done.OperationID != "":
				return fault.New(fault.KindTimeout, "rebuild_slow", "the rebuild has not begun after %s", timeout).
					WithHint("it goes on by itself; look at it with: curl %s/v1/operations/%s", server.url, done.OperationID)
			}
			_, _ = fmt.Fprintf(c.ErrOrStderr(), "the views of %s are being told again\n", service)
			_, err = fmt.Fprintln(c.OutOrStdout(), done.ID)
			return err
		},
	}
	server.flags(c)
	c.Flags().StringVar(&service, "service", "", "whose views")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait until it has begun")
	_ = c.MarkFlagRequired("service")
	return c
}
