package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/civil"
)

// periods are the words of --period, with the first day of each.
var periods = []struct {
	name string
	from func(today civil.Date) string
}{
	{"ytd", func(today civil.Date) string { return civil.Of(today.Year(), time.January, 1).String() }},
	{"1y", yearsBefore(1)}, {"3y", yearsBefore(3)}, {"5y", yearsBefore(5)}, {"10y", yearsBefore(10)},
	{"max", func(civil.Date) string { return "" }},
}

func yearsBefore(n int) func(civil.Date) string {
	return func(today civil.Date) string { return civil.FromTime(today.Time().AddDate(-n, 0, 0)).String() }
}

// periodValue is a flag that sets the first day of a window.
type periodValue struct {
	name string
	from *string
}

func (p *periodValue) String() string { return p.name }
func (p *periodValue) Type() string   { return "period" }

// Set takes one of the periods.
func (p *periodValue) Set(text string) error {
	var names []string
	for _, one := range periods {
		if strings.EqualFold(text, one.name) {
			p.name, *p.from = one.name, one.from(civil.FromTime(time.Now()))
			return nil
		}
		names = append(names, one.name)
	}
	return fmt.Errorf("the periods are %s", strings.Join(names, ", "))
}

// periodFlag adds --period, which stands for --from.
func periodFlag(c *cobra.Command, from *string) {
	c.Flags().Var(&periodValue{from: from}, "period", "up to today, in place of --from: ytd, 1y, 3y, 5y, 10y or max")
	c.MarkFlagsMutuallyExclusive("period", "from")
	_ = c.RegisterFlagCompletionFunc(
		"period",
		func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, one := range periods {
				names = append(names, one.name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	)
}
