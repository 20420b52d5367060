package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is one architecture that a release is made for.
type target struct {
	name string // in file names
	env  []string
}

// targets name the oldest machines that a binary runs on, whatever the
// environment of the build says.
var targets = []target{
	{"amd64", []string{"GOARCH=amd64", "GOAMD64=v1"}},
	{"arm64", []string{"GOARCH=arm64", "GOARM64=v8.0"}},
	{"armv7", []string{"GOARCH=arm", "GOARM=7"}},
	{"armv6", []string{"GOARCH=arm", "GOARM=6"}},
	{"riscv64", []string{"GOARCH=riscv64", "GORISCV64=rva20u64"}},
}

func names(list []target) []string {
	var all []string
	for _, t := range list {
		all = append(all, t.name)
	}
	return all
}

// choose finds the targets named in a list with commas.
func choose(list string) ([]target, error) {
	var chosen []target
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-arch: got %q, want some of %s", name, strings.Join(names(targets), ","))
		}
		chosen = append(chosen, targets[i])
	}
	return chosen, nil
}
