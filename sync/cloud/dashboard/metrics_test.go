package dashboard_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

const metricsHead = `# Metrics of a cloud node

At ` + "`/metrics`" + ` of each node, for Prometheus, with an API key as bearer token. What begins with ` + "`signalbox_site_`" + ` is the same
at every node and has the labels of sites and boxes in the registry; scrape it at one. The rest is the node's own.

| metric | type | labels | what it is |
|---|---|---|---|
`

// TestMetricsAreDocumented compares METRICS.md with what a node exports.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	town := newTown()
	full := healthy(town.addBox("plant", "b1"), time.Now().UTC()) // a box that tells everything
	full.Gauges, full.Totals = nil, nil
	for _, m := range wire.Metrics {
		switch m.Kind {
		case wire.Level:
			full.Gauges = append(full.Gauges, dashboard.Metered{ID: m.ID, Value: 1})
		case wire.Counter:
			full.Totals = append(full.Totals, dashboard.Counted{ID: m.ID, Value: 1})
		}
	}
	town.tell(full)
	n := start(t, newBroker(t), town)
	viewer, _, _ := n.keys()
	n.do("GET", "/v1/overview", bearer(viewer)) // so that requests are counted
	got := n.do("GET", "/metrics", bearer(viewer))
	if got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	var doc strings.Builder
	doc.WriteString(metricsHead)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if !strings.HasPrefix(name, "signalbox_") {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels["`"+l.GetName()+"`"] = true
			}
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(slices.Sorted(maps.Keys(labels)), ", "), f.GetHelp())
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile("METRICS.md", []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile("METRICS.md"); err != nil || string(want) != doc.String() {
		t.Errorf("METRICS.md is not what is exported (%v); run go test ./sync/cloud/dashboard -run Documented -update", err)
	}
}
