package discovery_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"signalbox/discovery"
)

func TestParseTXT(t *testing.T) {
	got := discovery.ParseTXT([]string{
		"txtvers=1", "ID=k3f7", "id=second", "up", "path=/v1/signal?a=b", "site=Halle Süd",
		"", "=orphan", "caf\u00e9=no", "tab\t=no", "fp=", "long=" + strings.Repeat("x", 251),
	})
	want := discovery.Attributes{
		"txtvers": "1", "id": "k3f7", "up": "", "path": "/v1/signal?a=b", "site": "Halle Süd", "fp": "",
	}
	if !maps.Equal(got, want) {
		t.Errorf("ParseTXT = %q, want %q", got, want)
	}
}

func TestFormatTXT(t *testing.T) {
	got := discovery.FormatTXT(discovery.Attributes{
		"ver": "1.2", "id": "k3f7", "txtvers": "1", "up": "", "Upper": "left out", "a": "first by key",
	})
	want := []string{"txtvers=1", "a=first by key", "id=k3f7", "up", "ver=1.2"}
	if !slices.Equal(got, want) {
		t.Errorf("FormatTXT = %q, want %q", got, want)
	}
	if got := discovery.FormatTXT(nil); !slices.Equal(got, []string{""}) {
		t.Errorf("FormatTXT of nothing = %q, want one empty string", got)
	}
}

func FuzzParseTXT(f *testing.F) {
	f.Add("txtvers=1\x00id=hall-2\x00ID=ignored\x00=orphan\x00up")
	f.Add("site=Halle S\xc3\xbcd\x00fp=\\092\\\x00bin=\xff\x01")
	f.Fuzz(func(t *testing.T, raw string) {
		attrs := discovery.ParseTXT(strings.Split(raw, "\x00"))
		texts := discovery.FormatTXT(attrs)
		if again := discovery.ParseTXT(texts); !maps.Equal(attrs, again) {
			t.Errorf("ParseTXT(FormatTXT(x)) = %q, want %q", again, attrs)
		}
		for _, text := range texts {
			if len(text) > 255 {
				t.Errorf("FormatTXT wrote a string of %d bytes, want at most 255", len(text))
			}
		}
	})
}
