// Package sbom writes what a program is made of as a CycloneDX 1.6 document
// (https://cyclonedx.org/docs/1.6/json/). The same program gives the same bytes.
package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"

	"signalbox/internal/order"
)

// Part is code in the program that is no Go module, like a vendored script.
type Part struct {
	Name, Version string
	Type          string // of package: npm
	License       string // SPDX id
}

// Scripts are what webui/assets/vendor has, by its README.md.
var Scripts = []Part{
	{"htm", "3.1.1", "npm", "Apache-2.0"},
	{"preact", "", "npm", "MIT"}, // htm bundles it and does not say which
	{"uplot", "1.6.32", "npm", "MIT"},
}

// Document is a bill of materials, as far as this package fills it in.
type Document struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata says what the document is about.
type Metadata struct {
	// Timestamp is the time of the commit (RFC 3339): when the document was
	// written would make it another one each time.
	Timestamp  string     `json:"timestamp,omitempty"`
	Component  Component  `json:"component"`
	Properties []Property `json:"properties,omitempty"`
}

// Component is the program or a part of it.
type Component struct {
	Ref        string          `json:"bom-ref"`
	Type       string          `json:"type"`
	Name       string          `json:"name"`
	Version    string          `json:"version,omitempty"`
	Licenses   []LicenseChoice `json:"licenses,omitempty"`
	PURL       string          `json:"purl,omitempty"`
	Properties []Property      `json:"properties,omitempty"`
}

// LicenseChoice wraps a licence as the format wants it.
type LicenseChoice struct {
	License License `json:"license"`
}

// License names a licence by its SPDX id.
type License struct {
	ID string `json:"id"`
}

// Property is a fact that the format has no place for.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dependency says what a component needs. The program needs every other; what
// those need of each other is not in a binary.
type Dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// Of describes the program called name in version, from what the Go command
// put into it, and parts that the Go command knows nothing of.
func Of(name, version string, info *debug.BuildInfo, parts []Part) Document {
	d := Document{Format: "CycloneDX", SpecVersion: "1.6", Version: 1}
	main := Component{
		Ref: name + "@" + version, Type: "application", Name: name, Version: version,
		Licenses: licensed("Apache-2.0"), PURL: "pkg:generic/" + name + "@" + escape(version),
	}
	d.Metadata.Component = main
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			d.Metadata.Timestamp = s.Value
		}
		if recorded(s.Key) {
			d.Metadata.Properties = append(d.Metadata.Properties, Property{"go:build:" + s.Key, s.Value})
		}
	}
	d.Components = append(d.Components, library("golang", "std", strings.TrimPrefix(info.GoVersion, "go")))
	for _, m := range info.Deps {
		d.Components = append(d.Components, module(m))
	}
	for _, p := range parts {
		c := library(p.Type, p.Name, p.Version)
		c.Licenses = licensed(p.License)
		d.Components = append(d.Components, c)
	}
	order.By(d.Components, func(a, b Component) int { return strings.Compare(a.Ref, b.Ref) })
	all := Dependency{Ref: main.Ref}
	for _, c := range d.Components {
		all.DependsOn = append(all.DependsOn, c.Ref)
		d.Dependencies = append(d.Dependencies, Dependency{Ref: c.Ref})
	}
	d.Dependencies = append([]Dependency{all}, d.Dependencies...)
	d.SerialNumber = serial(d)
	return d
}

// recorded are settings that make the program what it is.
func recorded(key string) bool {
	return strings.HasPrefix(key, "vcs.") || strings.HasPrefix(key, "GO") || key == "CGO_ENABLED" || key == "-trimpath"
}

func module(m *debug.Module) Component {
	from := m
	if m.Replace != nil {
		from = m.Replace
	}
	c := library("golang", from.Path, from.Version)
	if from.Sum != "" {
		c.Properties = append(c.Properties, Property{"go:sum", from.Sum})
	}
	if from != m {
		c.Properties = append(c.Properties, Property{"go:replaces", m.Path + "@" + m.Version})
	}
	return c
}

func library(kind, name, version string) Component {
	purl := "pkg:" + kind + "/" + name
	if version != "" {
		purl += "@" + escape(version)
	}
	return Component{Ref: purl, Type: "library", Name: name, Version: version, PURL: purl}
}

// escape writes a version as a package URL wants it; Go's have a + in them.
func escape(version string) string { return strings.ReplaceAll(version, "+", "%2B") }

func licensed(id string) []LicenseChoice {
	if id == "" {
		return nil
	}
	return []LicenseChoice{{License{id}}}
}

// serial is a UUID made of the document (version 8, RFC 9562 §5.8).
func serial(d Document) string {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings and numbers
	}
	sum := sha256.Sum256(text)
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
