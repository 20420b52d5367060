package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Why a status stream ended or was refused; metric labels.
const (
	streamGone    = "gone"    // the reader went away
	streamSlow    = "slow"    // the reader did not take its events
	streamExpired = "expired" // the reader's identity is no longer good
	streamStopped = "stopped" // the box stops
	streamFull    = "full"    // too many streams are open
)

// metrics counts requests. Labels come from the route table, never from a
// request, so their number is fixed.
type metrics struct {
	handler  http.Handler
	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	limited  prometheus.Counter
	streams  prometheus.Gauge
	ended    *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	if registry == nil {
		registry = prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signalbox_http_requests_in_flight", Help: "API requests being answered.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_http_requests_total", Help: "API requests answered, by route template and status.",
		}, []string{"method", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signalbox_http_request_seconds", Help: "Time to answer an API request, by route template; streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"method", "route"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "signalbox_http_codes_limited_total", Help: "Setup and invite codes refused because their source tried too many.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signalbox_http_event_streams", Help: "Status streams open.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_http_event_streams_ended_total", Help: "Status streams that ended or were refused, by reason.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.inFlight, m.requests, m.seconds, m.limited, m.streams, m.ended} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	for _, reason := range []string{streamGone, streamSlow, streamExpired, streamStopped, streamFull} {
		m.ended.WithLabelValues(reason)
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	return m, nil
}

// begin counts a request in, and gives what counts it out.
func (m *metrics) begin() func(rt route, status int, dur time.Duration) {
	m.inFlight.Inc()
	return func(rt route, status int, dur time.Duration) {
		m.inFlight.Dec()
		m.requests.WithLabelValues(rt.method, rt.path, strconv.Itoa(status)).Inc()
		if !rt.streams() {
			m.seconds.WithLabelValues(rt.method, rt.path).Observe(dur.Seconds())
		}
	}
}

func (a *API) getMetrics(c *call) error {
	a.metrics.handler.ServeHTTP(c.w, c.r)
	return nil
}
