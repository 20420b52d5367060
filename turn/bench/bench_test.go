//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if played, err := playRole(os.Args[1:]); played {
		fail(err)
		return
	}
	goleak.VerifyTestMain(m)
}

// Every server relays in a lab of its own, and the figures make sense.
func TestMeasures(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root; run this test as root")
	}
	b := &bench{lasts: 200 * time.Millisecond, allocations: 20}
	l, err := newLab(0, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("no network namespaces here (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	b.lab = l
	chosen, err := choose("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chosen {
		for _, cell := range []cell{{rate: 2000, flows: 2, payload: 160, method: channelData}, {flows: 1, payload: 1200, method: sendData}} {
			got, err := b.measure(t.Context(), c, cell)
			if err != nil {
				t.Fatalf("%s, %v: %v", c.name, cell, err)
			}
			if got.received > got.sent || got.use.server <= 0 || got.use.took < b.lasts {
				t.Errorf("%s, %v makes no sense: %+v", c.name, cell, got)
			}
		}
		if !c.relays {
			continue
		}
		var s setups
		if err := b.setup(t.Context(), c, &s); err != nil {
			t.Fatalf("%s, allocations: %v", c.name, err)
		}
		if s.rate[0] <= 0 || s.cost[0] <= 0 {
			t.Errorf("%s, allocations make no sense: %+v", c.name, s)
		}
	}
	var m memory
	if err := b.idle(t.Context(), contestants[0], &m); err != nil || len(m.tidy) != 1 {
		t.Errorf("idle allocations: %v, %+v", err, m)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name string
		b    bench
		want string
	}{
		{"rounds", bench{lasts: time.Second, rate: 1}, "-rounds"},
		{"rows", bench{rounds: 1, lasts: time.Second, rate: 1, only: "("}, "-only"},
		{"servers", bench{rounds: 1, lasts: time.Second, rate: 1, servers: "ours,apache"}, "apache"},
	} {
		if err := test.b.prepare(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one about %s", test.name, err, test.want)
		}
	}
}

func TestCells(t *testing.T) {
	if got := len(cells(regexp.MustCompile(""), 20_000)); got != 16 {
		t.Errorf("got %d rows, want 2 modes of 2 flow counts, 2 sizes and 2 methods", got)
	}
	got := cells(regexp.MustCompile("(?i)saturated.*100.*1200.*channel"), 20_000)
	want := []cell{{0, 100, 1200, channelData}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What the bench sends by hand is what pion's parser reads.
func TestSendIndication(t *testing.T) {
	peer := netip.MustParseAddrPort("10.99.2.2:40001")
	payload := bytes.Repeat([]byte("data"), 40)
	m := &stun.Message{Raw: append(sendData.frameHeader(peer, len(payload)), payload...)}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	if want := stun.NewType(stun.MethodSend, stun.ClassIndication); m.Type != want {
		t.Errorf("got type %v, want %v", m.Type, want)
	}
	var to stun.XORMappedAddress
	if err := to.GetFromAs(m, stun.AttrXORPeerAddress); err != nil || fmt.Sprint(to) != peer.String() {
		t.Errorf("got peer %v, %v, want %v", to, err, peer)
	}
	if data, err := m.Get(stun.AttrData); err != nil || !bytes.Equal(data, payload) {
		t.Errorf("got data %q, %v", data, err)
	}
}

func TestPayloadAt(t *testing.T) {
	peer := netip.MustParseAddrPort("10.99.2.2:40001")
	payload := make([]byte, 160)
	stamp{run: 7, flow: 3, down: true, seq: 1 << 40}.put(payload)
	indication := func(setters ...stun.Setter) []byte {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication)}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	data := stun.RawAttribute{Type: stun.AttrData, Value: payload}
	for name, raw := range map[string][]byte{
		"bare":         payload,
		"ChannelData":  append(channelData.frameHeader(peer, 160), payload...),
		"as pion does": indication(peerAttr(peer), data),
		"as coturn":    indication(data, peerAttr(peer), stun.NewSoftware("coturn")),
	} {
		at, length, ok := payloadAt(raw)
		if !ok || length != 160 || !bytes.Equal(raw[at:at+length], payload) {
			t.Errorf("%s: got payload at %d, %d bytes, %v", name, at, length, ok)
			continue
		}
		got, ok := readStamp(raw[at:])
		if want := (stamp{7, 3, true, 1 << 40}); !ok || got != want {
			t.Errorf("%s: got stamp %+v, %v, want %+v", name, got, ok, want)
		}
	}
	for _, raw := range [][]byte{nil, {0}, make([]byte, 20), indication(data)[:100]} {
		if _, _, ok := payloadAt(raw); ok {
			t.Errorf("%d bytes have a payload, want none", len(raw))
		}
	}
}

func TestTrain(t *testing.T) {
	datagrams := func(sizes ...uint64) (list []unix.Iovec) {
		for _, size := range sizes {
			list = append(list, unix.Iovec{Len: size})
		}
		return list
	}
	full := slices.Repeat([]uint64{1200}, 100)
	for _, test := range []struct {
		name string
		in   []unix.Iovec
		want int
	}{
		{"one", datagrams(100), 1},
		{"the last may be shorter", datagrams(100, 100, 60, 60), 3},
		{"but not longer", datagrams(100, 101), 1},
		{"the kernel's limit of bytes", datagrams(full...), maxSegmented / 1200},
		{"the kernel's limit of datagrams", datagrams(slices.Repeat([]uint64{160}, 100)...), maxSegments},
	} {
		if got := train(test.in); got != test.want {
			t.Errorf("%s: got %d datagrams, want %d", test.name, got, test.want)
		}
	}
}

func TestDatagrams(t *testing.T) {
	for _, test := range []struct{ length, size, want int }{
		{1200, 0, 1}, {1200, 1200, 1}, {2400, 1200, 2}, {2500, 1200, 3}, {0, 1200, 1},
	} {
		if got := datagrams(test.length, test.size); got != test.want {
			t.Errorf("%d bytes in pieces of %d: got %d, want %d", test.length, test.size, got, test.want)
		}
	}
}

func TestIdle(t *testing.T) {
	const timers = "Timer List\n\ncpu: 0\n  .idle_sleeptime : 17 nsecs\ncpu: 1\n  .idle_sleeptime : 2554870123456 nsecs\n"
	if got, ok := idleSleepTime(timers, 1); !ok || got != 2554870123456 {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := idleSleepTime(timers, 2); ok {
		t.Error("core 2 has an idle time, want none")
	}
	const stat = "cpu  1 2 3 4 5 6\ncpu0 1 2 3 40 5 6 7 8 9 0\ncpu1 1 2 3 400 50 6 7 8 9 0\n"
	if got, err := idleTicks(stat, 1); err != nil || got != 4500*time.Millisecond {
		t.Errorf("got %v, %v, want 4.5s", got, err)
	}
	if _, err := idleTicks(stat, 2); err == nil {
		t.Error("core 2 has an idle time, want an error")
	}
}

func TestUsage(t *testing.T) {
	start := time.Now()
	a := sample{at: start, idle: 10 * time.Second, process: time.Second, softirqd: time.Second, tasks: 100 * time.Second}
	b := sample{
		at: start.Add(time.Second), idle: a.idle + 300*time.Millisecond, process: a.process + 400*time.Millisecond,
		softirqd: a.softirqd + 50*time.Millisecond, tasks: a.tasks + 550*time.Millisecond,
	}
	// Of 700 ms busy, 100 were another task's; 150 more are the kernel's.
	want := usage{took: time.Second, server: 600 * time.Millisecond, process: 400 * time.Millisecond, others: 100 * time.Millisecond}
	if got := b.since(a); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTable(t *testing.T) {
	b := &bench{rounds: 4, lasts: time.Second, rate: 20_000, allocations: 2000, contestants: contestants, cells: []cell{{0, 100, 1200, channelData}}}
	r := newResults()
	for i, c := range contestants {
		for round := range 3 {
			r.of(b.cells[0], c).add(traffic{
				sent: 1000, received: 900, delivered: uint64(500 + 100*i + round),
				use: usage{took: time.Second, server: 900 * time.Millisecond, process: 800 * time.Millisecond},
			})
		}
	}
	r.idle(contestants[0]).asIs = []float64{2048, 4096}
	r.idle(contestants[1]).asIs = []float64{6144}
	r.setup(contestants[0]).rate = []float64{2000}
	var out strings.Builder
	b.print(&out, r, 90*time.Second)
	for _, want := range []string{
		"1m30s in all", "Medians of 3 rounds", "1796407 [1792829, 1800000]", // 0.9 s for 501 packets
		"1.20", "10.00 [10.00, 10.00]", "3.0 [2.0, 4.0]", "0.50",
		"the load was slower than coturn, which left 10 % of its core unused",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	if want := "at most 1.25 of the CPU time of forwarder: met in 0 of 1 rows, from 1.60 to 1.60"; !strings.Contains(out.String(), want) {
		t.Errorf("the table does not judge %q:\n%s", want, &out)
	}
	if strings.Contains(out.String(), "NaN") {
		t.Errorf("the table has values that are none:\n%s", &out)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		in   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := median(test.in); got != test.want {
			t.Errorf("median of %v: got %v, want %v", test.in, got, test.want)
		}
	}
}
