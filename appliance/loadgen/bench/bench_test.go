package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == textbookArg {
		fail(serveTextbook())
		return
	}
	goleak.VerifyTestMain(m)
}

func TestMeasuresAServer(t *testing.T) {
	b := &bench{conns: 20, flood: 200 * time.Millisecond, rate: 200, pace: 500 * time.Millisecond}
	s, err := startTextbook(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	before, err := s.resident()
	if err != nil || before < 1<<20 {
		t.Fatalf("a process holds %.0f bytes (error %v), want more than a MiB", before, err)
	}
	f, err := connect(t.Context(), s, b.conns)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r result
	if err := b.throughput(t.Context(), s, f, &r); err != nil {
		t.Fatal(err)
	}
	if err := b.latency(t.Context(), s, f, &r); err != nil {
		t.Fatal(err)
	}
	r.count(f)
	if r.perSecond[0] <= 0 || r.perCore[0] < r.perSecond[0]/2 || r.p50[0] <= 0 || r.p99[0] < r.p50[0] || len(r.faults) != 0 {
		t.Errorf("the measurement makes no sense: %+v", r)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	_, err := startBox(t.Context(), &bench{box: "/bin/false"})
	if err == nil || !strings.Contains(err.Error(), "it said nothing") {
		t.Errorf("got error %v", err)
	}
}

func TestTable(t *testing.T) {
	b := bench{conns: 1000, crowd: 10_000, rounds: 3, rate: 5000}
	ours := &result{idle: memory{asIs: []float64{8192, 10240, 9216}}, perCore: []float64{90_000, 80_000}, faults: map[string]int{"ended: cut": 2}}
	theirs := &result{idle: memory{asIs: []float64{18432, 18432, 18432}}, perCore: []float64{34_000, 34_000}}
	var out strings.Builder
	b.print(&out, map[string]*result{contestants[0].name: ours, contestants[1].name: theirs}, time.Minute)
	for _, want := range []string{
		"1000 idle: resident KB each                      9.0 [8.0, 10.0]",
		"18.0 [18.0, 18.0]      2.00\n",
		"85000 [80000, 90000]   34000 [34000, 34000]   2.50\n",
		"signalbox: 2 times ended: cut\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "NaN") || strings.Contains(out.String(), "p99") {
		t.Errorf("the table has a line without values:\n%s", &out)
	}
}
