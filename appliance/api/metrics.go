package api

import (
	"bytes"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

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

// maxScrapes bounds how many readers of the metrics hold a copy at a time.
const maxScrapes = 4

// metrics counts what the API answers, and its streams.
type metrics struct {
	gatherer prometheus.Gatherer
	scrapes  chan struct{}
	http     *jsonapi.Metrics
	limited  prometheus.Counter
	streams  prometheus.Gauge
	ended    *prometheus.CounterVec
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
		gatherer: registry, scrapes: make(chan struct{}, maxScrapes),
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
	return m, nil
}

// getMetrics writes every metric of the box.
func (a *API) getMetrics(c *call) error {
	select {
	case a.metrics.scrapes <- struct{}{}:
		defer func() { <-a.metrics.scrapes }()
	default:
		return jsonapi.Later(http.StatusServiceUnavailable, "unavailable", time.Second, "%d readers have the metrics at work now", maxScrapes)
	}
	var b bytes.Buffer
	if err := jsonapi.AppendMetrics(&b, a.metrics.gatherer); err != nil {
		return err
	}
	jsonapi.WriteMetrics(c.w, c.r, b.Bytes())
	return nil
}
