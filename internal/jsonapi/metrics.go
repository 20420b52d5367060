package jsonapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. Labels come from the route table, never from a
// request, so their number is fixed.
type Metrics struct {
	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics makes metrics whose names begin with prefix and registers them.
func NewMetrics(registry prometheus.Registerer, prefix string) (*Metrics, error) {
	m := &Metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "_requests_in_flight", Help: "API requests being answered.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "_requests_total", Help: "API requests answered, by route template and status.",
		}, []string{"method", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "_request_seconds", Help: "Time to answer an API request, by route template; streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"method", "route"}),
	}
	for _, c := range []prometheus.Collector{m.inFlight, m.requests, m.seconds} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) begin() { m.inFlight.Inc() }

func (m *Metrics) done(method, route string, status int, dur time.Duration, stream bool) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	if !stream {
		m.seconds.WithLabelValues(method, route).Observe(dur.Seconds())
	}
}
