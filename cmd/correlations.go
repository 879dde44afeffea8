package cmd

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"stega/api"
	"stega/client"
	"stega/fault"
	"stega/internal/plot"
)

// correlationsFlags are what a person asks of correlations.
type correlationsFlags struct {
	q         client.CorrelationsQuery
	portfolio string
	cluster   bool
	rolling   bool
	length    int
}

func newCorrelations(g *globals) *cobra.Command {
	var f correlationsFlags
	c := alsoAs(&cobra.Command{
		Use: "correlations [SYMBOL…]", Short: "Show correlations of symbols or a portfolio", Args: cobra.ArbitraryArgs,
		ValidArgsFunction: g.many(symbolNames),
		Long: `Shows how symbols move together: the named ones, those of a portfolio (--portfolio), or all. Covariances
(--kind covariance) are annual. The method is pearson, spearman or kendall for correlations, sample for covariances,
and semi, exponential, ledoit_wolf or oas for both. Each pair is estimated over the days that both have, unless the
method takes all symbols together; -o json has the numbers of days. Symbols priced on different days (funds and
shares, say) may share few days: compare them weekly or monthly with --frequency.

With --cluster similar symbols stand side by side. With --plot it draws a heat map on the terminal, and with -o svg as
a picture. With --rolling it shows the correlation of two symbols over time, in windows of --window.`,
		Example: `  stega correlations AAPL MA GOOG
  stega correlations --portfolio core --from 2020-01-01 --cluster --plot
  stega correlations --kind covariance --method ledoit_wolf -o csv
  stega correlations AAPL FUND --frequency monthly
  stega correlations AAPL MA --rolling --window 126 --plot
  stega correlations --cluster -o svg > all.svg`,
		RunE: g.read(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			f.q.Symbols = args
			if f.portfolio != "" {
				p, err := resolvePortfolio(ctx, g.at, cl, f.portfolio)
				if err != nil {
					return err
				}
				f.q.PortfolioID = p.ID
			}
			if f.rolling {
				return g.showRollingCorrelation(ctx, c, cl, f)
			}
			return g.showCorrelations(ctx, c, cl, f)
		}),
	}, asCSV, asSVG)
	f.flags(c, g)
	return c
}

func (f *correlationsFlags) flags(c *cobra.Command, g *globals) {
	g.windowFlags(c, &f.q.Window)
	flags := c.Flags()
	flags.StringVar(&f.portfolio, "portfolio", "", "symbols of this portfolio, by its name or id")
	flags.StringVar(&f.q.Frequency, "frequency", "",
		"frequency of the returns: daily, weekly or monthly (default daily)")
	flags.StringVar(&f.q.Kind, "kind", "", "correlation or covariance (default correlation)")
	flags.StringVar(&f.q.Method, "method", "", "estimator (default pearson, and sample for covariances)")
	flags.StringVar(
		&f.q.Target, "target", "",
		"shrinkage target of ledoit_wolf: constant_variance, single_factor or constant_correlation (default "+
			"constant_variance)",
	)
	flags.StringVar(
		&f.q.Missing, "missing", "",
		"handling of missing returns by semi, ledoit_wolf and oas: complete, zero or pairwise",
	)
	numberVar(
		flags, &f.q.Span, "span", "span of the exponential weights, in returns, for --method exponential (default 180)",
	)
	ratioVar(
		flags, &f.q.Benchmark, "benchmark",
		"benchmark return for --method semi: only returns below it count (default 0)",
	)
	alias(flags, "benchmark", "below")
	flags.StringVar(
		&f.q.Linkage, "linkage", "", "linkage of --cluster: average, single, complete or ward (default average)",
	)
	flags.StringVar(
		&f.q.Repair, "repair", "",
		"method that makes a matrix positive semidefinite: spectral, diagonal or none (default spectral)",
	)
	flags.BoolVar(&f.cluster, "cluster", false, "order the symbols by similarity")
	flags.BoolVar(&f.rolling, "rolling", false, "show the correlation of two symbols over time")
	flags.IntVar(&f.length, "window", 63, "window length of --rolling, in returns")
	alias(flags, "window", "window-days")
	g.plotFlag(c, "draw it on the terminal")
	for name, values := range map[string][]string{
		"frequency": {"daily", "weekly", "monthly"},
		"kind":      {"correlation", "covariance"},
		"method":    {"pearson", "spearman", "kendall", "sample", "semi", "exponential", "ledoit_wolf", "oas"},
		"target":    {"constant_variance", "single_factor", "constant_correlation"},
		"missing":   {"complete", "zero", "pairwise"},
		"linkage":   {"average", "single", "complete", "ward"},
		"repair":    {"spectral", "diagonal", "none"},
		"span":      nil,
		"benchmark": nil,
		"window":    nil,
	} {
		_ = c.RegisterFlagCompletionFunc(name, oneOf(values...))
	}
	_ = c.RegisterFlagCompletionFunc("portfolio", g.many(portfolioNames))
}

// check finds flags that do not go together.
func (f *correlationsFlags) check(args []string) error {
	switch {
	case f.portfolio != "" && len(args) > 0:
		return fault.Usage("symbols_twice", "symbols and --portfolio exclude each other").
			WithHint("give one of them, or neither for all symbols")
	case f.rolling && len(args) != 2:
		return fault.Usage("symbols_not_two", "--rolling takes two symbols, not %d", len(args)).
			WithHint("such as: stega correlations AAPL MA --rolling")
	case f.rolling && (f.q.Kind != "" || f.cluster || f.q.Repair != "" || f.q.Linkage != ""):
		return fault.Usage("flag_unused", "--kind, --cluster, --linkage and --repair do not go with --rolling").
			WithHint("leave them out")
	}
	return nil
}

