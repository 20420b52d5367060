package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"signalbox/packaging/minisign"
	"signalbox/packaging/sbom"
)

// releaseKey is the public key that releases are signed with, in the one-line
// form of minisign. It is set by the linker, from packaging/release.pub, which
// comes with the first signed release; until then it is empty.
var releaseKey string

type versionCommand struct {
	JSON      bool   `name:"json" help:"Print JSON, with the commit and every module in the program." xor:"what"`
	SBOM      bool   `name:"sbom" help:"Print what the program is made of as CycloneDX JSON." xor:"what"`
	Verify    string `help:"Check the signature of a file of a release. It is expected beside it, in FILE.minisig." placeholder:"FILE" xor:"what"`
	Signature string `help:"With --verify: the file that has the signature." placeholder:"FILE"`
	Key       string `help:"With --verify: public key to use in place of the one in this program, a file or the key itself." placeholder:"KEY"`
}

func (c *versionCommand) Run(p *program) error {
	if c.Verify == "" && (c.Key != "" || c.Signature != "") {
		return usage("--key and --signature are for --verify FILE")
	}
	switch {
	case c.Verify != "":
		return c.verify(p)
	case c.SBOM:
		info, err := buildInfo()
		if err != nil {
			return err
		}
		return printJSON(p.stdout, sbom.Of("signalbox", p.version, info, sbom.Scripts))
	case c.JSON:
		info, err := buildInfo()
		if err != nil {
			return err
		}
		return printJSON(p.stdout, describeBuild(p.version, info))
	}
	_, err := fmt.Fprintf(p.stdout, "signalbox %s %s/%s %s\n", p.version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}

func buildInfo() (*debug.BuildInfo, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program does not say what it was built from; it needs to be built by the go command")
	}
	return info, nil
}

// build is what version --json prints.
type build struct {
	Version    string        `json:"version"`
	Commit     string        `json:"commit,omitempty"`
	CommitTime string        `json:"commit_time,omitempty"`
	Modified   bool          `json:"modified"` // files differed from the commit
	Go         string        `json:"go"`
	OS         string        `json:"os"`
	Arch       string        `json:"arch"`
	ARM        string        `json:"arm,omitempty"` // the oldest ARM it runs on: 6 or 7
	ReleaseKey string        `json:"release_key,omitempty"`
	Modules    []buildModule `json:"modules"`
}

type buildModule struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"`
	// Replaces is the module it stands in for, if it does.
	Replaces string `json:"replaces,omitempty"`
}

func describeBuild(version string, info *debug.BuildInfo) build {
	b := build{
		Version: version, Go: info.GoVersion, OS: runtime.GOOS, Arch: runtime.GOARCH,
		ReleaseKey: releaseKey, Modules: []buildModule{},
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.CommitTime = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "GOARM":
			b.ARM = s.Value
		}
	}
	for _, m := range info.Deps {
		if r := m.Replace; r != nil {
			b.Modules = append(b.Modules, buildModule{r.Path, r.Version, r.Sum, m.Path + "@" + m.Version})
			continue
		}
		b.Modules = append(b.Modules, buildModule{Path: m.Path, Version: m.Version, Sum: m.Sum})
	}
	return b
}

// verify says whose file it is, or fails.
func (c *versionCommand) verify(p *program) error {
	key, err := c.publicKey()
	if err != nil {
		return err
	}
	name := c.Signature
	if name == "" {
		name = c.Verify + minisign.Suffix
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && c.Signature == "" {
		return fmt.Errorf("%s has no signature beside it: get %s, or name it with --signature", c.Verify, name)
	}
	if err != nil {
		return err
	}
	signature, err := minisign.ParseSignature(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	file, err := os.Open(c.Verify)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := key.Verify(file, signature); err != nil {
		return fmt.Errorf("%s: do not use this file: %w", c.Verify, err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: good, signed with key %s: %s\n", c.Verify, key.ID, plain(signature.TrustedComment))
	return err
}

// publicKey is the one named, as a file or by itself, else the one of releases.
func (c *versionCommand) publicKey() (minisign.PublicKey, error) {
	text := releaseKey
	if c.Key != "" {
		text = c.Key
		if !strings.HasPrefix(text, "RW") { // what every key in base64 begins with
			file, err := os.ReadFile(c.Key)
			if err != nil {
				return minisign.PublicKey{}, err
			}
			text = string(file)
		}
	}
	if text == "" {
		return minisign.PublicKey{}, usage("this build carries no release key, so it cannot tell whose file this is: name the public key of who signed it with --key KEY; " +
			"release.pub, and a program that has it inside, come with the first signed release")
	}
	key, err := minisign.ParsePublicKey(text)
	if err != nil {
		return minisign.PublicKey{}, usage("%v", err)
	}
	return key, nil
}
