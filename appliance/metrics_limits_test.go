package appliance

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// limitsMetrics collects what a box has, and nothing else of it.
type limitsMetrics struct{ collector }

func (l limitsMetrics) Collect(out chan<- prometheus.Metric) {
	l.collectLimits(func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	})
}

// crowdMetrics collects what is open, and nothing else of a box.
type crowdMetrics struct{ collector }

func (m crowdMetrics) Collect(out chan<- prometheus.Metric) {
	m.collectCrowd(func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}, func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	})
}

func scrapeBox(t *testing.T, of func(collector) prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	b, _ := running(t, t.TempDir())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(of(collector{b}))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]*dto.MetricFamily{}
	for _, f := range gathered {
		families[f.GetName()] = f
	}
	return families
}
