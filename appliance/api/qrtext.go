package api

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// QRText draws text as a QR code for a console: each line of characters is two
// rows of modules, made of spaces, full, upper and lower blocks, which every
// console font has. Light modules are drawn, dark ones left out, as a console
// writes light on dark; prefix comes before each line.
func QRText(text, prefix string) (string, error) {
	code, err := qr.Encode(text, qr.L) // a screen has no dirt: smaller is better
	if err != nil {
		return "", fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	const quiet = 2 // ISO/IEC 18004 wants 4; readers do with 2, and consoles have 25 lines
	light := func(x, y int) bool {
		return x < 0 || y < 0 || x >= code.Size || y >= code.Size || !code.Black(x, y)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(prefix)
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := light(x, y), y+1 < code.Size+quiet && light(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
