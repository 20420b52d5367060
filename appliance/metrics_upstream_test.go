package appliance

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"signalbox/sync/upstream"
	"signalbox/sync/wire"
)

// silent is a box of which there is nothing to tell.
type silent struct{}

func (silent) Sample() upstream.Sample { return upstream.Sample{} }
func (silent) Rooms() []wire.RoomFacts { return nil }

func newAgent(t *testing.T) *upstream.Agent {
	t.Helper()
	a, err := upstream.New(upstream.Config{Dir: t.TempDir(), SiteKey: make([]byte, 32), Source: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type upstreamMetrics struct{ collector }

func (u upstreamMetrics) Collect(out chan<- prometheus.Metric) {
	u.collectUpstream(
		func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		},
		func(d *prometheus.Desc, v uint64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
		})
}

func scrapeUpstream(t *testing.T, agent *upstream.Agent) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(upstreamMetrics{collector{&Appliance{upstream: agent}}})
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

// A box that has not joined exports every family, all of them 0.
func TestUpstreamMetricsBeforeJoining(t *testing.T) {
	families := scrapeUpstream(t, newAgent(t))
	if len(families) != 18 {
		t.Errorf("%d families, want 18", len(families))
	}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				t.Errorf("%s is %v, want 0", name, v)
			}
		}
	}
}
