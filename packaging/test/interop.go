package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// interopTag marks tests against programs of others: coturn, avahi, browsers.
const interopTag = "interop"

func runUnit(ctx context.Context, t *tally) error {
	flags := goFlags(ctx)
	if !slices.Contains(flags, "-race") {
		t.skip("race detector", "there is no C compiler, which it needs; install gcc and libc6-dev")
	}
	return runGoTest(ctx, t, append(flags, "./...")...)
}

// goFlags are for every go test. Results are never taken from the cache: what
// a test meets outside its own process may have changed.
func goFlags(ctx context.Context) []string {
	flags := []string{"-count=1", "-timeout=5m"}
	compiler, err := command(ctx, "go", "env", "CC").Output()
	if err != nil {
		return flags
	}
	if _, err := exec.LookPath(strings.TrimSpace(string(compiler))); err == nil {
		flags = append(flags, "-race")
	}
	return flags
}

// runInterop runs the tests that only the tag brings in, one package at a time:
// they start daemons and browsers, and two cores are soon full.
func runInterop(ctx context.Context, t *tally) error {
	found, err := interopTests(".")
	if err != nil {
		return err
	}
	flags := append(goFlags(ctx), "-p=1", "-tags="+interopTag)
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		if dir == packagesDir || dir == machineDir {
			continue // they have steps of their own
		}
		only := "^(" + strings.Join(found[dir], "|") + ")$"
		if err := runGoTest(ctx, t, append(slices.Clone(flags), "-run="+only, "./"+dir)...); err != nil {
			return err
		}
	}
	return nil
}

// interopTests finds the tests in files under root that need the tag, by
// folder. The rest of such a package has run by then.
func interopTests(root string) (map[string][]string, error) {
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name == "testdata" || len(name) > 1 && name[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		names, err := taggedTests(path)
		if len(names) > 0 {
			dir := filepath.Dir(path)
			found[dir] = append(found[dir], names...)
		}
		return err
	})
	return found, err
}

// taggedTests names the tests of one file, none if it lacks the build tag.
func taggedTests(path string) ([]string, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	constraint, _, _ := strings.Cut(string(src), "\npackage ")
	if !slices.ContainsFunc(strings.Split(constraint, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "//go:build ") && strings.Contains(line, interopTag) &&
			!strings.Contains(line, "!"+interopTag)
	}) {
		return nil, nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("find interop tests: %w", err)
	}
	var names []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
			names = append(names, f.Name.Name)
		}
	}
	return names, nil
}
