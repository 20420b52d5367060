package dashboard

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"signalbox/internal/jsonapi"
)

// Why a stream ended or was refused; metric labels.
const (
	streamGone    = "gone"    // the reader went away
	streamSlow    = "slow"    // the reader did not take its events
	streamExpired = "expired" // the reader's session is over
	streamStopped = "stopped" // the node stops
	streamFull    = "full"    // too many streams are open
)

// Why a live value was not passed on; metric labels.
const (
	liveMalformed = "malformed" // not what boxes say
	liveTooOften  = "too_often" // more than a few a second
	liveSlow      = "slow"      // a reader did not take it in time
)

// What came of deliveries; metric labels.
const (
	hookDelivered = "delivered"
	hookFailed    = "failed"
)

// metrics is what the dashboard itself counts.
type metrics struct {
	gatherer    prometheus.Gatherer
	http        *jsonapi.Metrics
	limited     prometheus.Counter
	streams     prometheus.Gauge
	resumed     prometheus.Counter
	ended       *prometheus.CounterVec
	liveDropped *prometheus.CounterVec
	delivered   *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry) (*metrics, error) {
	if registry == nil {
		registry = prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	requests, err := jsonapi.NewMetrics(registry, "signalbox_cloud_http")
	if err != nil {
		return nil, err
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "signalbox_cloud_" + name, Help: help})
	}
	vector := func(name, help, label string, values ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "signalbox_cloud_" + name, Help: help}, []string{label})
		for _, value := range values {
			v.WithLabelValues(value)
		}
		return v
	}
	m := &metrics{
		gatherer: registry,
		http:     requests,
		limited:  counter("sign_ins_limited_total", "Sign-ins refused because their source tried too many."),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signalbox_cloud_streams", Help: "Event streams open, of the overview and live.",
		}),
		resumed: counter("streams_resumed_total", "Streams of the overview that began with what had changed since the reader last saw it."),
		ended: vector("streams_ended_total", "Event streams that ended or were refused, by reason.", "reason",
			streamGone, streamSlow, streamExpired, streamStopped, streamFull),
		liveDropped: vector("live_dropped_total", "Live values of boxes that were not passed on, by reason.", "reason",
			liveMalformed, liveTooOften, liveSlow),
		delivered: vector("webhook_deliveries_total", "Deliveries to webhooks, by outcome.", "outcome", hookDelivered, hookFailed),
	}
	for _, c := range []prometheus.Collector{m.limited, m.streams, m.resumed, m.ended, m.liveDropped, m.delivered} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
