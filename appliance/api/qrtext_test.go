package api

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// What the console shows is the code, module for module, within its margin.
func TestQRText(t *testing.T) {
	const link = "https://192.168.178.123:8443/#setup=QVVF-JCXY-1JJF-G2T9-MWR9-QJJE-HKV5"
	picture, err := QRText(link, "  ")
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
	if len(lines) > 22 || len([]rune(lines[0])) > 78 {
		t.Errorf("%d lines of %d characters do not fit a console of 25 by 80 with what is around it", len(lines), len([]rune(lines[0])))
	}
	for y := -2; y < code.Size+2; y++ {
		row := []rune(strings.TrimPrefix(lines[(y+2)/2], "  "))
		for x := -2; x < code.Size+2; x++ {
			half := "█▀"
			if (y+2)%2 == 1 {
				half = "█▄"
			}
			inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
			if light := strings.ContainsRune(half, row[x+2]); light == (inside && code.Black(x, y)) {
				t.Fatalf("module %d, %d is wrong:\n%s", x, y, picture)
			}
		}
	}
}
