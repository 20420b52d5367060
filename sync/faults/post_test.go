//go:build linux && interop

package faults_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const (
	postSpeed  = 200 // half an hour of posts is nine seconds
	postWithin = 60 * time.Second
)

// TestPostWhereUpgradesAreRefused puts a proxy that ends TLS and takes WebSockets out
// between a box and a real gateway: frames come by POST. Once the proxy lets
// them through, the box goes back to a tunnel. Nothing is counted twice.
func TestPostWhereUpgradesAreRefused(t *testing.T) {
	w := &world{t: t, cloud: newCenter(t, postSpeed), late: map[string][]time.Duration{}}
	w.cloud.start()
	t.Cleanup(func() {
		w.cloud.kill()
		for _, e := range w.edges {
			_ = e.cmd.Process.Kill()
			<-e.done
		}
		if t.Failed() {
			for _, file := range []string{w.cloud.log(), w.edges[0].log()} {
				text, _ := os.ReadFile(file)
				t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-4000):])
			}
		}
	})
	w.cloud.ready(readyWithin)
	var blocked, refused atomic.Int64
	blocked.Store(1)
	through := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: w.cloud.order.HTTPS})
	through.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // who the cloud is, the box finds out
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) && blocked.Load() == 1 {
			refused.Add(1)
			http.Error(rw, "not here", http.StatusForbidden)
			return
		}
		through.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	e := &edge{t: t, order: edgeOrder{Dir: filepath.Join(t.TempDir(), "edge0"), URLs: []string{proxy.URL}, Speed: postSpeed}}
	if err := os.MkdirAll(e.order.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if e.id, err = w.cloud.admin.Join(t.Context(), "site0", "box0", proxy.URL, e.order.Dir); err != nil {
		t.Fatal(err)
	}
	e.box = e.id.Box()
	e.start()
	w.edges = append(w.edges, e)

	wait := func(what string, ok func(counts map[string]float64) bool) {
		t.Helper()
		for end := time.Now().Add(postWithin); !ok(w.cloud.counters(t)); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s within %v: %v", what, postWithin, w.cloud.counters(t))
			}
		}
	}
	wait("posts", func(c map[string]float64) bool { return c["signalbox_cloud_posts_total"] >= 5 })
	w.fresh(postWithin)
	if n := w.cloud.counters(t)["signalbox_cloud_tunnels"]; n != 0 || refused.Load() < 2 {
		t.Errorf("%v tunnels, %d WebSockets refused; want none before two have come to nothing", n, refused.Load())
	}
	blocked.Store(0)
	wait("tunnel", func(c map[string]float64) bool { return c["signalbox_cloud_tunnels"] == 1 })
	posts := w.cloud.counters(t)["signalbox_cloud_posts_total"]
	w.fresh(postWithin)
	w.settle()
	if n := w.cloud.counters(t)["signalbox_cloud_posts_total"]; n > posts {
		t.Errorf("%v posts although there is a tunnel", n-posts)
	}
}
