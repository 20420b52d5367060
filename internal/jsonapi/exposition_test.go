package jsonapi_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"signalbox/internal/jsonapi"
)

func TestMetricsAsText(t *testing.T) {
	registry := prometheus.NewRegistry()
	doors := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "doors_total", Help: "Doors opened."}, []string{"hall"})
	registry.MustRegister(doors)
	doors.WithLabelValues(`a"b`).Add(3)
	const want = "# HELP doors_total Doors opened.\n# TYPE doors_total counter\ndoors_total{hall=\"a\\\"b\"} 3\n"
	var text bytes.Buffer
	if err := jsonapi.AppendMetrics(&text, registry); err != nil || text.String() != want {
		t.Fatalf("got %q, %v", &text, err)
	}
	for accept, packed := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.00": false, "identity": false,
	} {
		r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
		r.Header.Set("Accept-Encoding", accept)
		jsonapi.WriteMetrics(w, r, text.Bytes())
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != packed {
			t.Errorf("%q: packed is %v", accept, got)
		}
		body := io.Reader(w.Body)
		if packed {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != want || w.Header().Get("Content-Type") != jsonapi.MetricsFormat {
			t.Errorf("%q: got %q, %v", accept, got, err)
		}
	}
}

// A registry that cannot say all of its metrics gives none: half of them would
// look like a box that does nothing.
func TestMetricsAreWhole(t *testing.T) {
	broken := errors.New("broken")
	var text bytes.Buffer
	err := jsonapi.AppendMetrics(&text, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, broken }))
	if !errors.Is(err, broken) || text.Len() > 0 {
		t.Errorf("got %q, %v", &text, err)
	}
}
