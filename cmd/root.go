// Package cmd is the command line: one file for each subcommand of stega. Data go to the standard output and words for people to the
// standard error; the exit status tells the kind of a fault.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

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
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return explain(root.ErrOrStderr(), err)
}

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "stega",
		Short: "Portfolios, prices, and the returns and risk that follow from them",
		Long: `stega keeps portfolios and daily prices; returns and risk follow from them by themselves.

  stega up       runs everything on this machine
  stega serve    runs single services, on RabbitMQ and PostgreSQL

Exit status: 0 done, 64 wrong arguments, 65 wrong input, 66 not found, 69 not available,
70 a fault inside stega, 73 the state does not allow it, 75 timed out or asked too often, 77 not allowed.`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return g.check() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVar(&g.logLevel, "log-level", "info", "what is logged: debug, info, warn or error")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.Usage("flag_invalid", "%s", err).WithHint("see: %s --help", c.CommandPath())
	})
	root.AddCommand(
		newUp(g), newServe(g), newMigrate(g), newPublish(), newEvents(), newDead(), newRebuild(), newBench(g), newHealth(), newVersion(),
		newDaemon(g), newQueue(), newDoctor(),
	)
	return root
}

// globals are the flags of all commands.
type globals struct {
	logLevel string
	level    slog.Level
}

func (g *globals) check() error {
	if err := g.level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return fault.Usage("log_level_unknown", "there is no log level %q", g.logLevel).WithHint("the levels are debug, info, warn, error")
	}
	return nil
}

// logger writes for people on a terminal, and JSON elsewhere.
func (g *globals) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: g.level}
	if f, ok := w.(*os.File); ok && terminal(f) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// explain tells a person what went wrong and what to do, and returns the exit status.
func explain(w io.Writer, err error) int {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return 130
		}
		if strings.HasPrefix(err.Error(), "unknown command") || strings.Contains(err.Error(), "arg(s)") || strings.HasPrefix(err.Error(), "required flag") {
			f = fault.Usage("arguments_invalid", "%s", err).WithHint("see: stega --help")
		} else {
			f = fault.New(fault.KindInternal, "internal", "%s", err)
		}
	}
	_, _ = fmt.Fprintf(w, "stega: %s\n", f.Detail)
	if cause := errors.Unwrap(f); cause != nil {
		_, _ = fmt.Fprintf(w, "  reason: %s\n", cause)
	}
	for _, item := range f.Errors {
		where := item.Pointer
		if item.Line > 0 {
			where = fmt.Sprintf("line %d", item.Line)
		}
		_, _ = fmt.Fprintf(w, "  %s: %s\n", where, item.Detail)
	}
	if f.Hint != "" {
		_, _ = fmt.Fprintf(w, "  hint: %s\n", f.Hint)
	}
	return f.Kind.Exit()
}

// env is an environment variable, or what stands for it.
func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
