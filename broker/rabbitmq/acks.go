package rabbitmq

import "time"

// ackDelay is the time for which an ack waits for others. It is longer than a unit of work, which acks all its
// messages in a burst.
const (
	ackDelay  = 25 * time.Millisecond
	lateTicks = 4 // times that, behind an open delivery: then the server needs a message for each ack
)

// pendingAcks collects acks, so that one message to the server acks many deliveries of a channel. A single ack costs
// the server as much as a delivery. The list holds the deliveries that the server counts as unacked, in order of
// their tags. The acks before the first unacked delivery form a run, and are sent as one.
//
// No ack waits for a later delivery. All are sent when no delivery is open, when they occupy so much of the prefetch
// that the server might stop delivering, and when the timer fires. All methods need the lock of the subscription.
type pendingAcks struct {
	send    func(tag uint64, multiple bool) error
	runSize int         // a run of this size is sent
	limit   int         // this many held acks are all sent
	timer   *time.Timer // fires when tick is due
	armed   bool

	first, last *settler
	firstOpen   *settler // the first unacked delivery
	ready       int      // acks before it
	held        int      // all acks
}

// newPendingAcks returns the acks of a channel with a prefetch.
func newPendingAcks(prefetch int, send func(tag uint64, multiple bool) error) pendingAcks {
	timer := time.NewTimer(ackDelay)
	timer.Stop()
	return pendingAcks{send: send, runSize: prefetch / 8, limit: prefetch / 2, timer: timer}
}

// add appends a delivery.
func (g *pendingAcks) add(x *settler) {
	if x.before = g.last; x.before == nil {
		g.first = x
	} else {
		x.before.after = x
	}
	if g.last = x; g.firstOpen == nil {
		g.firstOpen = x
	}
}

// remove removes a delivery whose settling is sent to the server.
func (g *pendingAcks) remove(x *settler) {
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
	if x == g.firstOpen {
		g.firstOpen = x.after
		g.advance()
	}
	x.before, x.after = nil, nil
}

// advance moves firstOpen past acked deliveries.
func (g *pendingAcks) advance() {
	for g.firstOpen != nil && g.firstOpen.acked {
		g.firstOpen = g.firstOpen.after
		g.ready++
	}
}

// ack records the ack of a delivery; open is the number of unsettled deliveries.
func (g *pendingAcks) ack(x *settler, open int) error {
	x.acked = true
	g.held++
	g.advance()
	if open == 0 || g.held >= g.limit {
		return g.sendAll()
	}
	if !g.armed {
		g.armed = true
		g.timer.Reset(ackDelay)
	}
	if g.ready >= g.runSize {
		return g.sendRun()
	}
	return nil
}

// tick sends the acks that waited long enough.
func (g *pendingAcks) tick() error {
	g.armed = false
	err := g.sendRun()
	for x := g.first; x != nil && g.held > 0 && err == nil; {
		after := x.after
		switch {
		case x.acked && x.late == lateTicks:
			err = g.sendOne(x)
		case x.acked:
			x.late++
			g.armed = true
		}
		x = after
	}
	if g.armed {
		g.timer.Reset(ackDelay)
	}
	return err
}

// sendRun sends the acks before the first unacked delivery. Its tag must be that of an unacked delivery, because any
// other is an error for the server.
func (g *pendingAcks) sendRun() error {
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
	return g.send(tag, n > 1)
}

// sendOne sends an ack behind firstOpen.
func (g *pendingAcks) sendOne(x *settler) error {
	g.remove(x)
	g.held--
	return g.send(x.d.DeliveryTag, false)
}

// sendAll sends every ack.
func (g *pendingAcks) sendAll() error {
	err := g.sendRun()
	for x := g.first; x != nil && g.held > 0 && err == nil; {
		after := x.after
		if x.acked {
			err = g.sendOne(x)
		}
		x = after
	}
	return err
}

// sendAtOnce sends every ack, now and later.
func (g *pendingAcks) sendAtOnce() error {
	g.limit = 0
	return g.sendAll()
}
