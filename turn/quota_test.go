package turn

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	home = netip.MustParseAddr("192.168.1.77")
	away = netip.MustParseAddr("192.168.1.78")
)

// quotasOf are those of the default configuration, changed.
func quotasOf(change func(*Config)) *quotas {
	cfg := Default()
	change(&cfg)
	return newQuotas(cfg)
}

// admitted admits and fails the test when that is refused.
func admitted(t testing.TB, q *quotas, user string, source netip.Addr) *grant {
	t.Helper()
	g, code := q.admit(user, source)
	if code != 0 {
		t.Fatalf("%s from %v: refused with %d", user, source, code)
	}
	return g
}

func TestAllocationQuotas(t *testing.T) {
	q := quotasOf(func(c *Config) { c.MaxAllocations, c.MaxAllocationsPerUser, c.MaxAllocationsPerSource = 5, 3, 4 })
	var grants []*grant
	for _, step := range []struct {
		user   string
		source netip.Addr
		code   refusal
	}{
		{"anna", home, 0},
		{"anna", home, 0},
		{"anna", away, 0},
		{"anna", away, 486}, // of the user
		{"bert", home, 0},
		{"cleo", home, 0},
		{"dora", home, 486}, // of the source
		{"dora", netip.AddrFrom16(home.As16()), 486},
		{"dora", away, 508}, // of the relay
	} {
		g, code := q.admit(step.user, step.source)
		if code != step.code {
			t.Errorf("%s from %v: code %d, want %d", step.user, step.source, code, step.code)
		}
		if g != nil {
			grants = append(grants, g)
		}
	}
	if users := q.activeUsers(); users != 3 {
		t.Errorf("%d users, want 3", users)
	}
	grants[0].release()
	grants[0].release() // counts once
	admitted(t, q, "dora", away)
	if _, code := q.admit("emil", away); code != 508 {
		t.Errorf("code %d after a place was given back twice, want 508", code)
	}
	for _, g := range grants[1:] {
		g.release()
	}
	if n := len(q.users.all) + len(q.sources.all); n != 2 {
		t.Errorf("%d accounts remembered, want those of dora", n)
	}
}

func TestHoldQuotas(t *testing.T) {
	q := quotasOf(func(c *Config) {
		c.MaxPermissionsPerUser, c.MaxPermissionsPerSource, c.MaxPermissionsTotal = 5, 7, 9
		c.MaxChannelsPerUser = 2
	})
	a, a2, b, c := admitted(t, q, "anna", home), admitted(t, q, "anna", home), admitted(t, q, "bert", home), admitted(t, q, "cleo", away)
	for i, step := range []struct {
		g    *grant
		n    int
		want bool
	}{
		{a, 3, true}, {a2, 2, true}, {a2, 3, false}, {a, 3, true}, // 5 of the user
		{b, 2, true}, {b, 3, false}, // 7 of the source
		{c, 2, true}, {c, 3, false}, // 9 of the relay
		{a, 1, true}, {c, 4, true}, {b, 2, true}, {a2, 3, false}, {c, 0, true}, {a2, 4, true},
	} {
		if got := step.g.holdPermissions(step.n); got != step.want {
			t.Errorf("step %d: %s is to have %d: %v, want %v", i, step.g.user, step.n, got, step.want)
		}
	}
	a2.release()
	if !a.holdPermissions(5) || a.holdPermissions(6) {
		t.Error("what a2 held was not given back, or too much of it")
	}
	if !a2.holdPermissions(99) || q.total.permissions != 7 { // it has ended; anna has 5, bert 2
		t.Errorf("%d permissions in all, want 7", q.total.permissions)
	}
	if !a.holdChannels(2) || a.holdChannels(3) || q.total.channels != 2 {
		t.Errorf("%d channels in all, want 2", q.total.channels)
	}
}

