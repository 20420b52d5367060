package wire_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"signalbox/sync/wire"
)

var siteKey = []byte("a key of a site, never sent")

func veil(t testing.TB, level wire.Privacy) *wire.Veil {
	t.Helper()
	v, err := wire.NewVeil(level, siteKey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// site makes frames as a box with some rooms and devices does.
type site struct {
	t        testing.TB
	rng      *rand.Rand
	veil     *wire.Veil
	now      time.Time
	boot     time.Time
	minute   int
	seq      uint64
	totals   map[wire.MetricID]uint64
	levels   map[wire.MetricID]int64
	reported wire.Reported
	rooms    []wire.RoomFacts
	joins    *wire.DistributionSketch
	devices  *wire.SetSketch
	hour     time.Time
}

func newSite(t testing.TB, seed uint64, rooms int) *site {
	s := &site{
		t: t, rng: rand.New(rand.NewPCG(seed, 5)), veil: veil(t, wire.Default),
		now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), totals: map[wire.MetricID]uint64{}, levels: map[wire.MetricID]int64{},
	}
	s.boot = s.now.Add(-time.Duration(s.rng.IntN(1e6)) * time.Second)
	for i := range rooms {
		s.rooms = append(s.rooms, wire.RoomFacts{Name: "line-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)), Members: 2, Created: s.boot})
	}
	return s
}

// frame is the next minute.
func (s *site) frame() *wire.Frame {
	f, err := s.draft().Finish()
	if err != nil {
		s.t.Fatal(err)
	}
	s.seq++
	f.First, f.Last = s.seq, s.seq
	return f
}

func (s *site) draft() *wire.Draft {
	start := s.now
	s.now = s.now.Add(time.Minute)
	s.minute++
	d := s.veil.Draft(wire.Span{Start: start, End: s.now, Boot: 0x5eed, Mono: s.now.Sub(s.boot)})
	for _, m := range wire.Metrics {
		switch m.Kind {
		case wire.Counter:
			if s.rng.IntN(3) > 0 {
				s.totals[m.ID] += s.rng.Uint64N(1 << (3 + m.ID%14))
			}
			d.Counter(m.ID, s.totals[m.ID])
		case wire.Level:
			v := s.levels[m.ID] + s.rng.Int64N(41) - 20 + int64(m.ID)
			s.levels[m.ID] = max(v, 0)
			d.Gauge(m.ID, s.levels[m.ID], s.levels[m.ID]-s.rng.Int64N(9), s.levels[m.ID]+s.rng.Int64N(9))
		}
	}
	s.sketches(d, start)
	for range s.rng.IntN(3) {
		if len(s.rooms) > 0 {
			s.rooms[s.rng.IntN(len(s.rooms))].Members = s.rng.IntN(6)
		}
	}
	d.Rooms(&s.reported, s.rooms)
	if s.minute%60 == 1 {
		d.Box(wire.BoxFacts{Version: "v1.4.0-12-gabc1234", Arch: "linux/arm64", Started: s.boot, Policy: 3, CertEnd: s.boot.Add(99 * time.Hour), Link: "websocket"})
	}
	return d
}

func (s *site) sketches(d *wire.Draft, start time.Time) {
	if hour := start.Truncate(time.Hour); !hour.Equal(s.hour) {
		s.hour, s.joins, s.devices = hour, wire.NewDistribution(), wire.NewSet()
	}
	for range s.rng.IntN(8) {
		s.joins.Add(math.Exp(s.rng.NormFloat64()) * 40)
		s.devices.Add(s.rng.Uint64N(100) * 0x9E3779B97F4A7C15)
	}
	if s.minute%15 == 0 {
		d.Distribution(wire.QualityJoinMs, s.hour, s.joins)
		d.Set(wire.DevicesUnique, s.hour, s.devices)
	}
}
