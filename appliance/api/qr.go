package api

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quietZone is the white border a reader needs (ISO/IEC 18004), in modules.
const quietZone = 4

// qrSVG draws text as a QR code: one path of horizontal runs on a white ground,
// one unit per module, to be scaled by whoever shows it.
func qrSVG(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	size := code.Size + 2*quietZone
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`+
		`<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, size, size, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&svg, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
				x += run
			}
		}
	}
	svg.WriteString(`"/></svg>`)
	return svg.String(), nil
}
