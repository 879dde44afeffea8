package process

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stega/broker"
)

// collector reads depths and ages from databases and broker at each scrape.
type collector struct {
	p *Process

	outbox, oldest, inbox, parked, dead, depth, connected, paused *prometheus.Desc
}

func newCollector(p *Process) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("stega_"+name, help, labels, nil)
	}
	return &collector{
		p:      p,
		outbox: desc("outbox_rows", "Rows of the outbox: to publish, or not handled everywhere yet.", "service"),
		oldest: desc("outbox_oldest_unsent_seconds", "Age of the oldest event that is not published.", "service"),
		inbox:  desc("inbox_rows", "Messages that are remembered as handled.", "service"),
		parked: desc("parked_messages", "Messages set aside to be tried again, with those lined up behind them.",
			"service"),
		dead:      desc("dead_messages", "Messages given up, waiting for an operator.", "service"),
		depth:     desc("queue_messages", "Messages waiting in a queue of the broker.", "service", "queue"),
		connected: desc("broker_connected", "1 when the broker is connected and takes messages."),
		paused:    desc("consumer_paused", "1 while the consumer waits for something that is away.", "service"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.outbox, c.oldest, c.inbox, c.parked, c.dead, c.depth, c.connected,
		c.paused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	state := c.p.broker.State()
	gauge(c.connected, one(state.Connected && state.Blocked == ""))
	for _, part := range c.p.parts {
		name := part.service.Name()
		if stats, err := part.db.Stats(ctx); err == nil {
			gauge(c.outbox, float64(stats.Outbox), name)
			gauge(c.oldest, stats.OldestUnsent.Seconds(), name)
			gauge(c.inbox, float64(stats.Inbox), name)
			gauge(c.parked, float64(stats.Parked), name)
			gauge(c.dead, float64(stats.Dead), name)
		}
		for _, q := range []broker.Queue{broker.Events, broker.Commands, broker.Dead} {
			if n, err := c.p.broker.Depth(ctx, name, q); err == nil {
				gauge(c.depth, float64(n), name, string(q))
			}
		}
		if part.consumer != nil {
			gauge(c.paused, one(part.consumer.Paused() != ""), name)
		}
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
