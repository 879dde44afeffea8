package cmd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/client"
	"stega/fault"
)

// What Ctrl-C does with a job that is waited for.
const (
	ask    = "ask"
	cancel = "cancel"
	leave  = "leave"
)

func interruptFlag(c *cobra.Command, into *string) {
	c.Flags().
		StringVar(into, "on-interrupt", ask,
			"what Ctrl-C does: ask (on a terminal; elsewhere leave), cancel it, or leave it running")
	_ = c.RegisterFlagCompletionFunc("on-interrupt", oneOf(ask, cancel, leave))
}

// askable has Ctrl-C ask what is to become of the operation.
func askable(w *waiting, on string) error {
	if on != ask && on != cancel && on != leave {
		return fault.Usage("on_interrupt_unknown", "nothing can be done on Ctrl-C that is called %q", on).
			WithHint("say --on-interrupt ask, cancel or leave")
	}
	w.interrupted = func(c *cobra.Command, cl *client.Client, op client.Operation) {
		if on == cancel || on == ask && terminal(c.ErrOrStderr()) && wantsEnd(c.InOrStdin(), c.ErrOrStderr()) {
			endOperation(c, cl, op)
			return
		}
		interrupted(c, op)
	}
	return nil
}

// wantsEnd asks a person; whoever says nothing leaves the operation running.
func wantsEnd(in io.Reader, out io.Writer) bool {
	printf(out, "\ncancel the operation? y cancels it, anything else leaves it running: ")
	answer, _ := bufio.NewReader(in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// patience is how long the end of a cancelled operation is waited for.
const patience = 15 * time.Second

// endOperation cancels an operation and says whether it ended.
func endOperation(c *cobra.Command, cl *client.Client, op client.Operation) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(c.Context()), patience)
	defer stop()
	say := func(format string, args ...any) { printf(c.ErrOrStderr(), "stega: "+format+"\n", args...) }
	if err := cl.Cancel(ctx, op.ID); err != nil {
		say("operation %s cannot be cancelled: %s", op.ID, err)
		return
	}
	_, err := cl.Await(ctx, op.ID, client.Wait{For: client.ForResolved, Timeout: patience})
	f, ok := errors.AsType[*fault.Fault](err)
	switch {
	case err == nil:
		say("operation %s was done before it could be cancelled", op.ID)
	case ok && f.Code == "operation_cancelled":
		say("operation %s is cancelled", op.ID)
	default:
		say("operation %s is asked to end; see how it does with: stega op watch %s", op.ID, op.ID)
	}
}
