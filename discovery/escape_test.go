package discovery

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestEscapeInstance(t *testing.T) {
	for plain, want := range map[string]string{
		"hall-2":      "hall-2",
		"Box (2)":     `Box\ \(2\)`,
		"v1.2":        `v1\.2`,
		"Halle Süd":   `Halle\ S\195\188d`,
		`back\slash`:  `back\\slash`,
		`Bob's "box"`: `Bob\'s\ \"box\"`,
	} {
		got := escapeInstance(plain)
		if got != want {
			t.Errorf("escapeInstance(%q) = %q, want %q", plain, got, want)
		}
		if back, ok := unescapeInstance(got); !ok || back != plain {
			t.Errorf("unescapeInstance(%q) = %q, %v, want %q", got, back, ok, plain)
		}
	}
	for _, bad := range []string{"", "two.labels", `open\`, strings.Repeat("x", 64)} {
		if got, ok := unescapeInstance(bad); ok {
			t.Errorf("unescapeInstance(%q) = %q, want none", bad, got)
		}
	}
}

func FuzzEscapeInstance(f *testing.F) {
	f.Add("Box (2)")
	f.Add("Halle Süd 1.5")
	f.Add("\x00\xff\\.")
	f.Fuzz(func(t *testing.T, plain string) {
		escaped := escapeInstance(plain)
		if plain == "" || len(plain) > maxLabel {
			return
		}
		if back, ok := unescapeInstance(escaped); !ok || back != plain {
			t.Errorf("%q came back as %q, %v through %q", plain, back, ok, escaped)
		}
	})
}

// FuzzTXTOnTheWire takes texts through a packet, as an announcement does.
func FuzzTXTOnTheWire(f *testing.F) {
	f.Add("site=Halle Süd", `path=\\share\032`)
	f.Add("\x00\xff\"", `\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		want := []string{a, b}
		if len(a) > maxTXTString || len(b) > maxTXTString {
			return
		}
		record := &dns.TXT{
			Hdr: dns.RR_Header{Name: servicePTR, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
			Txt: escapeTXT(want),
		}
		wire, err := (&dns.Msg{Answer: []dns.RR{record}}).Pack()
		if err != nil {
			t.Fatalf("pack %q: %v", want, err)
		}
		var msg dns.Msg
		if err := msg.Unpack(wire); err != nil {
			t.Fatalf("unpack %q: %v", want, err)
		}
		if got := unescapeTXT(msg.Answer[0].(*dns.TXT).Txt); !slices.Equal(got, want) {
			t.Errorf("%q came back as %q", want, got)
		}
	})
}
