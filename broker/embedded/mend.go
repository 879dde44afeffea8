package embedded

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"stega/broker"
)

// mendEvery is how often the server is looked at, and how long it may owe an answer after a complaint.
const mendEvery = time.Second

// stopped says whether the server has stopped storing.
func (i *instance) stopped() bool { return i.mending.Load() || !i.srv.JetStreamEnabled() }

// mend begins a server again that has stopped storing. After an error of the disk it does not answer any more, and it
// keeps that up when the disk is well again.
func (b *Broker) mend() {
	defer b.tasks.Done()
	look := time.NewTicker(mendEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-b.ctx.Done():
			return
		}
		if !b.srv.stopped() && !b.stuck() {
			continue
		}
		// The server calls itself enabled before it has read what it stored.
		first := b.srv.mending.CompareAndSwap(false, true)
		err := b.srv.begin()
		// Only now, since what reaches the server while it stops goes without an answer too.
		b.pipe.fail(fmt.Errorf("%w: the event log stopped", broker.ErrUnknown))
		if err != nil {
			if first {
				b.log.Warn("the event log has stopped, and begins again as soon as that is possible", "cause", err)
			}
			continue
		}
		b.srv.mending.Store(false)
		b.log.Info("the event log begins again")
	}
}

// stuck says whether the log owes an answer: for longer than it may take, or for a while since it complained.
func (b *Broker) stuck() bool {
	if b.srv.mute.Load() {
		return true
	}
	sent, waiting := b.pipe.oldest()
	if !waiting {
		return false
	}
	age := b.now().Sub(sent)
	return age > answerLimit || age > mendEvery && b.srv.heard.at.Load() >= sent.UnixNano()
}

// begin lets the server store again.
func (i *instance) begin() error {
	if err := i.srv.ShutdownJetStream(); err != nil {
		return err
	}
	err := i.srv.EnableJetStream(&server.JetStreamConfig{
		MaxMemory: memoryLimit, MaxStore: storeLimit, StoreDir: i.dir, SyncInterval: syncEvery, Strict: true,
	})
	if err != nil {
		return errors.Join(err, i.srv.ShutdownJetStream())
	}
	i.mute.Store(false)
	return nil
}