// What a user has relayed counts on when it has no allocation, until the
// period ends.
func TestByteQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := quotasOf(func(c *Config) {
			c.MaxUserBytes, c.MaxSourceBytes, c.MaxTotalBytes, c.QuotaPeriod = 1000, 1500, 3000, time.Hour
		})
		spend := func(g *grant, bytes int, want string) {
			t.Helper()
			got := "ok"
			if reason, ok := g.spend(bytes, q.clock()); !ok {
				got = reason.String()
			}
			if got != want {
				t.Errorf("%s spends %d: %s, want %s", g.user, bytes, got, want)
			}
		}
		time.Sleep(10 * time.Minute)
		a := admitted(t, q, "anna", home)
		spend(a, 600, "ok")
		spend(a, 401, "byte_quota") // and nothing of it counts
		a.release()
		a = admitted(t, q, "anna", away)
		spend(a, 400, "ok")
		spend(a, 1, "byte_quota")
		if _, code := q.admit("anna", home); code != 486 {
			t.Errorf("allocation of a user without bytes: code %d, want 486", code)
		}
		b := admitted(t, q, "bert", home)
		spend(b, 901, "byte_quota") // 600 of the source are anna's
		spend(b, 900, "ok")
		if _, code := q.admit("cleo", home); code != 486 {
			t.Errorf("allocation from a source without bytes: code %d, want 486", code)
		}
		c := admitted(t, q, "cleo", netip.MustParseAddr("192.168.1.79"))
		spend(c, 1000, "ok")
		d := admitted(t, q, "dora", netip.MustParseAddr("192.168.1.80"))
		spend(d, 101, "byte_quota") // 2900 of 3000
		spend(d, 100, "ok")
		if _, code := q.admit("emil", netip.MustParseAddr("192.168.1.81")); code != 508 {
			t.Errorf("allocation without bytes in all: code %d, want 508", code)
		}
		for _, g := range []*grant{a, b, c, d} {
			g.release()
		}
		if q.users.idle.Len() != 4 || q.activeUsers() != 0 {
			t.Errorf("%d users remembered, %d active, want 4 and 0", q.users.idle.Len(), q.activeUsers())
		}
		time.Sleep(50 * time.Minute) // the second period
		a = admitted(t, q, "anna", home)
		spend(a, 1000, "ok")
		spend(a, 1, "byte_quota")
		a.release()
		if n := len(q.users.all); n != 1 {
			t.Errorf("%d users remembered in the new period, want 1", n)
		}
		if n := q.forgotten.Load(); n != 0 {
			t.Errorf("%d accounts forgotten, want 0", n)
		}
	})
}

func TestIdleAccountsAreBounded(t *testing.T) {
	q := quotasOf(func(c *Config) { c.MaxUserBytes, c.MaxSourceBytes = 1000, 1000 })
	const over = 10
	for i := range maxIdleAccounts + over {
		source := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		g := admitted(t, q, fmt.Sprint("user ", i), source)
		g.spend(1000, q.clock())
		g.release()
	}
	for what, n := range map[string]int{
		"users": len(q.users.all), "idle users": q.users.idle.Len(), "sources": len(q.sources.all), "idle sources": q.sources.idle.Len(),
	} {
		if n != maxIdleAccounts {
			t.Errorf("%d %s, want %d", n, what, maxIdleAccounts)
		}
	}
	if n := q.forgotten.Load(); n != 2*over {
		t.Errorf("%d forgotten, want %d", n, 2*over)
	}
	admitted(t, q, "user 0", netip.MustParseAddr("10.1.0.0")) // forgotten
	if _, code := q.admit(fmt.Sprint("user ", over), netip.MustParseAddr("10.1.0.1")); code != 486 {
		t.Errorf("user %d: code %d, want 486", over, code)
	}
}

// In the long run an account gets its rate, and no burst is longer than said.
func TestBitRate(t *testing.T) {
	for _, test := range []struct {
		rate  BitRate
		burst int // bytes
	}{
		{1e6, 64 << 10}, {80e6, 2e6}, {10e9, 250e6},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := quotasOf(func(c *Config) { c.MaxBitRatePerUser = test.rate })
			g := admitted(t, q, "anna", home)
			const packet = 1200
			time.Sleep(time.Minute)
			slack := packet + test.burst/500 // times are in whole nanoseconds
			if got := spendAll(g, q, packet); got < test.burst-slack || got > test.burst+slack {
				t.Errorf("%v: burst of %d bytes, want %d", test.rate, got, test.burst)
			}
			began, relayed := time.Now(), 0
			for time.Since(began) < 10*time.Second {
				time.Sleep(20 * time.Millisecond)
				relayed += spendAll(g, q, packet)
			}
			want := float64(test.rate) / 8 * 10
			if float64(relayed) < 0.99*want-packet || float64(relayed) > 1.01*want+packet {
				t.Errorf("%v: %d bytes in 10s, want %.0f", test.rate, relayed, want)
			}
			// A user who comes back at once finds the bucket as it was.
			g.release()
			if got := spendAll(admitted(t, q, "anna", away), q, packet); got > 0 {
				t.Errorf("%v: %d bytes after a new allocation", test.rate, got)
			}
		})
	}
}

