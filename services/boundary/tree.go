package boundary

import (
	"cmp"
	"slices"
	"time"

	"stega/events"
)

// tree has the messages that one operation caused. It is a set of facts, each of which holds for good, so neither
// their order nor repetition matters. A message exists when a receipt of the handling that caused it names it. It is
// handled when every handler of every service that handles its topic has a receipt. Nothing counts as done because of
// a position or a time.
type tree struct {
	id      string
	state   events.OperationState // the latest of the command
	nodes   map[string]*node
	foreign []events.Emitted  // messages that it caused together with other operations, which account for them
	owners  map[string]string // of these, by message: the operation that accounts for it
	rebuild *rebuild          // of views, when the operation is one
}

// node is a message; the root is the command itself.
type node struct {
	events.Emitted
	known    bool                      // a receipt of its cause names it
	expects  []string                  // the services that handle it
	reports  map[string]*serviceReport // by service
	closed   bool                      // nothing is outstanding, until another receipt comes
	children []string
}

// serviceReport has the receipts of one service for a message.
type serviceReport struct {
	handlers map[string]handling
	nobody   bool // the service has no handler for it
	omitted  int  // messages that it caused and that no receipt has listed yet
}

// handling is the state of a message in one handler.
type handling struct {
	state    string
	attempts int
	err      string
	sent, at time.Time
}

// The states of a handling, besides those of receipts.
const (
	pending = "pending"
	rebuilt = "rebuilt" // the views that it would have changed were rebuilt after the message was emitted
)

func finished(state string) bool { return state == events.ReceiptHandled || state == rebuilt }

// entry is what one unit of work of a service published of an operation, as it is stored.
type entry struct {
	Service  string                 `json:"service"`
	State    *events.OperationState `json:"state,omitempty"`
	Receipts []events.Receipt       `json:"receipts,omitempty"`
	Rebuild  *rebuild               `json:"rebuild,omitempty"`
	// Subscriptions has the services that handled the topics named in the entry, at that time.
	Subscriptions map[string][]string `json:"takes,omitempty"`
}

func newTree(id string) *tree {
	return &tree{id: id, nodes: map[string]*node{}, owners: map[string]string{}}
}

func (t *tree) node(id string) *node {
	n := t.nodes[id]
	if n == nil {
		n = &node{Emitted: events.Emitted{ID: id}, reports: map[string]*serviceReport{}}
		t.nodes[id] = n
	}
	return n
}

// by returns the report of a service on a message, to be changed.
func (n *node) by(service string) *serviceReport {
	n.closed = false
	h := n.reports[service]
	if h == nil {
		h = &serviceReport{handlers: map[string]handling{}}
		n.reports[service] = h
	}
	return h
}

// rank orders the statuses of a command.
var rank = map[string]int{"": 0, "accepted": 1, "running": 2, "failed": 3, "succeeded": 3}

// add adds an entry.
func (t *tree) add(e entry) {
	if s := e.State; s != nil {
		root := t.node(t.id)
		root.known, root.Topic, root.Service = true, s.Command, s.Service
		if rank[s.Status] >= rank[t.state.Status] {
			emitted := t.state.Emitted
			t.state = *s
			t.state.Emitted = append(emitted, s.Emitted...)
		}
		root.by(s.Service).omitted += s.Omitted
		t.caused(root, s.Emitted, e.Subscriptions)
	}
	if e.Rebuild != nil {
		t.rebuild = e.Rebuild
	}
	for _, r := range e.Receipts {
		n := t.node(r.Message)
		if n.Topic == "" {
			n.Topic, n.Subject = r.Topic, r.About
		}
		h := n.by(e.Service)
		if r.State == events.ReceiptCaused {
			h.omitted -= len(r.Emitted)
		} else {
			h.omitted += r.Omitted
			h.record(r)
		}
		t.caused(n, r.Emitted, e.Subscriptions)
	}
}

