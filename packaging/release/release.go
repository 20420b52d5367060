package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/packaging/minisign"
	"signalbox/packaging/sbom"
)

// release is one run. Its folders are absolute.
type release struct {
	root, out, stage string
	version          string
	when             time.Time // of every file in it
	publicKey        string    // one line, empty if there is none yet
	key              *minisign.SecretKey
}

func newRelease(ctx context.Context, out string) (*release, error) {
	r := &release{}
	module, err := goCommand(ctx, ".", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	r.root = filepath.Dir(module)
	if r.out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	r.stage = filepath.Join(r.out, "stage")
	if r.version, err = output(ctx, r.root, "packaging/version"); err != nil {
		return nil, err
	}
	if err := checkVersion(r.version); err != nil {
		return nil, err
	}
	if r.when, err = sourceDate(ctx, r.root); err != nil {
		return nil, err
	}
	if r.key, err = signingKey(); err != nil {
		return nil, err
	}
	r.publicKey, err = releaseKey(r.root)
	return r, err
}

// sourceDate is the time that files get (https://reproducible-builds.org/specs/source-date-epoch/).
func sourceDate(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = output(ctx, root, "git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("time of the commit: %w; outside a clone set SOURCE_DATE_EPOCH", err)
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: got %q, want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// make builds, stages and packs every target, then sums up and signs. An
// older output goes first, so that sums cover one version alone.
func (r *release) make(ctx context.Context, chosen []target, formats []string) error {
	for _, format := range formats {
		if !slices.Contains([]string{"tar", "deb", "rpm", "apk"}, format) {
			return fmt.Errorf("-formats: got %q, want some of tar,deb,rpm,apk", format)
		}
	}
	if err := r.clean(); err != nil {
		return err
	}
	for _, t := range chosen {
		if err := r.build(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if slices.Contains(formats, "tar") {
			if err := r.archive(t); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	packages := slices.DeleteFunc(slices.Clone(formats), func(f string) bool { return f == "tar" })
	if len(packages) > 0 {
		if err := r.pack(ctx, chosen, packages); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(r.stage); err != nil {
		return err
	}
	return r.finish()
}

// clean removes what an earlier run made, and nothing else.
func (r *release) clean() error {
	if err := os.RemoveAll(r.stage); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(r.out, "signalbox*"))
	if err != nil {
		return err
	}
	sums, err := filepath.Glob(filepath.Join(r.out, sumsFile+"*"))
	if err != nil {
		return err
	}
	for _, name := range append(old, sums...) {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return os.MkdirAll(r.stage, 0o755)
}

// build makes the binary of a target, and stages it with all that belongs to it.
func (r *release) build(ctx context.Context, t target) error {
	dir := filepath.Join(r.stage, t.name)
	binary := filepath.Join(dir, "signalbox")
	compile, err := output(ctx, r.root, "packaging/buildflags")
	if err != nil {
		return err
	}
	link, err := output(ctx, r.root, "packaging/buildflags", "link", t.name)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-trimpath", "-buildvcs=" + r.stamp()}, strings.Fields(compile)...)
	args = append(args, "-ldflags="+link+" -X main.version="+r.version+" -X main.releaseKey="+r.publicKey,
		"-o", binary, "./appliance/cmd/signalbox")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	// Flags of the environment would be in the binary, or change it.
	cmd.Env = append(os.Environ(), append(t.env, "GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	bill, err := json.MarshalIndent(sbom.Of("signalbox", r.version, info, sbom.Scripts), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "sbom.cdx.json"), append(bill, '\n'), 0o644); err != nil {
		return err
	}
	texts, err := r.licences(ctx, info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "THIRD-PARTY-LICENSES.txt"), texts, 0o644); err != nil {
		return err
	}
	return r.stageFiles(dir)
}

// stamp: in a clone the commit must be in the binary, else there is none.
func (r *release) stamp() string {
	if _, err := os.Stat(filepath.Join(r.root, ".git")); err != nil {
		return "false"
	}
	return "true"
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	return output(ctx, dir, "go", args...)
}

// output is what a program prints, without the end of the line.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	if strings.Contains(name, "/") {
		name = filepath.Join(dir, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var complaints strings.Builder
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, complaints.String())
	}
	return strings.TrimSpace(string(text)), nil
}
