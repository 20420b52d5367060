package sbom_test

import (
	"encoding/json"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"signalbox/packaging/sbom"
)

func info() *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "signalbox"},
		Deps: []*debug.Module{
			{Path: "go.etcd.io/bbolt", Version: "v1.5.0", Sum: "h1:bolt="},
			{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v2.0.0+incompatible", Sum: "h1:new="}},
		},
		Settings: []debug.BuildSetting{
			{Key: "GOARCH", Value: "arm"},
			{Key: "GOARM", Value: "6"},
			{Key: "-ldflags", Value: "-X main.x=/home/jo"},
			{Key: "vcs.revision", Value: "aafc34b"},
			{Key: "vcs.time", Value: "2026-11-25T13:30:00Z"},
		},
	}
}

func TestOf(t *testing.T) {
	d := sbom.Of("signalbox", "1.2.3+4.gaafc34b", info(), sbom.Scripts)
	found := map[string]sbom.Component{}
	for _, c := range d.Components {
		found[c.Ref] = c
	}
	for _, ref := range []string{
		"pkg:golang/std@1.26.8", "pkg:golang/go.etcd.io/bbolt@v1.5.0", "pkg:golang/example.com/new@v2.0.0%2Bincompatible",
		"pkg:npm/htm@3.1.1", "pkg:npm/preact", "pkg:npm/uplot@1.6.32",
	} {
		if c := found[ref]; c.PURL != ref || c.Type != "library" {
			t.Errorf("%s: got %+v", ref, c)
		}
	}
	if got := found["pkg:golang/go.etcd.io/bbolt@v1.5.0"].Properties; len(got) != 1 || got[0] != (sbom.Property{Name: "go:sum", Value: "h1:bolt="}) {
		t.Errorf("properties of bbolt: %v", got)
	}
	if d.Metadata.Timestamp != "2026-11-25T13:30:00Z" || d.Metadata.Component.PURL != "pkg:generic/signalbox@1.2.3%2B4.gaafc34b" {
		t.Errorf("metadata: %+v", d.Metadata)
	}
	if len(d.Dependencies) != len(d.Components)+1 || len(d.Dependencies[0].DependsOn) != len(d.Components) {
		t.Errorf("%d dependencies for %d components", len(d.Dependencies), len(d.Components))
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(d.SerialNumber) {
		t.Errorf("serial number %q", d.SerialNumber)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "/home") {
		t.Error("a path of the build machine is in the document")
	}
}

// TestSameIsSame: the same program has the same document, another has another.
func TestSameIsSame(t *testing.T) {
	first, err := json.Marshal(sbom.Of("signalbox", "1.2.3", info(), nil))
	if err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(sbom.Of("signalbox", "1.2.3", info(), nil))
	if err != nil || string(first) != string(second) {
		t.Errorf("%v: differs:\n%s\n%s", err, first, second)
	}
	changed := info()
	changed.Deps[0].Version = "v1.5.1"
	if sbom.Of("signalbox", "1.2.3", changed, nil).SerialNumber == sbom.Of("signalbox", "1.2.3", info(), nil).SerialNumber {
		t.Error("two programs share a serial number")
	}
}

// TestScriptsAreTheVendored holds the list against the folder it describes.
func TestScriptsAreTheVendored(t *testing.T) {
	readme, err := os.ReadFile("../../webui/assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, p := range sbom.Scripts {
		listed[p.Name+"@"+p.Version] = true
	}
	from := regexp.MustCompile("npm `([a-z]+@[0-9.]+)`").FindAllStringSubmatch(string(readme), -1)
	if len(from) == 0 {
		t.Fatal("found no package in the README")
	}
	for _, match := range from {
		if !listed[match[1]] {
			t.Errorf("%s is vendored and not in sbom.Scripts", match[1])
		}
	}
}
