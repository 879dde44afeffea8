// Package cmd is the command line: one file for each subcommand of stega. Data go to the standard output and words
// for people to the standard error; the exit status tells the kind of a fault.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stega/fault"
)

// Execute runs the command line and returns its exit status.
func Execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // the first signal ends in order, a second one at once
		<-ctx.Done()
		stop()
	}()
	root := newRoot()
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], cobra.ShellCompRequestCmd) {
		root.SetOut(candidates{os.Stdout})
	}
	return execute(ctx, root)
}

// execute runs a command, tells a person what went wrong, and returns the exit status.
func execute(ctx context.Context, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return explain(root.ErrOrStderr(), err)
}

const about = `stega stores portfolios and daily prices, and computes returns, risk, correlations and optimal weights
from them.

  stega up                         run everything on this machine
  stega prices import prices.csv   import daily prices
  stega portfolio create --name core --assets AAPL:60%,MA:40%
  stega returns core               returns and risk of a portfolio or a symbol
  stega op watch ID                follow a write until its effects are visible

Commands use the server that --url, --context, STEGA_URL or the current context names, and otherwise the one on this
machine. Its token comes from STEGA_TOKEN, from the context (see: stega login), or from the file that stega up keeps.
Data goes to the standard output, messages to the standard error. Shell completion: stega completion --help.

Exit status:
    0  done
   64  wrong arguments
   65  wrong input
   66  not found
   69  the server, or something that it needs, is not available
   70  an error inside stega
   73  conflict: a name is taken, the version differs, or a later step failed
   75  timed out, queued, or rate limited; a write goes on
   77  not allowed
  130  interrupted; a write goes on`

func newRoot() *cobra.Command { return rootOf(&globals{}) }

func rootOf(g *globals) *cobra.Command {
	root := group(&cobra.Command{
		Use: "stega", Short: "Portfolios, prices, and the returns and risk computed from them", Long: about,
		Example:       "  stega up --demo\n  stega portfolio list",
		SilenceErrors: true, SilenceUsage: true, Version: version().String(),
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return g.check(c) },
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.SetHelpFunc(showHelp)
	root.SetUsageTemplate(usage)
	g.flags(root)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.Usage("flag_invalid", "%s", err).WithHint("see: %s --help", c.CommandPath())
	})
	add := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	add("data", "Portfolios and prices:", newPortfolio(g), newPrices(g), newSymbols(g), newSchedule(g))
	add("analysis", "Analysis:", newReturns(g), newCorrelations(g), newOptimize(g), newFrontier(g), newAllocate(g))
	add("events", "Writes and events:",
		newOp(g), newWatch(g), newEvents(g), newPublish(g), newDead(g), newRebuild(g), serverless(newQueue(g)))
	add(
		"access", "Servers and access:", newLogin(g), newContext(g), newToken(g), newAudit(g), newAPI(g), newOpen(g),
		newHealth(g), newDoctor(g), serverless(newDaemon(g)),
	)
	add(
		"run",
		"Run stega:",
		serverless(
			newUp(g),
		),
		serverless(newServe(g)),
		serverless(newMigrate(g)),
		serverless(newSecrets()),
		serverless(newBench(g)),
	)
	root.AddCommand(newVersion(g))
	for _, c := range root.Commands() {
		argued(c)
	}
	return root
}

// newHelp returns the command that shows the help of another, and refuses one that does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command",
		ValidArgsFunction: func(c *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
			parent, _, err := c.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range parent.Commands() {
				if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begin) {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err == nil && len(rest) == 0 {
				found.InitDefaultHelpFlag()
				return found.Help()
			}
			if found == nil || err != nil {
				found, rest = c.Root(), args
			}
			return unknown(found, rest[0])
		},
	}
}

// argued makes a command, and those below it, say what it takes when arguments do not fit.
func argued(c *cobra.Command) {
	for _, sub := range c.Commands() {
		argued(sub)
	}
	fits := c.Args
	if fits == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if fits(c, args) == nil {
			return nil
		}
		f := fault.Usage("arguments_invalid", "missing argument: %s", firstArgument(c))
		for n := range args {
			if fits(c, args[:n]) == nil {
				f = fault.Usage("arguments_invalid", "unexpected argument %q", args[n])
			}
		}
		return f.WithHint("usage: %s", strings.TrimSuffix(c.UseLine(), " [flags]"))
	}
}

// firstArgument returns the name of the first argument in the usage of a command.
func firstArgument(c *cobra.Command) string {
	_, arguments, _ := strings.Cut(c.Use, " ")
	name, _, _ := strings.Cut(arguments, " ")
	return strings.Trim(name, "[]…")
}

// globals are the flags of all commands.
type globals struct {
	logLevel string
	level    slog.Level
	url      string
	context  string
	direct   bool
	timeout  time.Duration
	format   string
	wide     bool // the table has all columns
	quiet    bool
	raw      bool // CSV as it is
	tls      clientTLS
	plot     bool // of commands that have a picture

	at      place   // where connect went
	noticed notices // in the answers
}

