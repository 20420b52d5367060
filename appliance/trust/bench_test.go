package trust

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkRefresh is what an idle box pays once a second.
func BenchmarkRefresh(b *testing.B) {
	a := hall(b)
	b.ReportAllocs()
	for b.Loop() {
		a.Refresh()
	}
}

// BenchmarkIssue is what a change of address costs.
func BenchmarkIssue(b *testing.B) {
	a := hall(b)
	var names []string
	for n := range 16 {
		names = append(names, fmt.Sprintf("host-%d.local", n))
	}
	s, w := a.root.subjectsOf(names, nil), a.root.windowAt(time.Now(), epoch)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.root.issue(s, w); err != nil {
			b.Fatal(err)
		}
	}
}