func (g *globals) showCorrelations(
	ctx context.Context, c *cobra.Command, cl *client.Client, f correlationsFlags,
) error {
	a, err := cl.Correlations(ctx, f.q)
	if err != nil {
		return err
	}
	m := a.Value
	rememberSymbols(g.at, false, m.Symbols...)
	order := placesOf(m, f.cluster)
	if g.format == asTable && !g.quiet {
		if err := explainMatrix(c, g, m); err != nil {
			return err
		}
	}
	v := matrixView(m, order)
	v.raw = a.Raw
	v.draw = func(w io.Writer, o plot.Options) error { return heat(w, o, m, order) }
	return g.show(c, v)
}

// placesOf is the order in which a matrix is shown, as indices of its symbols.
func placesOf(m api.CorrelationMatrix, cluster bool) []int {
	order := make([]int, len(m.Symbols))
	at := make(map[string]int, len(m.Symbols))
	for i, symbol := range m.Symbols {
		order[i], at[symbol] = i, i
	}
	if cluster {
		for i, symbol := range m.Order {
			order[i] = at[symbol]
		}
	}
	return order
}

// explainMatrix tells people what they see, and on the standard error what they do not.
func explainMatrix(c *cobra.Command, g *globals, m api.CorrelationMatrix) error {
	if !g.plot {
		what := m.Kind + " by " + m.Method
		if m.Target != "" {
			what += " towards " + string(m.Target)
		}
		if m.Shrinkage != nil {
			what += fmt.Sprintf(", shrunk by %.1f %%", *m.Shrinkage*100)
		}
		if err := writef(c.OutOrStdout(), "%s\n%s returns from %s to %s\n\n", what, m.Frequency, day(m.From),
			day(m.To)); err != nil {
			return err
		}
	}
	w := c.ErrOrStderr()
	for _, u := range m.Undefined[:min(len(m.Undefined), shownReasons)] {
		printf(w, "%s: %s\n", strings.Join(u.Symbols, " and "), u.Detail)
	}
	if more := len(m.Undefined) - shownReasons; more > 0 {
		printf(w, "and %d more, see -o json\n", more)
	}
	if r := m.Repaired; r != nil {
		printf(w, "the matrix was made positive semidefinite (%s); no cell changed by more than %.2g\n", r.Method,
			r.Largest)
	}
	return nil
}

// shownReasons is how many reasons people are told.
const shownReasons = 10

func matrixView(m api.CorrelationMatrix, order []int) view {
	digits := 2
	if m.Kind == "covariance" {
		digits = 4
	}
	v := view{ids: m.Symbols, table: table{head: []string{""}}, csv: &table{head: []string{"symbol"}, verbatim: true}}
	for _, i := range order {
		v.table.head = append(v.table.head, ">"+m.Symbols[i])
		v.csv.head = append(v.csv.head, m.Symbols[i])
	}
	for _, i := range order {
		people, programs := []string{m.Symbols[i]}, []string{m.Symbols[i]}
		for _, j := range order {
			people, programs = append(people, rounded(m.Matrix[i][j], digits)), append(programs,
				exactly(m.Matrix[i][j]))
		}
		v.table.add(people...)
		v.csv.add(programs...)
	}
	return v
}

func rounded(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', digits, 64)
}

func heat(w io.Writer, o plot.Options, m api.CorrelationMatrix, order []int) error {
	o.Title = fmt.Sprintf("%s by %s of %s returns, %s to %s", m.Kind, m.Method, m.Frequency, day(m.From), day(m.To))
	labels, values := make([]string, len(order)), make([][]float64, len(order))
	largest := 0.0
	for a, i := range order {
		labels[a], values[a] = m.Symbols[i], make([]float64, len(order))
		for b, j := range order {
			values[a][b] = math.NaN()
			if v := m.Matrix[i][j]; v != nil {
				values[a][b] = *v
				largest = max(largest, math.Abs(*v))
			}
		}
	}
	if m.Kind == "correlation" {
		largest = 1
	}
	return plot.Heat(w, o, labels, values, -largest, largest)
}

func (g *globals) showRollingCorrelation(
	ctx context.Context, c *cobra.Command, cl *client.Client, f correlationsFlags,
) error {
	f.q.Length = f.length
	a, err := cl.RollingCorrelation(ctx, f.q)
	if err != nil {
		return err
	}
	r := a.Value
	values := optional(r.Values)
	v := dated(r.Dates, "correlation", ratio, values).view(upTo(len(r.Dates)), nil)
	v.raw, v.ids = a.Raw, slices.Clone(r.Symbols)
	v.draw = func(w io.Writer, o plot.Options) error {
		o.Title, o.XDays = fmt.Sprintf(
			"%s and %s: correlation of %d %s returns by %s", r.Symbols[0], r.Symbols[1], r.Window, r.Frequency,
			r.Method,
		), true
		return plot.Lines(w, o, daily("correlation", r.Dates, values))
	}
	return g.show(c, v)
}

// optional returns pointers to values; nil for one that is undefined.
func optional(values []float64) []*float64 {
	out := make([]*float64, len(values))
	for i := range values {
		if !math.IsNaN(values[i]) {
			out[i] = &values[i]
		}
	}
	return out
}
