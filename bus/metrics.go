package bus

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the bus does; one of them serves all services of a process.
type Metrics struct {
	dispatches *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	settled    *prometheus.CounterVec
	lag        *prometheus.HistogramVec
	breaker    *prometheus.GaugeVec
	recovered  *prometheus.CounterVec
}

// Outcomes of a delivery, as metrics name them.
const (
	outcomeHandled   = "handled"
	outcomeDuplicate = "duplicate" // was handled before
	outcomeParked    = "parked"    // failed, to be tried again
	outcomeWaiting   = "waiting"   // lined up behind a parked one
	outcomeDead      = "dead"      // given up
	outcomeRefused   = "refused"   // a job whose operation failed, as its handler decided
	outcomeRejected  = "rejected"  // cannot be read
	outcomeUnhandled = "unhandled" // no handler is registered for the topic
)

// NewMetrics registers the metrics of the bus. With the same registry it returns the collectors that are there.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	buckets := prometheus.ExponentialBuckets(0.0002, 4, 10)
	m := &Metrics{
		dispatches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_dispatches_total",
			Help: "Runs of handlers by outcome: ok, refused, failed. A message that is tried again counts again.",
		}, []string{"service", "handler", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stega_dispatch_seconds", Help: "How long handlers run.", Buckets: buckets,
		}, []string{"service", "handler"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_messages_settled_total", Help: "Messages of the broker by what became of them for a handler.",
		}, []string{"service", "handler", "outcome"}),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stega_message_lag_seconds", Help: "Time from an event's emission to the commit of its effect.",
			Buckets: buckets,
		}, []string{"service"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stega_breaker_open", Help: "1 while everything fails and nothing more is parked.",
		}, []string{"service"}),
	}
	m.recovered = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stega_messages_recovered_total",
		Help: "Events that did not come from the queue and were taken from the log.",
	}, []string{"service"})
	if registry == nil {
		return m
	}
	m.recovered = registered(registry, m.recovered)
	m.dispatches = registered(registry, m.dispatches)
	m.seconds = registered(registry, m.seconds)
	m.settled = registered(registry, m.settled)
	m.lag = registered(registry, m.lag)
	m.breaker = registered(registry, m.breaker)
	return m
}

// registered registers a collector, or finds the equal one that is registered already.
func registered[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	if before, ok := errors.AsType[prometheus.AlreadyRegisteredError](registry.Register(c)); ok {
		if same, ok := before.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

func (m *Metrics) dispatched(c Call, took time.Duration, err error) {
	outcome := "ok"
	switch {
	case err == nil:
	case IsPermanent(err):
		outcome = "refused"
	default:
		outcome = "failed"
	}
	m.dispatches.WithLabelValues(c.Service, c.Handler, outcome).Inc()
	m.seconds.WithLabelValues(c.Service, c.Handler).Observe(took.Seconds())
}