// spendAll relays packets until one is dropped.
func spendAll(g *grant, q *quotas, packet int) (bytes int) {
	for {
		if _, ok := g.spend(packet, q.clock()); !ok {
			return bytes
		}
		bytes += packet
	}
}

// A packet that one limit refuses takes nothing from the others.
func TestRefusedPacketCostsNothing(t *testing.T) {
	q := quotasOf(func(c *Config) {
		c.MaxBitRatePerAllocation, c.MaxBitRatePerUser, c.MaxUserBytes, c.MaxTotalBytes = 8e6, 8e6, 1<<20, 100
	})
	g := admitted(t, q, "anna", home)
	for range 1000 {
		if reason, ok := g.spend(101, 0); ok || reason != dropByteQuota {
			t.Fatalf("101 bytes: %v, %v", reason, ok)
		}
	}
	if own, user, used := g.own.full.Load(), g.accounts[0].meter.full.Load(), g.accounts[0].meter.used(0); own != 0 || user != 0 || used != 0 {
		t.Errorf("refused packets took %d ns, %d ns and %d bytes", own, user, used)
	}
	if reason, ok := g.spend(100, 0); !ok {
		t.Errorf("100 bytes: %v", reason)
	}
}

// However many goroutines spend, the bytes of the quota are relayed and no more.
func TestByteQuotaIsExact(t *testing.T) {
	const quota, workers = 100_000, 8
	q := quotasOf(func(c *Config) { c.MaxTotalBytes = quota })
	var relayed [workers]int
	var wg sync.WaitGroup
	for i := range workers {
		g := admitted(t, q, fmt.Sprint("user ", i), home)
		wg.Go(func() {
			for range 2 * quota {
				if _, ok := g.spend(1, q.clock()); ok {
					relayed[i]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range relayed {
		sum += n
	}
	if sum != quota || q.total.meter.used(q.clock()) != quota {
		t.Errorf("%d bytes relayed, %d counted, want %d", sum, q.total.meter.used(q.clock()), quota)
	}
}

func TestParseBitRate(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "0kbit/s": "0", "10Mbit/s": "10Mbit/s", "1.5 Gbit/s": "1500Mbit/s", "512kbit/s": "512kbit/s",
		"8001bit/s": "8001bit/s", "1000gbit/S": "1000Gbit/s", "10000000": "", "10MB/s": "", "-5Mbit/s": "",
		"1bit/s": "", "1001Gbit/s": "", "NaNbit/s": "", "Infbit/s": "", "bit/s": "", "": "",
	} {
		rate, err := ParseBitRate(text)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), wantBitRate) {
				t.Errorf("ParseBitRate(%q) = %v, %v", text, rate, err)
			}
		} else if err != nil || rate.String() != want {
			t.Errorf("ParseBitRate(%q) = %v, %v, want %s", text, rate, err, want)
		}
	}
}

func FuzzParseBitRate(f *testing.F) {
	for _, text := range []string{"0", "10Mbit/s", "1.5 Gbit/s", "8001bit/s", "1e6bit/s", "NaNbit/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rate, err := ParseBitRate(text)
		if err != nil {
			return
		}
		if again, err := ParseBitRate(rate.String()); err != nil || again != rate {
			t.Errorf("ParseBitRate(%q) = %v, and of that %v, %v", text, rate, again, err)
		}
	})
}

func BenchmarkSpend(b *testing.B) {
	for _, bench := range []struct {
		name   string
		change func(*Config)
	}{
		{"unlimited", func(*Config) {}},
		{"user_bytes", func(c *Config) { c.MaxUserBytes = 1 << 60 }},
		{"user_rate", func(c *Config) { c.MaxBitRatePerUser = 1e12 }},
		{"everything", func(c *Config) {
			c.MaxUserBytes, c.MaxSourceBytes, c.MaxTotalBytes = 1<<60, 1<<60, 1<<60
			c.MaxBitRatePerAllocation, c.MaxBitRatePerUser, c.MaxBitRatePerSource, c.MaxBitRateTotal = 1e12, 1e12, 1e12, 1e12
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			q := quotasOf(bench.change)
			g := admitted(b, q, "anna", home)
			b.ReportAllocs()
			now := int64(0)
			for b.Loop() {
				now += 10 // a packet of 1200 bytes at 960 Gbit/s
				if reason, ok := g.spend(1200, now); !ok {
					b.Fatal(reason)
				}
			}
		})
	}
}
