package jsonapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// MetricsFormat is the content type of metrics as text, which every Prometheus
// reads. The forms in protobuf that promhttp offers besides would be the only
// use of much code.
const MetricsFormat = "text/plain; version=0.0.4; charset=utf-8"

// AppendMetrics writes all metrics as text to b.
func AppendMetrics(b *bytes.Buffer, gatherer prometheus.Gatherer) error {
	families, err := gatherer.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(b, family); err != nil {
			return err
		}
	}
	return nil
}

// WriteMetrics answers with the text of metrics, packed for who takes gzip.
func WriteMetrics(w http.ResponseWriter, r *http.Request, text []byte) {
	h := w.Header()
	h.Set("Content-Type", MetricsFormat)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	if !takesGzip(r) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(text) // the caller is gone when this fails
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(http.StatusOK)
	packed := gzip.NewWriter(w)
	_, _ = packed.Write(text)
	_ = packed.Close()
}

func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if name, weight, _ := strings.Cut(coding, ";"); strings.TrimSpace(name) == "gzip" {
			return strings.Trim(weight, " 0.") != "q="
		}
	}
	return false
}
