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

func scrapeLimits(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	b, _ := running(t, t.TempDir())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(limitsMetrics{collector{b}})
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