func (t *tree) caused(n *node, emitted []events.Emitted, subscriptions map[string][]string) {
	for _, e := range emitted {
		if own := e.Operation == "" || e.Operation == t.id; (!own || t.nodes[e.ID] != nil) &&
			slices.Contains(n.children, e.ID) {
			continue
		}
		n.children = append(n.children, e.ID)
		if e.Operation != "" && e.Operation != t.id {
			t.foreign = append(t.foreign, e)
			t.owners[e.ID] = e.Operation
			continue
		}
		child := t.node(e.ID)
		child.Emitted, child.known, child.closed = e, true, false
		if e.Service != "" {
			child.expects = []string{e.Service}
		} else {
			child.expects = subscriptions[e.Topic]
		}
	}
}

// emitted returns a message that the tree names, with the operation that accounts for it.
func (t *tree) emitted(id string) events.Emitted {
	e := events.Emitted{ID: id, Operation: t.id}
	if owner := t.owners[id]; owner != "" {
		e.Operation = owner
	} else if n := t.nodes[id]; n != nil {
		e.Topic, e.Subject = n.Topic, n.Subject
	}
	return e
}

// record adds a receipt of a handler. That it handled the message is final; of anything else the later counts.
func (h *serviceReport) record(r events.Receipt) {
	if r.State == events.ReceiptUnhandled {
		h.nobody = true
		return
	}
	if r.Handler != "" {
		delete(h.handlers, "") // it was given up before it reached a handler
	} else if len(h.handlers) > 0 {
		return
	}
	for _, other := range r.Handlers {
		if _, known := h.handlers[other]; !known && other != r.Handler && r.Handler != "" {
			h.handlers[other] = handling{state: pending, sent: r.SentAt, at: r.SentAt}
		}
	}
	was, known := h.handlers[r.Handler]
	if known && was.state == events.ReceiptHandled {
		return
	}
	if known && !finished(r.State) && was.state != pending && r.At.Before(was.at) {
		return
	}
	h.handlers[r.Handler] = handling{state: r.State, attempts: r.Attempts, err: r.Error, sent: r.SentAt, at: r.At}
}

// resolved reports whether the command has run to its end.
func (t *tree) resolved() bool { return rank[t.state.Status] == 3 }

// open lists what the messages of the tree still wait for.
func (t *tree) open() []events.Waiting {
	var all []events.Waiting
	for _, n := range t.nodes {
		all = append(all, t.waiting(n)...)
	}
	sortWaiting(all)
	return all
}

func sortWaiting(all []events.Waiting) {
	slices.SortFunc(all, func(a, b events.Waiting) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Handler, b.Handler))
	})
}

func (t *tree) waiting(n *node) (all []events.Waiting) {
	if n.closed {
		return nil
	}
	defer func() { n.closed = len(all) == 0 }()
	wait := func(service, handler string, h handling) {
		all = append(all, events.Waiting{
			Message: n.ID, Topic: n.Topic, Subject: n.Subject, Service: service, Handler: handler, State: h.state,
			Attempts: h.attempts, Error: h.err, Since: h.at,
		})
	}
	if !n.known { // it was handled, and the receipt of its cause is outstanding: more may follow
		wait("", "", handling{state: pending, at: t.state.AcceptedAt})
		return all
	}
	services := n.expects
	if n.ID == t.id { // the outcome of the command is in its state
		services = nil
	}
	for _, service := range services {
		if n.reports[service] == nil {
			wait(service, "", handling{state: pending, at: t.state.AcceptedAt})
		}
	}
	for service, h := range n.reports {
		for handler, at := range h.handlers {
			if !finished(at.state) {
				wait(service, handler, at)
			}
		}
		if len(h.handlers) == 0 && !h.nobody && slices.Contains(services, service) || h.omitted != 0 {
			wait(service, "", handling{state: pending, at: t.state.AcceptedAt})
		}
	}
	return all
}

// outcomeOf returns the outcome of an operation that waits for these.
func outcomeOf(resolved bool, open []events.Waiting) string {
	count := map[string]int{}
	for _, w := range open {
		count[w.State]++
	}
	switch {
	case resolved && len(open) == 0:
		return Settled
	case resolved && count[events.ReceiptDead] == len(open):
		return Failed
	case count[events.ReceiptParked]+count[events.ReceiptDead] > 0:
		return Stalled
	}
	return Pending
}

// The outcomes of an operation as a whole.
const (
	Pending = "pending"
	Settled = "settled" // all that follows is committed
	Failed  = "failed"  // a handler gave up
	Stalled = "stalled" // it waits for a handler for long
)
