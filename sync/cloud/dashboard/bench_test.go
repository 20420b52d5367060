package dashboard_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const manySites = 2000

// many is a node that shows 2,000 sites.
func many(b *testing.B) (*node, string) {
	b.Helper()
	town := newTown()
	for i := range manySites {
		town.addBox(fmt.Sprintf("plant-%04d", i), "b1")
	}
	n := start(b, newBroker(b), town)
	viewer, _, _ := n.keys()
	return n, viewer
}

// report gives quantiles of how long requests took.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkOverview asks for all sites while 33 of them change each second, as
// 2,000 do that report once a minute.
func BenchmarkOverview(b *testing.B) {
	n, viewer := many(b)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / 33)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				f := healthy(boxID(fmt.Sprintf("plant-%04d", i%manySites), "b1"), time.Now().UTC())
				f.Gauges[0].Value = int64(i)
				n.tell(f)
			}
		}
	}()
	keep := &http.Client{Transport: &http.Transport{}}
	defer keep.CloseIdleConnections()
	var took []time.Duration
	var bytes int64
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, n.url+"/v1/overview", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		bearer(viewer)(r)
		began := time.Now()
		response, err := keep.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		bytes, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %v", response.Status, err)
		}
		took = append(took, time.Since(began))
	}
	close(stop)
	<-ended
	report(b, took)
	b.ReportMetric(float64(bytes), "body-bytes")
}

// BenchmarkWatchers measures how long 500 watchers wait for a change.
func BenchmarkWatchers(b *testing.B) {
	const watchers = 500
	n, viewer := many(b)
	seen := make(chan time.Time, watchers)
	var readers sync.WaitGroup
	var bodies []io.Closer
	wide := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range watchers {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, n.url+"/v1/events", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		bearer(viewer)(r)
		response, err := wide.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		bodies = append(bodies, response.Body)
		readers.Go(func() {
			buffer := make([]byte, 64<<10)
			for {
				k, err := response.Body.Read(buffer)
				if err != nil {
					return
				}
				if slices.Contains(buffer[:k], '!') { // of the title that a change brings
					seen <- time.Now()
				}
			}
		})
	}
	var took []time.Duration
	i := 0
	for b.Loop() {
		i++
		began := time.Now()
		if err := n.SetTitle(b.Context(), fmt.Sprintf("plant-%04d", i%manySites), fmt.Sprintf("Changed! %d", i)); err != nil {
			b.Fatal(err)
		}
		for range watchers {
			took = append(took, (<-seen).Sub(began))
		}
	}
	report(b, took)
	for _, body := range bodies {
		body.Close()
	}
	readers.Wait()
}

// BenchmarkMetrics is one scrape of 2,000 sites.
func BenchmarkMetrics(b *testing.B) {
	n, viewer := many(b)
	var bytes int
	for b.Loop() {
		bytes = len(n.raw("GET", n.url+"/metrics", bearer(viewer)).body)
	}
	b.ReportMetric(float64(bytes), "body-bytes")
}