// client are the names of the flags that only those commands have that talk to a server.
var clientFlags = []string{"url", "context", "direct", "timeout", "quiet", "raw", "tls-cert", "tls-key", "tls-ca"}

func (g *globals) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.StringVar(&g.url, "url", "", "URL of the server (default STEGA_URL, the current context, or "+defaultURL+")")
	f.StringVar(&g.context, "context", "", "name of the server, see: stega context list")
	f.BoolVar(&g.direct, "direct", false, "bypass the daemon")
	g.tls.flags(f)
	f.DurationVar(&g.timeout, "timeout", time.Minute, "time limit of an answer or an outcome; 0 means none")
	f.StringVarP(
		&g.format, "output", "o", asTable, "table, wide (all columns), json, yaml, and for some commands csv or svg",
	)
	f.BoolVar(&g.raw, "raw", false, "with -o csv: do not escape cells that a spreadsheet takes for a formula")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print ids only")
	_ = root.RegisterFlagCompletionFunc(
		"output",
		func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return formsOf(c), cobra.ShellCompDirectiveNoFileComp
		},
	)
	_ = root.RegisterFlagCompletionFunc(
		"context",
		func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			config, _ := g.readContexts()
			return config.names(), cobra.ShellCompDirectiveNoFileComp
		},
	)
}

func (g *globals) check(c *cobra.Command) error {
	if err := g.level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return fault.Usage("log_level_unknown", "unknown log level %q", g.logLevel).
			WithHint("one of: debug, info, warn, error")
	}
	var negative *pflag.Flag
	c.Flags().Visit(func(f *pflag.Flag) {
		if kind := f.Value.Type(); (kind == "int" || kind == "duration") && strings.HasPrefix(f.Value.String(), "-") {
			negative = f
		}
	})
	if f := negative; f != nil {
		return fault.Usage("flag_invalid", "--%s must be 0 or more", f.Name).WithHint("--%s: %s", f.Name, f.Usage)
	}
	if err := checkFormat(c, g.format); err != nil {
		return err
	}
	if g.wide = g.format == asWide; g.wide {
		g.format = asTable
	}
	return nil
}

// group makes a command that only has commands below it: it says what they are, and what a mistyped one may have meant.
func group(c *cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknown(c, args[0])
	}
	return c
}

// unknown is the fault of a command that does not exist.
func unknown(c *cobra.Command, name string) error {
	f := fault.Usage("command_unknown", "there is no command %q of %s", name, c.CommandPath())
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if near := closest(name, names); near != "" {
		return f.WithHint("did you mean: %s %s", c.CommandPath(), near)
	}
	return f.WithHint("see: %s --help", c.CommandPath())
}

// serverless hides the flags about a server from the help of a command that talks to none.
func serverless(c *cobra.Command) *cobra.Command {
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		for _, name := range clientFlags {
			if f := c.InheritedFlags().Lookup(name); f != nil {
				f.Hidden = true
				defer func() { f.Hidden = false }()
			}
		}
		showHelp(c, args)
	})
	return c
}

// logger writes for people on a terminal, and JSON elsewhere.
func (g *globals) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: g.level}
	if terminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(jsonLines{w}, options))
}

// jsonLines is a writer of JSON in which nothing can steer the terminal that shows it later.
type jsonLines struct{ w io.Writer }

func (j jsonLines) Write(b []byte) (int, error) { return len(b), writeJSON(j.w, b) }

// explain tells a person what went wrong and what to do, and returns the exit status.
func explain(w io.Writer, err error) int {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return 130
		}
		if errors.Is(err, syscall.EPIPE) {
			return 0 // who reads has read enough
		}
		if misuse(err) {
			f = fault.Usage("arguments_invalid", "%s", err).WithHint("see: stega --help")
		} else {
			f = fault.New(fault.KindInternal, "internal", "%s", err)
		}
	}
	printf(w, "stega: %s\n", f.Detail)
	if cause := errors.Unwrap(f); cause != nil {
		printf(w, "  reason: %s\n", cause)
	}
	for _, item := range f.Errors {
		where := item.Pointer
		if item.Line == 0 && (f.Detail == item.Detail || f.Detail == strings.TrimPrefix(where, "/")+" "+item.Detail) {
			continue // it was said
		}
		if item.Line > 0 {
			where = fmt.Sprintf("line %d", item.Line)
		}
		printf(w, "  %s: %s\n", where, item.Detail)
	}
	if f.Hint != "" {
		printf(w, "  hint: %s\n", f.Hint)
	}
	return f.Kind.Exit()
}

// misuse reports whether an error is cobra's about arguments; it has no types for them.
func misuse(err error) bool {
	text := err.Error()
	return slices.ContainsFunc(
		[]string{"unknown command", "required flag", "if any flags in the group"},
		func(begin string) bool {
			return strings.HasPrefix(text, begin)
		},
	)
}
