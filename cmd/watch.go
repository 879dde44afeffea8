package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/fault"
)

func newWatch(g *globals) *cobra.Command {
	var from string
	var count int
	var coalesce bool
	c := &cobra.Command{
		Use: "watch CHANNEL…", Short: "Watch live events", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: g.many(topicNames, watchable),
		Long: `Prints what the server pushes: one line for each event; with -o json each is a line of JSON. Channels are
topics, in which * is a word and # is all; subject:AAPL is all that happens to a symbol or portfolio; operation:ID is
how an operation fares. A connection that breaks is made again, and what was missed meanwhile is printed, or it is
said that it cannot be. With --timeout it ends after that time, and with 75 when fewer came than --count.`,
		Example: `  stega watch 'portfolio.*' 'returns.*'
  stega watch subject:AAPL --count 1 -o json
  stega watch '#' --from '120;019a2f60-0000-7000-8000-000000000000'`,
		RunE: g.run(func(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) error {
			var start *client.Position
			if from != "" {
				p, err := client.ParsePosition(from)
				if err != nil {
					return fault.Usage("position_invalid", "%s", err).
						WithHint("every line that watch prints as JSON has one")
				}
				start = &p
			}
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			w := &watcher{
				g:         g,
				c:         c,
				out:       c.OutOrStdout(),
				err:       c.ErrOrStderr(),
				count:     count,
				left:      count,
				unlimited: count == 0,
				end:       cancel,
			}
			err := w.watch(ctx, cl, args, start, coalesce)
			if errors.Is(err, errEnough) || c.Context().Err() != nil {
				return nil // Ctrl-C is how one stops watching
			}
			return err
		}),
	}
	c.Flags().StringVar(&from, "from", "", "start after this position (default now)")
	c.Flags().IntVarP(&count, "count", "n", 0, "stop after this many events (0 means never)")
	c.Flags().
		BoolVar(&coalesce, "coalesce", false, "deliver only the newest of several due events of one subject and topic")
	return c
}

// patterns are some channels of many topics.
var patterns = []string{"#", "portfolio.*", "marketdata.*", "returns.*"}

// watchable are channels of what is known.
func watchable(k known) []string {
	names := slices.Clone(patterns)
	for _, s := range k.Symbols {
		names = append(names, "subject:"+s)
	}
	for id, name := range k.Portfolios {
		names = append(names, "subject:"+id+"\t"+name)
	}
	for _, id := range k.Operations {
		names = append(names, "operation:"+id)
	}
	return names
}

// unheard reports whether a channel is a topic, or a pattern of topics, that none is known of. The server may know
// more.
func unheard(channel string) bool {
	if channel == "#" || strings.Contains(channel, ":") {
		return false
	}
	slashed := func(topic string) string { return strings.ReplaceAll(topic, ".", "/") }
	return !slices.ContainsFunc(events.Catalogue(), func(t events.Type) bool {
		told, err := path.Match(slashed(channel), slashed(t.Topic))
		return told || err != nil
	})
}

var errEnough = errors.New("enough")

// following ends what follows events when a --timeout was said for it; the cause is errEnough, or a fault when so
// many were to come.
func (g *globals) following(ctx context.Context, c *cobra.Command, count int) (context.Context, context.CancelFunc) {
	if g.timeout <= 0 || !c.Flags().Changed("timeout") {
		return context.WithCancel(ctx)
	}
	cause := errEnough
	if count > 0 {
		few := fmt.Sprintf("fewer than %d", count)
		if count == 1 {
			few = "none"
		}
		cause = fault.New(fault.KindTimeout, "events_missing", "%s came in %s", few, g.timeout).
			WithHint("wait longer with --timeout")
	}
	return context.WithTimeoutCause(ctx, g.timeout, cause)
}

// watcher prints pushes.
type watcher struct {
	g        *globals
	c        *cobra.Command
	out, err io.Writer
	count    int
	end      context.CancelCauseFunc

	mu        sync.Mutex
	left      int
	unlimited bool
	last      uint64
}

func (w *watcher) watch(
	ctx context.Context, cl *client.Client, channels []string, from *client.Position, coalesce bool,
) error {
	say := func(format string, args ...any) {
		if !w.g.quiet {
			printf(w.err, format+"\n", args...)
		}
	}
	var was atomic.Bool
	s := cl.Stream(ctx, client.StreamOptions{
		Up: func(client.Hello) {
			if was.Swap(true) {
				say("the connection is there again")
			}
		},
		Down: func(err error) {
			if was.Load() {
				say("the connection broke, and is made again (%s)", oneLine(err.Error()))
			}
		},
	})
	defer s.Close()
	subscribing, cancel := w.g.limit(ctx)
	defer cancel()
	for _, channel := range channels {
		_, err := s.Subscribe(
			subscribing,
			client.Interest{Channel: channel, From: from, Coalesce: coalesce},
			client.Subscriber{
				Push: w.push,
				Standing: func(at client.Standing) {
					if at.Operation != nil {
						w.push(client.Push{
							Channels:  []string{at.Channel},
							Number:    at.Position.Position,
							Operation: at.Operation,
						})
					}
				},
				Lost:  func(f *fault.Fault) { say("%s: what happened meanwhile is not known (%s)", channel, f.Detail) },
				Ended: func(err error) { w.end(err) },
			},
		)
		if err != nil {
			return err
		}
	}
	say("watching %s", strings.Join(channels, ", "))
	for _, channel := range channels {
		if unheard(channel) {
			say("nothing is known here that would be told on %s; see: stega events list", channel)
		}
	}
	ctx, stop := w.g.following(ctx, w.c, w.count)
	defer stop()
	<-ctx.Done()
	return context.Cause(ctx)
}

// push prints one; those of several channels come once for each, and are printed once.
func (w *watcher) push(p client.Push) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Event.ID != "" && p.Number == w.last || !w.unlimited && w.left == 0 {
		return
	}
	if p.Event.ID != "" {
		w.last = p.Number
	}
	if err := w.print(p); err != nil {
		w.end(err)
		return
	}
	if w.left--; w.left == 0 {
		w.end(errEnough)
	}
}

func (w *watcher) print(p client.Push) error {
	if w.g.quiet {
		return writef(w.out, "%s\n", p.Event.ID)
	}
	if w.g.format == asTable {
		at := p.Event.Time.Local().Format("15:04:05.000")
		if p.Operation != nil {
			return writef(
				w.out, "%s  operation %s  %s\n", time.Now().Format("15:04:05.000"), p.Operation.ID,
				standing(*p.Operation),
			)
		}
		return writef(w.out, "%s  %-28s %s\n", at, p.Event.Type, p.Event.Subject)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if w.g.format == asYAML {
		if err := writef(w.out, "---\n"); err != nil {
			return err
		}
		return printRaw(w.out, asYAML, b)
	}
	return writeJSON(w.out, append(b, '\n'))
}
