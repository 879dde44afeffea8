package stream

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what a hub does.
type metrics struct {
	connections   *prometheus.GaugeVec
	subscriptions prometheus.Gauge
	pushes        prometheus.Counter
	bytes         prometheus.Counter
	queueMost     prometheus.Gauge
	closes        *prometheus.CounterVec
	resumes       *prometheus.CounterVec
	reads         prometheus.Counter
	lag           prometheus.Gauge
	fanOut        prometheus.Histogram
	delivery      prometheus.Histogram
}

// newMetrics registers the metrics of the hub. Asked again with the same registry, it shares what stands there.
func newMetrics(registry prometheus.Registerer) *metrics {
	buckets := prometheus.ExponentialBuckets(0.0001, 4, 9)
	m := &metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "stega_stream_connections", Help: "Clients that are connected, by transport.",
		}, []string{"transport"}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stega_stream_subscriptions", Help: "Subscriptions of all clients.",
		}),
		pushes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stega_stream_pushes_total", Help: "Pushes that were queued for clients.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stega_stream_written_bytes_total", Help: "Bytes that were written to clients.",
		}),
		queueMost: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stega_stream_queue_most_bytes", Help: "Bytes that wait for the client that has the most waiting.",
		}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_stream_closes_total", Help: "Connections that ended, by code; 1006 is one that broke off.",
		}, []string{"code"}),
		resumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_stream_resumes_total",
			Help: "Subscriptions from a position by result: memory, log, or refused as unknown, expired or failed.",
		}, []string{"result"}),
		reads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stega_stream_log_reads_total", Help: "Readers of the event log that were opened for clients.",
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stega_stream_lag_seconds", Help: "Age of the last event when it was read from the log.",
		}),
		fanOut: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stega_stream_fan_out_seconds", Help: "Time to queue an event for all who are subscribed to it.",
			Buckets: buckets,
		}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "stega_stream_delivery_seconds",
			Help:    "Time from reading an event to having written it to a client; the oldest of each write.",
			Buckets: buckets,
		}),
	}
	if registry == nil {
		return m
	}
	m.connections, m.closes = registered(registry, m.connections), registered(registry, m.closes)
	m.resumes, m.reads = registered(registry, m.resumes), registered(registry, m.reads)
	m.subscriptions, m.pushes = registered(registry, m.subscriptions), registered(registry, m.pushes)
	m.bytes, m.queueMost = registered(registry, m.bytes), registered(registry, m.queueMost)
	m.lag, m.fanOut, m.delivery = registered(registry, m.lag), registered(registry, m.fanOut),
		registered(registry, m.delivery)
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

func (m *metrics) closed(code int) { m.closes.WithLabelValues(strconv.Itoa(code)).Inc() }

// String names a transport.
func (f form) String() string {
	if f == asSSE {
		return "sse"
	}
	return "websocket"
}
