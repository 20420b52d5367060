package jsonapi

import (
	"fmt"
	"testing"
	"time"
)

func TestSourceLimiter(t *testing.T) {
	now := time.Now()
	l := NewSourceLimiter(Limits{PerSource: 1, PerSourceBurst: 2, Total: 100, TotalBurst: 8, Sources: 3})
	allowed := func(remote string, want bool) {
		t.Helper()
		wait, ok := l.Allow(remote, now)
		if ok != want || !ok && (wait <= 0 || wait > time.Second) {
			t.Errorf("allow(%s) = %v, %v; want %v", remote, wait, ok, want)
		}
	}
	allowed("10.0.0.1:1000", true)
	allowed("[::ffff:10.0.0.1]:1001", true) // the same source, as a dual-stack socket shows it
	allowed("10.0.0.1:1002", false)
	allowed("10.0.0.2:1000", true)
	allowed("[2001:db8::1]:1", true) // one network of many addresses
	allowed("[2001:db8::2]:1", true)
	allowed("[2001:db8::3%eth0]:1", false)
	allowed("[2001:db8:0:1::1]:1", true)
	now = now.Add(time.Second)
	allowed("10.0.0.1:1000", true)
	allowed("@", true) // what is no IP address shares a budget
	allowed("not an address", true)
	allowed("", false)
}

func TestSourceLimiterIsBounded(t *testing.T) {
	now := time.Now()
	l := NewSourceLimiter(Limits{PerSource: 1, PerSourceBurst: 5, Total: 1, TotalBurst: 10, Sources: 16})
	allowed := 0
	for i := range 1000 {
		if _, ok := l.Allow(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), now); ok {
			allowed++
		}
	}
	if allowed != 10 {
		t.Errorf("%d sources together were allowed %d times, want the total of 10", 1000, allowed)
	}
	if len(l.known) != 16 || l.seen.Len() != 16 {
		t.Errorf("%d sources known in a list of %d, want 16", len(l.known), l.seen.Len())
	}
}

func FuzzSourceOf(f *testing.F) {
	for _, remote := range []string{"10.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "[::ffff:1.2.3.4]:1", "@", "", "1.2.3.4"} {
		f.Add(remote)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		if p := sourceOf(remote); p.IsValid() && p != p.Masked() {
			t.Errorf("sourceOf(%q) = %v, which keeps host bits", remote, p)
		}
	})
}
