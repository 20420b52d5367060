package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"signalbox/internal/jsonapi"
)

// Why a status stream ended or was refused; metric labels.
const (
	streamGone    = "gone"    // the reader went away
	streamSlow    = "slow"    // the reader did not take its events
	streamExpired = "expired" // the reader's identity is no longer good
	streamStopped = "stopped" // the box stops
	streamFull    = "full"    // too many streams are open
)

// metrics counts what the API answers, and its streams.
type metrics struct {
	handler http.Handler
	http    *jsonapi.Metrics
	limited prometheus.Counter
	streams prometheus.Gauge
	ended   *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	if registry == nil {
		registry = prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	requests, err := jsonapi.NewMetrics(registry, "signalbox_http")
	if err != nil {
		return nil, err
	}
	m := &metrics{
		http: requests,
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
	for _, c := range []prometheus.Collector{m.limited, m.streams, m.ended} {
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

func (a *API) getMetrics(c *call) error {
	a.metrics.handler.ServeHTTP(c.w, c.r)
	return nil
}
