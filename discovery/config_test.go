package discovery_test

import (
	"errors"
	"strings"
	"testing"

	"signalbox/discovery"
)

func TestDefaultIsValid(t *testing.T) {
	if err := discovery.Default().Validate(); err != nil {
		t.Errorf("Default: %v", err)
	}
	if err := (discovery.Config{}).Validate(); err != nil {
		t.Errorf("zero Config: %v", err)
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	cfg := discovery.Config{
		Name: strings.Repeat("ü", 32), Host: "signalbox.local",
		Interfaces: []string{"eth0", "eth[0"}, IgnoreInterfaces: []string{""},
	}
	err := cfg.Validate()
	for _, want := range []string{
		`discovery.name: got "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü", want 1 to 63 bytes of UTF-8`,
		`discovery.host: got "signalbox.local", want 1 to 63 letters, digits and inner hyphens, without .local`,
		`discovery.interfaces: got "eth[0", want an interface name or a pattern such as eth*`,
		`discovery.ignore_interfaces: got "", want an interface name or a pattern such as eth*`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v\nwant among its lines: %s", err, want)
		}
	}
	if field, ok := errors.AsType[*discovery.FieldError](err); !ok || field.Key != "discovery.name" {
		t.Errorf("first fault is %+v, want a *FieldError for discovery.name", field)
	}
}

func TestValidateNames(t *testing.T) {
	for _, name := range []string{"", "hall-2", "Box (2)", "Halle Süd", "v1.2", `back\slash`} {
		if err := (discovery.Config{Name: name}).Validate(); err != nil {
			t.Errorf("name %q: %v, want it accepted", name, err)
		}
	}
	for _, name := range []string{"Box.", ".box", "two\nlines", "\xff"} {
		if err := (discovery.Config{Name: name}).Validate(); err == nil {
			t.Errorf("name %q accepted, want it refused", name)
		}
	}
	for _, host := range []string{"-box", "box-", "bo x", "böx", strings.Repeat("x", 64)} {
		if err := (discovery.Config{Host: host}).Validate(); err == nil {
			t.Errorf("host %q accepted, want it refused", host)
		}
	}
}
