package discovery_test

import (
	"strings"
	"testing"

	"signalbox/discovery"
)

func TestNewRefusesWhatCannotBeAnnounced(t *testing.T) {
	for want, a := range map[string]discovery.Announcement{
		"announced port is 0": {},
		`TXT attribute "Site"="x", want a key of printable lower-case ASCII`: {
			Port: 1, TXT: discovery.Attributes{"Site": "x"},
		},
		"want at most 255 bytes of key=value": {
			Port: 1, TXT: discovery.Attributes{"site": strings.Repeat("x", 251)},
		},
		"TXT attributes of 1422 bytes, want at most 1300": {
			Port: 1, TXT: discovery.Attributes{
				"a": strings.Repeat("x", 250), "b": strings.Repeat("x", 250), "c": strings.Repeat("x", 250),
				"d": strings.Repeat("x", 250), "e": strings.Repeat("x", 250), "f": strings.Repeat("x", 144),
			},
		},
	} {
		if _, err := discovery.New(discovery.Default(), a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q", err, want)
		}
	}
	r, err := discovery.New(discovery.Default(), discovery.Announcement{Port: 8443})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(discovery.Announcement{}); err == nil {
		t.Error("Update accepted port 0")
	}
}

func TestInstanceName(t *testing.T) {
	for _, test := range []struct{ name, id, want string }{
		{"Hall 2", "k3f7abcdef", "Hall 2"},
		{"", "k3f7abcdef", "Signalbox k3f7"},
		{"", "k3", "Signalbox k3"},
		{"", "", "Signalbox"},
	} {
		cfg := discovery.Default()
		cfg.Name = test.name
		r, err := discovery.New(cfg, discovery.Announcement{Port: 8443, TXT: discovery.Attributes{"id": test.id}})
		if err != nil {
			t.Fatal(err)
		}
		s := r.Status()
		if s.Instance != test.want || s.Host != "signalbox.local" || s.Announced || s.Reason != "not started" {
			t.Errorf("name %q, id %q: %+v, want instance %q", test.name, test.id, s, test.want)
		}
	}
}
