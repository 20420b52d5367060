package loadgen

import (
	"math"
	"testing"
	"time"
)

func TestLatencyQuantiles(t *testing.T) {
	var l Latency
	for ms := range 1000 {
		l.Add(time.Duration(ms+1) * time.Millisecond)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 500 * time.Millisecond}, {0.99, 990 * time.Millisecond}, {0.999, time.Second}, {1, time.Second}} {
		if got := l.Quantile(c.q); math.Abs(float64(got-c.want)) > 0.03*float64(c.want) {
			t.Errorf("Quantile(%v) = %v, want about %v", c.q, got, c.want)
		}
	}
	if l.Count() != 1000 || l.Max() != time.Second || l.Mean() != 500500*time.Microsecond {
		t.Errorf("count %d, max %v, mean %v", l.Count(), l.Max(), l.Mean())
	}
}

func TestLatencyTakesAnything(t *testing.T) {
	var l Latency
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond, 100 * time.Hour, math.MaxInt64} {
		l.Add(d)
	}
	if l.Count() != 5 || l.Quantile(0) != 0 {
		t.Errorf("count %d, least %v", l.Count(), l.Quantile(0))
	}
	var empty Latency
	if empty.Quantile(0.5) != 0 || empty.Mean() != 0 {
		t.Error("without times there is a quantile or a mean")
	}
}

func TestLatencyBucketsAreInOrder(t *testing.T) {
	for us := uint64(0); us < 1<<20; us += 1 + us/100 {
		i := latencyBucket(us)
		if low, high := bucketFloor(i), bucketFloor(i+1); us < low || us >= high {
			t.Fatalf("%d us is in the bucket from %d to %d", us, low, high)
		}
	}
}
