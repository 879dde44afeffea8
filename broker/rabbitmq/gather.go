package rabbitmq

import "time"

// How long an ack waits to be told with others. It is more than a unit of work takes, which acks all that it handled
// in a burst.
const (
	gatherFor = 25 * time.Millisecond
	lateTicks = 4 // times that, while a delivery before it is open: without that one the server wants a message for each
)

// gathering keeps acks back, so that one message to the server acks many deliveries of a channel: an ack by itself
// costs the server as much as a delivery, and the room that many make is filled in one piece. It lists what the
// server counts as unacked in the order of delivery, which is that of the tags. The acks from the beginning of the
// list up to the first delivery that is not acked are a run, and are told as one.
//
// No ack waits for another to come: all are told when nothing is open, when they take up so much room that the server
// might have none to deliver into, and when the clock says so. All is called under the lock of the subscription.
type gathering struct {
	tell  func(tag uint64, multiple bool) error
	many  int         // a run of as many is told
	most  int         // when as many are held, all are told
	clock *time.Timer // fires when tick is due
	armed bool

	first, last *settler
	edge        *settler // the first that is not acked
	ready       int      // acks before it
	held        int      // acks
}

// newGathering is for a channel with a prefetch.
func newGathering(prefetch int, tell func(tag uint64, multiple bool) error) gathering {
	clock := time.NewTimer(gatherFor)
	clock.Stop()
	return gathering{tell: tell, many: prefetch / 8, most: prefetch / 2, clock: clock}
}

// add appends a delivery.
func (g *gathering) add(x *settler) {
	if x.before = g.last; x.before == nil {
		g.first = x
	} else {
		x.before.after = x
	}
	if g.last = x; g.edge == nil {
		g.edge = x
	}
}

// remove takes out a delivery that the server is told about.
func (g *gathering) remove(x *settler) {
	if x.before == nil {
		g.first = x.after
	} else {
		x.before.after = x.after
	}
	if x.after == nil {
		g.last = x.before
	} else {
		x.after.before = x.before
	}
	if x == g.edge {
		g.edge = x.after
		g.advance()
	}
	x.before, x.after = nil, nil
}

// advance moves the edge over what is acked.
func (g *gathering) advance() {
	for g.edge != nil && g.edge.acked {
		g.edge = g.edge.after
		g.ready++
	}
}

// ack takes the ack of a delivery; open is how many are not settled.
func (g *gathering) ack(x *settler, open int) error {
	x.acked = true
	g.held++
	g.advance()
	if open == 0 || g.held >= g.most {
		return g.all()
	}
	if !g.armed {
		g.armed = true
		g.clock.Reset(gatherFor)
	}
	if g.ready >= g.many {
		return g.run()
	}
	return nil
}

// tick tells what waited long enough.
func (g *gathering) tick() error {
	g.armed = false
	err := g.run()
	for x := g.first; x != nil && g.held > 0 && err == nil; {
		after := x.after
		switch {
		case x.acked && x.late == lateTicks:
			err = g.alone(x)
		case x.acked:
			x.late++
			g.armed = true
		}
		x = after
	}
	if g.armed {
		g.clock.Reset(gatherFor)
	}
	return err
}

// run tells the acks that no delivery holds up. The tag that it names is that of an unacked delivery; the server
// takes any other for an error.
func (g *gathering) run() error {
	n, tag := g.ready, uint64(0)
	if n == 0 {
		return nil
	}
	for range n {
		tag = g.first.d.DeliveryTag
		g.remove(g.first)
	}
	g.ready = 0
	g.held -= n
	return g.tell(tag, n > 1)
}

// alone tells an ack behind the edge.
func (g *gathering) alone(x *settler) error {
	g.remove(x)
	g.held--
	return g.tell(x.d.DeliveryTag, false)
}

// all tells every ack.
func (g *gathering) all() error {
	err := g.run()
	for x := g.first; x != nil && g.held > 0 && err == nil; {
		after := x.after
		if x.acked {
			err = g.alone(x)
		}
		x = after
	}
	return err
}

// hurry keeps nothing back any more.
func (g *gathering) hurry() error {
	g.most = 0
	return g.all()
}
