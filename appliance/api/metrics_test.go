package api_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"signalbox/appliance/api"
)

// TestScrapesAreBounded has four readers wait for a part that does not say its
// metric; the fifth is sent away, and all is well once the part has said it.
func TestScrapesAreBounded(t *testing.T) {
	var answer chan float64
	slow := func(c *api.Config) {
		answer = make(chan float64)
		c.Registry = prometheus.NewRegistry()
		c.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "slow", Help: "Slow."}, func() float64 { return <-answer }))
	}
	inBubble(t, slow, func(t *testing.T, b *box) {
		got := make(chan int)
		for range 4 {
			go func() {
				res, err := b.client.Get(b.url + "/metrics")
				if err != nil {
					got <- 0
					return
				}
				_ = res.Body.Close()
				got <- res.StatusCode
			}()
		}
		synctest.Wait()
		b.do("GET", "/metrics").refused(http.StatusServiceUnavailable, "unavailable", "4 readers")
		for range 4 {
			answer <- 1
			if code := <-got; code != http.StatusOK {
				t.Errorf("a reader got %d", code)
			}
		}
	})
}
