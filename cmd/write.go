package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/events"
	"stega/fault"
)

// waiting is the flag --wait.
type waiting struct {
	level string
	// interrupted is told when Ctrl-C ends the wait; nil says that the operation goes on.
	interrupted func(c *cobra.Command, cl *client.Client, op client.Operation)
}

func (w *waiting) flags(c *cobra.Command) {
	c.Flags().
		StringVar(&w.level, "wait", "resolved",
			"what to wait for: accepted (received), resolved (done), settled (all effects visible)")
	_ = c.RegisterFlagCompletionFunc("wait", oneOf("accepted", "resolved", "settled"))
}

func (w *waiting) parse() (client.Level, error) {
	for _, l := range []client.Level{client.ForAccepted, client.ForResolved, client.ForSettled} {
		if l.String() == w.level {
			return l, nil
		}
	}
	return 0, fault.Usage("wait_unknown", "unknown --wait %q", w.level).WithHint("one of: accepted, resolved, settled")
}

// written is what a write prints.
type written struct {
	OperationID string `json:"operation_id"`
	ID          string `json:"id"`
	Status      string `json:"status"`
	Settled     bool   `json:"settled"`
}

// submit sends a write and waits, with a live line for who looks.
func (g *globals) submit(
	ctx context.Context, c *cobra.Command, cl *client.Client, cmd client.Command, w *waiting, line *live,
) (client.Operation, error) {
	level, err := w.parse()
	if err != nil {
		return client.Operation{}, err
	}
	cmd.OperationID, cmd.Unsent = events.NewID(), true
	op, err := cl.Submit(ctx, cmd, client.Wait{
		For: level, Timeout: g.timeout,
		Changed: func(op client.Operation) { line.say("%s", standing(op)) },
		Stalled: func(op client.Operation) { line.say("%s", standing(op)) },
		Trying:  func(err error) { line.say("trying again: %s", err) },
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		line.end()
		if w.interrupted == nil {
			interrupted(c, op)
		} else {
			w.interrupted(c, cl, op)
		}
	}
	return op, err
}

// interrupted says what becomes of a write that nobody waits for any more.
func interrupted(c *cobra.Command, op client.Operation) {
	what := "goes on"
	if op.Status == "" {
		what = "may have been taken"
	}
	printf(
		c.ErrOrStderr(), "stega: no longer waiting; operation %s %s\n  hint: watch it with: stega op watch %s\n", op.ID,
		what,
		op.ID,
	)
}

// standing says in a few words how an operation fares.
func standing(op client.Operation) string {
	switch {
	case op.Settled:
		return "settled"
	case op.Status == client.Succeeded && len(op.Waiting) > 0:
		return "done; waiting for " + whom(op.Waiting)
	case op.Status == client.Succeeded:
		return "done; waiting for what follows"
	case op.Progress != nil:
		return strings.TrimSpace(progress(*op.Progress))
	case op.Status == client.Queued:
		return "queued until the server is back"
	case op.Status == "":
		return "sending"
	}
	return op.Status
}

func progress(p client.Progress) string {
	if p.Total > 0 {
		return fmt.Sprintf("%s %d of %d (%d %%)", p.Text, p.Done, p.Total, p.Done*100/p.Total)
	}
	return fmt.Sprintf("%s %d", p.Text, p.Done)
}

// whom says whom an operation waits for.
func whom(waiting []events.Waiting) string {
	var names []string
	for i, at := range waiting {
		if i == 3 {
			names = append(names, fmt.Sprintf("%d more", len(waiting)-i))
			break
		}
		name := at.Service + " (" + at.Topic
		if at.State == events.ReceiptParked || at.State == events.ReceiptDead {
			name += ", " + at.State
		}
		names = append(names, name+")")
	}
	return strings.Join(names, ", ")
}

// write sends a write, waits, and prints what became of it. done is what to say when all is well, such as "core is
// created".
func (g *globals) write(
	ctx context.Context, c *cobra.Command, cl *client.Client, cmd client.Command, w *waiting, done string,
) (client.Operation, error) {
	began := time.Now()
	line := g.newLive(c.ErrOrStderr(), "sending")
	op, err := g.submit(ctx, c, cl, cmd, w, line)
	line.end()
	if op.Status != "" {
		rememberOperation(g.at, op.ID)
		if printed := g.printWritten(c, op); err == nil {
			err = printed
		}
	}
	if err == nil && op.Status == client.Queued {
		return op, fault.New(fault.KindTimeout, "write_queued",
			"%s is away: the write is queued, and will be sent when it is back", g.at.URL).
			WithHint("follow it with: stega queue list; stega op show %s", op.ID)
	}
	if err == nil && g.format == asTable && !g.quiet {
		printf(c.ErrOrStderr(), "%s (%s after %s)\n", done, w.level, time.Since(began).Round(time.Millisecond))
	}
	return op, err
}

func (g *globals) printWritten(c *cobra.Command, op client.Operation) error {
	raw, err := json.Marshal(written{OperationID: op.ID, ID: op.EntityID, Status: op.Status, Settled: op.Settled})
	if err != nil {
		return err
	}
	id := op.EntityID
	if id == "" {
		id = op.ID
	}
	t := table{head: []string{"ID", "OPERATION", "STATUS"}}
	t.add(id, op.ID, statusOf(op))
	return g.show(c, view{raw: raw, ids: []string{id}, table: t})
}

// statusOf is the status of an operation in one word.
func statusOf(op client.Operation) string {
	if op.Status != client.Succeeded {
		return op.Status
	}
	switch op.Outcome {
	case client.Settled:
		return "settled"
	case client.Stalled:
		return "stalled"
	case client.GaveUp:
		return "settle failed"
	}
	return op.Status
}
