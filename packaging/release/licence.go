package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// licenceFile matches what a module keeps its terms in.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licences is the terms of everything in a binary that is not ours, one after
// the other. A module without any is an error: it may not be handed out.
func (r *release) licences(ctx context.Context, info *debug.BuildInfo) ([]byte, error) {
	goroot, err := goCommand(ctx, r.root, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("Signalbox itself is under the terms in LICENSE. This program contains, besides:\n")
	if err := appendTerms(&b, "The Go standard library "+info.GoVersion, goroot); err != nil {
		return nil, err
	}
	args := []string{"list", "-m", "-f", "{{.Path}} {{.Version}}\t{{.Dir}}"}
	for _, m := range info.Deps {
		args = append(args, m.Path)
	}
	list, err := goCommand(ctx, r.root, args...)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(list, "\n")
	slices.Sort(lines)
	for _, line := range lines {
		name, dir, _ := strings.Cut(line, "\t")
		if err := appendTerms(&b, name, dir); err != nil {
			return nil, err
		}
	}
	if err := appendTerms(&b, "Scripts of the pages", filepath.Join(r.root, "webui/assets/vendor")); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func appendTerms(b *bytes.Buffer, name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("licence of %s: %w", name, err)
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		rule := strings.Repeat("=", 78)
		fmt.Fprintf(b, "\n%s\n%s: %s\n%s\n\n%s\n", rule, name, e.Name(), rule, bytes.TrimSpace(text))
		found = true
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s; it cannot be handed out", name, dir)
	}
	return nil
}
