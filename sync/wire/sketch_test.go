package wire_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"signalbox/sync/wire"
)

func TestDistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := wire.NewDistribution()
	var all []float64
	for range 20000 {
		v := math.Exp(rng.NormFloat64()*2) * 30
		all = append(all, v)
		d.Add(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
		want := all[int(q*float64(len(all)-1))]
		if want < 0.01 { // counted as 0
			want = 0
		}
		if got := d.Quantile(q); math.Abs(got-want) > 0.0101*want {
			t.Errorf("quantile %v is %v, want %v within 1 %%", q, got, want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -4, 0, 1e-9, 1e300} {
		d.Add(v)
	}
	if got := d.Count(); got != 20006 { // all but what is no number
		t.Errorf("count is %d, want 20006", got)
	}
	if d.Quantile(0) != 0 || math.Abs(d.Quantile(1)-7.2e6) > 0.01*7.2e6 || wire.NewDistribution().Quantile(0.5) != 0 {
		t.Errorf("the extremes are %v and %v", d.Quantile(0), d.Quantile(1))
	}
	again, err := wire.ParseDistribution(d.Encode())
	if err != nil || !bytes.Equal(again.Encode(), d.Encode()) || again.Count() != d.Count() {
		t.Errorf("it comes back with %d values, %v", again.Count(), err)
	}
	t.Logf("%d bytes for %d values", len(d.Encode()), d.Count())
}

func TestSet(t *testing.T) {
	v := veil(t, wire.Default)
	s := wire.NewSet()
	for i := range 3000 {
		for range 3 {
			s.Add(v.Hash(string(rune(i))))
		}
		if n := uint64(i + 1); n == 10 || n == 100 || n == 3000 {
			if got := s.Count(); math.Abs(float64(got)-float64(n)) > 0.05*float64(n) {
				t.Errorf("%d of %d", got, n)
			}
			t.Logf("%d bytes for %d", len(s.Encode()), n)
		}
	}
	again, err := wire.ParseSet(s.Encode())
	if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
		t.Errorf("it comes back as another, %v", err)
	}
}

// TestSketchesAreBitStable: however values are divided among sketches, and in
// whatever order those are merged and encoded on the way, the bytes are the same.
func TestSketchesAreBitStable(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 4))
		n := 1 + rng.IntN(1<<(1+seed%14))
		oneD, oneS := wire.NewDistribution(), wire.NewSet()
		parts := 1 + rng.IntN(6)
		ds, ss := make([][]byte, parts), make([][]byte, parts)
		partD, partS := make([]*wire.DistributionSketch, parts), make([]*wire.SetSketch, parts)
		for i := range parts {
			partD[i], partS[i] = wire.NewDistribution(), wire.NewSet()
		}
		for range n {
			v, h, i := math.Exp(rng.NormFloat64()*6), rng.Uint64(), rng.IntN(parts)
			oneD.Add(v)
			oneS.Add(h)
			partD[i].Add(v)
			partS[i].Add(h)
			if rng.IntN(200) == 0 {
				partS[i].Count() // sorts it inside
				partS[i] = partS[i].Copy()
			}
		}
		for i := range parts {
			ds[i], ss[i] = partD[i].Encode(), partS[i].Encode()
		}
		for range 5 {
			rng.Shuffle(parts, func(i, j int) { ds[i], ds[j], ss[i], ss[j] = ds[j], ds[i], ss[j], ss[i] })
			if got := fold(wire.QualityRTTMs, ds); !bytes.Equal(got, oneD.Encode()) {
				t.Fatalf("seed %d: %d values make another distribution in parts", seed, n)
			}
			if got := fold(wire.DevicesUnique, ss); !bytes.Equal(got, oneS.Encode()) {
				t.Fatalf("seed %d: %d hashes make another set in parts", seed, n)
			}
		}
	}
}

func fold(id wire.MetricID, parts [][]byte) []byte {
	sum := parts[0]
	for _, p := range parts[1:] {
		sum = wire.MergeSketchData(id, sum, p)
	}
	return sum
}

// TestSketchBytes pins the encodings: boxes in the field keep writing them.
func TestSketchBytes(t *testing.T) {
	d, s := wire.NewDistribution(), wire.NewSet()
	for _, v := range []float64{0, 1, 1, 250, 3600} {
		d.Add(v)
	}
	for h := range uint64(4) {
		s.Add((h + 1) * 0x9E3779B97F4A7C15)
	}
	if got, want := hex.EncodeToString(d.Encode()), distributionBytes; got != want {
		t.Errorf("distribution is %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(s.Encode()), setBytes; got != want {
		t.Errorf("set is %s, want %s", got, want)
	}
}

// TestUnreadableSketches: one that cannot be read gives way to the other.
func TestUnreadableSketches(t *testing.T) {
	d, s := wire.NewDistribution(), wire.NewSet()
	d.Add(4)
	s.Add(4)
	bad := []byte{0xFF, 0xFF}
	for id, good := range map[wire.MetricID][]byte{wire.QualityRTTMs: d.Encode(), wire.DevicesUnique: s.Encode()} {
		for _, pair := range [][2][]byte{{good, bad}, {bad, good}} {
			if got := wire.MergeSketchData(id, pair[0], pair[1]); !bytes.Equal(got, good) {
				t.Errorf("metric %d: got %x, want %x", id, got, good)
			}
		}
		if got := wire.MergeSketchData(id, bad, bad); len(got) != 0 {
			t.Errorf("metric %d: got %x of two that cannot be read", id, got)
		}
	}
	if a, b := wire.MergeSketchData(9999, bad, d.Encode()), wire.MergeSketchData(9999, d.Encode(), bad); !bytes.Equal(a, b) {
		t.Error("of an unknown metric it depends on the order")
	}
}

const (
	distributionBytes = "040205030003a804028a0202"
	setBytes          = "020c00010000000000000004036a99b400000010ccf7c607cef7c607ccccd504cef7c607"
)

func FuzzParseSketch(f *testing.F) {
	d, s := wire.NewDistribution(), wire.NewSet()
	for i := range 100 {
		d.Add(float64(i * i))
		s.Add(uint64(i) * 0x9E3779B97F4A7C15)
	}
	f.Add(d.Encode())
	f.Add(s.Encode())
	f.Add(wire.NewSet().Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := wire.ParseDistribution(data); err == nil {
			again, err := wire.ParseDistribution(d.Encode())
			if err != nil || !bytes.Equal(again.Encode(), d.Encode()) {
				t.Errorf("a distribution comes back as another, %v", err)
			}
			again.Merge(d)
			_ = again.Quantile(0.5)
		}
		if s, err := wire.ParseSet(data); err == nil {
			again, err := wire.ParseSet(s.Encode())
			if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
				t.Errorf("a set comes back as another, %v", err)
			}
			again.Merge(s)
			_ = again.Count()
		}
	})
}
