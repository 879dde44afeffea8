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

const about = `stega keeps portfolios and daily prices; returns and risk follow from them by themselves.

  stega up                                              runs everything on this machine
  stega prices import prices.csv                        imports daily prices
  stega portfolio create --name core --assets AAPL:0.6,MA:0.4
  stega returns core                                    figures of a portfolio, or of a symbol
  stega op watch ID                                     follows a write until all that follows from it is visible

Commands talk to the server that --url, --context, STEGA_URL or the current context names, else to the one on this machine. Its token is in
STEGA_TOKEN, in the context (see: stega login), or where stega up left it. Data go to the standard output, words for people to the standard error.
Completion for your shell: stega completion --help.

Exit status:
    0  done
   64  wrong arguments
   65  wrong input
   66  not found
   69  the server, or something that it needs, is not available
   70  a fault inside stega
   73  the state does not allow it: a name is taken, another version is there, or what follows from a write failed
   75  timed out, or asked too often: a write that was waited for goes on
   77  not allowed
  130  interrupted: a write that was waited for goes on`

func newRoot() *cobra.Command { return rootOf(&globals{}) }

func rootOf(g *globals) *cobra.Command {
	root := group(&cobra.Command{
		Use: "stega", Short: "Portfolios, prices, and the returns and risk that follow from them", Long: about,
		Example:       "  stega up --demo\n  stega portfolio list",
		SilenceErrors: true, SilenceUsage: true, Version: version().String(),
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return g.check(c) },
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelp())
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
	add("access", "Servers and access:", newLogin(g), newContext(g), newToken(g), newAudit(g), newAPI(g), newOpen(g), newHealth(g),
		newDoctor(g), serverless(newDaemon(g)))
	add("run", "Run stega:",
		serverless(newUp(g)), serverless(newServe(g)), serverless(newMigrate(g)), serverless(newSecrets()), serverless(newBench(g)))
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
		f := fault.Usage("arguments_invalid", "an argument is missing")
		for n := range args {
			if fits(c, args[:n]) == nil {
				f = fault.Usage("arguments_invalid", "%q is an argument too many", args[n])
			}
		}
		return f.WithHint("usage: %s", strings.TrimSuffix(c.UseLine(), " [flags]"))
	}
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
	quiet    bool
	raw      bool // CSV as it is
	tls      clientTLS
	plot     bool // of commands that have a picture

	at  place     // where connect went
	age staleness // of what it answered
}

// client are the names of the flags that only those commands have that talk to a server.
var clientFlags = []string{"url", "context", "direct", "timeout", "quiet", "raw", "tls-cert", "tls-key", "tls-ca"}

func (g *globals) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	f.StringVar(&g.url, "url", "", "where stega runs (default: STEGA_URL, the current context, "+defaultURL+")")
	f.StringVar(&g.context, "context", "", "the server of this name, see: stega context list")
	f.BoolVar(&g.direct, "direct", false, "go straight to the server and not through the daemon")
	g.tls.flags(f)
	f.DurationVar(&g.timeout, "timeout", time.Minute, "how long to wait for an answer or an outcome; 0: without end")
	f.StringVarP(&g.format, "output", "o", asTable, "table, json or yaml, and of some commands csv or svg")
	f.BoolVar(&g.raw, "raw", false, "with -o csv, cells as they are, also those that a spreadsheet takes for a formula")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print ids only")
	_ = root.RegisterFlagCompletionFunc("output", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return formsOf(c), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		config, _ := g.readContexts()
		return config.names(), cobra.ShellCompDirectiveNoFileComp
	})
}

func (g *globals) check(c *cobra.Command) error {
	if err := g.level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return fault.Usage("log_level_unknown", "there is no log level %q", g.logLevel).WithHint("the levels are debug, info, warn, error")
	}
	var negative *pflag.Flag
	c.Flags().Visit(func(f *pflag.Flag) {
		if kind := f.Value.Type(); (kind == "int" || kind == "duration") && strings.HasPrefix(f.Value.String(), "-") {
			negative = f
		}
	})
	if f := negative; f != nil {
		return fault.Usage("flag_invalid", "--%s=%s is less than nothing", f.Name, f.Value).WithHint("--%s: %s", f.Name, f.Usage)
	}
	return checkFormat(c, g.format)
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

// serverless leaves out of the help of a command what is about a server elsewhere.
func serverless(c *cobra.Command) *cobra.Command {
	help := c.HelpFunc()
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		for _, name := range clientFlags {
			if f := c.InheritedFlags().Lookup(name); f != nil {
				f.Hidden = true
				defer func() { f.Hidden = false }()
			}
		}
		help(c, args)
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
	return slices.ContainsFunc([]string{"unknown command", "required flag", "if any flags in the group"}, func(begin string) bool {
		return strings.HasPrefix(text, begin)
	})
}
