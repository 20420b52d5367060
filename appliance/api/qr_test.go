package api

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQRDrawsEveryModule reads the path back into modules.
func TestQRDrawsEveryModule(t *testing.T) {
	for _, text := range []string{"x", "https://10.0.0.5:8443/call#invite=0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV&room=hall%2Fline-3"} {
		svg, err := qrSVG(text)
		if err != nil {
			t.Fatal(err)
		}
		var drawing struct {
			ViewBox string `xml:"viewBox,attr"`
			Paths   []struct {
				D string `xml:"d,attr"`
			} `xml:"path"`
		}
		if err := xml.Unmarshal([]byte(svg), &drawing); err != nil {
			t.Fatal(err)
		}
		code, err := qr.Encode(text, qr.M)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("0 0 %d %d", code.Size+8, code.Size+8); drawing.ViewBox != want {
			t.Errorf("viewBox %q, want %q: the code and a border of 4 modules", drawing.ViewBox, want)
		}
		black := map[[2]int]bool{}
		for run := range strings.SplitSeq(strings.TrimSuffix(drawing.Paths[1].D, "z"), "z") {
			var x, y, width, back int
			if _, err := fmt.Sscanf(run, "M%d %dh%dv1h-%d", &x, &y, &width, &back); err != nil || width != back {
				t.Fatalf("path has %q: %v", run, err)
			}
			for i := range width {
				black[[2]int{x + i - 4, y - 4}] = true
			}
		}
		for y := range code.Size {
			for x := range code.Size {
				if black[[2]int{x, y}] != code.Black(x, y) {
					t.Fatalf("module %d,%d is drawn as %v", x, y, black[[2]int{x, y}])
				}
			}
		}
	}
}

func TestQROfTooMuchText(t *testing.T) {
	if _, err := qrSVG(strings.Repeat("x", 5000)); err == nil {
		t.Error("5000 bytes fit a QR code")
	}
}
