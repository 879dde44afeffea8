package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of each service behind the gateway.
type metrics struct {
	g        *Gateway
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	retries  *prometheus.CounterVec
	breaker  *prometheus.Desc
}

func newMetrics(g *Gateway) *metrics {
	return &metrics{
		g: g,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_gateway_requests_total",
			Help: "Requests that were handed to a service, by the status of the answer; 0 is none.",
		}, []string{"service", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stega_gateway_seconds", Help: "Time until a request was answered wholly.",
			Buckets: prometheus.ExponentialBuckets(0.001, 3, 11),
		}, []string{"service"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stega_gateway_retries_total", Help: "Reads that were sent again because no answer came.",
		}, []string{"service"}),
		breaker: prometheus.NewDesc("stega_gateway_breaker_state",
			"0: requests go to the service; 1: one request probes it; 2: no request goes to it.", []string{"service"},
			nil),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.seconds, m.retries, m}
}

// Describe implements prometheus.Collector, for the states of the breakers.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.breaker }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for name, u := range m.g.upstreams {
		if u.Handler == nil {
			ch <- prometheus.MustNewConstMetric(m.breaker, prometheus.GaugeValue, float64(u.breaker.now()), name)
		}
	}
}

func (m *metrics) observe(service, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(service, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(service).Observe(took.Seconds())
}
