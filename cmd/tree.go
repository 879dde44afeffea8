package cmd

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"stega/client"
	"stega/events"
)

// strokes are what a tree is drawn with.
type strokes struct{ branch, last, down, good, bad, wait string }

var (
	fine  = strokes{"├─ ", "└─ ", "│  ", "✓", "✗", "…"}
	plain = strokes{"|- ", "`- ", "|  ", "ok", "DEAD", "..."}
)

// drawTree draws what followed from an operation. Times are counted from when it was accepted.
func drawTree(w io.Writer, op client.Operation, unicode bool) error {
	d := drawing{
		w:       &strings.Builder{},
		id:      op.ID,
		command: op.Command,
		start:   op.AcceptedAt,
		s:       plain,
		paint:   painted(w),
	}
	if unicode {
		d.s = fine
	}
	d.line("", "%s %s", op.Command, d.paint.quiet(op.ID))
	took := ""
	if op.FinishedAt != nil && op.FinishedAt.After(op.AcceptedAt) { // what runs in one unit of work has one time
		took = " in " + short(op.FinishedAt.Sub(op.AcceptedAt))
	}
	status := plainly(op.Status)
	switch op.Status {
	case client.Succeeded:
		status = d.paint.good(op.Status)
	case client.Failed:
		status = d.paint.bad(op.Status)
	}
	d.line("", "%s by %s%s", status, op.Service, took)
	if op.Error != nil {
		d.line("", "%s", d.paint.bad(op.Error.Detail))
	}
	root := *op.Tree
	if len(root.Handlings) == 1 && root.Handlings[0].State == op.Status { // which the lines above say
		root.Handlings = nil
	}
	d.below("", &root)
	d.line("", "%s", d.verdict(op))
	return writef(w, "%s", styled(d.w.String()))
}

type drawing struct {
	w           *strings.Builder
	id, command string // of the operation
	start       time.Time
	s           strokes
	paint       paint
}

func (d *drawing) line(indent, format string, args ...any) {
	printf(d.w, "%s"+format+"\n", append([]any{indent}, args...)...)
}

// below draws what became of a message, and what it caused.
func (d *drawing) below(indent string, n *client.Node) {
	rest := len(n.Handlings) + len(n.Children)
	next := func() (stroke, deeper string) {
		if rest--; rest == 0 {
			return d.s.last, indent + "   "
		}
		return d.s.branch, indent + d.s.down
	}
	for _, h := range n.Handlings {
		stroke, deeper := next()
		d.line(indent+stroke, "%s", d.handling(h))
		if h.Error != "" {
			d.line(deeper, "%s", d.paint.bad(oneLine(h.Error)))
		}
	}
	for _, child := range n.Children {
		stroke, deeper := next()
		d.line(indent+stroke, "%s", d.message(child))
		d.below(deeper, child)
	}
}

func (d *drawing) message(n *client.Node) styled {
	text := plainly(n.Topic)
	if n.Topic == d.command && n.Subject == d.id { // a deferred command runs as a message of its own
		text = "its job"
	} else if n.Subject != "" {
		text += plainly(" " + n.Subject)
	}
	if n.EmittedAt != nil && !d.start.IsZero() {
		text += " " + d.paint.quiet("+"+short(n.EmittedAt.Sub(d.start)))
	}
	if n.Operation != "" {
		text += " " + d.paint.quiet("(see operation "+n.Operation+")")
	}
	return text
}

func (d *drawing) handling(h client.Handling) styled {
	who := cmp.Or(h.Handler, h.Service)
	if !strings.HasPrefix(who, h.Service) {
		who = h.Service + "/" + who
	}
	mark := d.paint.wait(d.s.wait)
	switch h.State {
	case events.ReceiptHandled, events.ReceiptUnhandled, "rebuilt", client.Succeeded:
		mark = d.paint.good(d.s.good)
	case events.ReceiptDead, client.Failed:
		mark = d.paint.bad(d.s.bad)
	}
	text := mark + plainly(" "+who+" "+h.State)
	if h.TookMS > 0 {
		text += plainly(" after " + short(time.Duration(h.TookMS*float64(time.Millisecond))))
	}
	if h.Attempts > 1 {
		text += plainly(fmt.Sprintf(", %d tries", h.Attempts))
	}
	return text
}

// verdict says how it stands on the whole.
func (d *drawing) verdict(op client.Operation) styled {
	switch {
	case op.Settled && op.SettledAt != nil:
		return d.paint.good("settled") + plainly(" after "+short(op.SettledAt.Sub(op.AcceptedAt)))
	case op.Settled:
		return d.paint.good("settled")
	case op.Outcome == client.GaveUp && op.Status != client.Failed:
		return d.paint.bad("not settled") + plainly(": "+whom(op.Waiting)+"; see: stega dead list")
	case op.Outcome == client.Stalled:
		return d.paint.wait("stalled") + plainly(": waiting for "+whom(op.Waiting))
	case len(op.Waiting) > 0:
		return plainly("waiting for " + whom(op.Waiting))
	}
	return "not settled yet"
}

// short is a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func oneLine(text string) string {
	text, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		text += " …"
	}
	return text
}
