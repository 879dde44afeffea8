package rabbitmq

import "time"

// gatherFor is how long an ack of a run is kept back at most, and one behind a delivery that is still open twice as long: a unit of
// work takes about that, and the server wants a message of its own for each ack that reaches over nothing.
const gatherFor = 10 * time.Millisecond

// gathering keeps acks back, so that one message to the server acks many deliveries of a channel: an ack costs the server as much
// as a delivery, and the room that it makes is filled in one piece. It lists what the server counts as unacked in the order of
// delivery, which is that of the tags; a run of acks from the beginning of the list is told as one. A delivery that is open, or was
// given back with its channel, ends the run.
//
// No ack waits for another to come: all are told when nothing is open, when there are so many that the server might not deliver for want of
// room, and when the clock says so. All is called under the lock of the subscription.
type gathering struct {
	tell  func(tag uint64, multiple bool) error
	many  int         // acks at which a run is told; at twice as many all are
	clock *time.Timer // fires when tick is due
	armed bool

	first, last *settler
	held        int // acks that are not told
}

// newGathering is for a channel with a prefetch, of which half is enough for the server to go on.
func newGathering(prefetch int, tell func(tag uint64, multiple bool) error) gathering {
	clock := time.NewTimer(gatherFor)
	clock.Stop()
	return gathering{tell: tell, many: prefetch / 4, clock: clock}
}

// add appends a delivery.
func (g *gathering) add(x *settler) {
	if x.before = g.last; x.before == nil {
		g.first = x
	} else {
		x.before.after = x
	}
	g.last = x
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
	x.before, x.after = nil, nil
}

// ack takes the ack of a delivery; open is how many are not settled.
func (g *gathering) ack(x *settler, open int) error {
	x.acked = true
	g.held++
	if open == 0 || g.held >= 2*g.many {
		return g.all()
	}
	if !g.armed {
		g.armed = true
		g.clock.Reset(gatherFor)
	}
	if g.held >= g.many {
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
		case x.acked && x.late:
			err = g.alone(x)
		case x.acked:
			x.late, g.armed = true, true
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
	n, tag := 0, uint64(0)
	for g.first != nil && g.first.acked {
		tag = g.first.d.DeliveryTag
		g.remove(g.first)
		n++
	}
	if n == 0 {
		return nil
	}
	g.held -= n
	return g.tell(tag, n > 1)
}

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
	g.many = 0
	return g.all()
}
