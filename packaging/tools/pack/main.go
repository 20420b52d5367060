// Command pack makes deb, rpm and apk packages of staged files by the recipe
// packaging/nfpm.yaml. `go run ./packaging/release build` calls it.
//
// In the recipe ${STAGE} is the folder of the architecture's files, and
// ${VERSION} the version in the form of the package's format.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // registers itself, as the others do
	_ "github.com/goreleaser/nfpm/v2/deb"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// architectures are the names of the formats, by ours. Debian and Fedora have
// one word for hard-float ARM; our file names tell 6 and 7 apart.
var architectures = map[string]map[string]string{
	"amd64":   {"deb": "amd64", "rpm": "x86_64", "apk": "x86_64"},
	"arm64":   {"deb": "arm64", "rpm": "aarch64", "apk": "aarch64"},
	"armv7":   {"deb": "armhf", "rpm": "armv7hl", "apk": "armv7"},
	"armv6":   {"deb": "armhf", "rpm": "armv6hl", "apk": "armhf"},
	"riscv64": {"deb": "riscv64", "rpm": "riscv64", "apk": "riscv64"},
}

// revisions: a deb has none, which makes it a native package of ours.
var revisions = map[string]string{"rpm": "1", "apk": "0"}

type options struct {
	recipe, version, stage, out string
}

func main() {
	var o options
	flag.StringVar(&o.recipe, "recipe", "", "nfpm's YAML")
	flag.StringVar(&o.version, "version", "", "X.Y.Z, X.Y.Z-rcN, either with +N.gCOMMIT")
	flag.StringVar(&o.stage, "stage", "", "folder with a folder of each architecture")
	flag.StringVar(&o.out, "out", "", "folder for the packages")
	formats := flag.String("formats", "deb,rpm,apk", "which packages")
	flag.Parse()
	for _, arch := range flag.Args() {
		for format := range strings.SplitSeq(*formats, ",") {
			if err := o.pack(format, arch); err != nil {
				fmt.Fprintf(os.Stderr, "pack %s for %s: %v\n", format, arch, err)
				os.Exit(1)
			}
		}
	}
}

func (o options) pack(format, arch string) error {
	name, ok := architectures[arch][format]
	if !ok {
		return errors.New("no such architecture or format")
	}
	version := versionFor(format, o.version)
	variables := map[string]string{"STAGE": filepath.Join(o.stage, arch), "VERSION": version, "ARCH": name, "RELEASE": revisions[format]}
	recipe, err := os.ReadFile(o.recipe)
	if err != nil {
		return err
	}
	// nfpm itself would want to be told so at every path.
	text := os.Expand(string(recipe), func(key string) string { return variables[key] })
	config, err := nfpm.Parse(strings.NewReader(text))
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	path := filepath.Join(o.out, fileName(format, arch, version, info.Release))
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(packager.Package(info, file), file.Close()); err != nil || format != "deb" {
		return err
	}
	return recompress(path, arch)
}

// fileName is as each format has it, but for ARM.
func fileName(format, arch, version, release string) string {
	name := architectures[arch][format]
	if strings.HasPrefix(arch, "armv") && format != "rpm" {
		name = arch
	}
	switch format {
	case "deb":
		return fmt.Sprintf("signalbox_%s_%s.deb", version, name)
	case "rpm":
		return fmt.Sprintf("signalbox-%s-%s.%s.rpm", version, release, name)
	default:
		return fmt.Sprintf("signalbox-%s-r%s.%s.apk", version, release, name)
	}
}

// versionFor writes a version so that the format orders it as it is meant:
// pre-releases before, commits after a tag after it. apk knows no commits.
func versionFor(format, version string) string {
	base, since, _ := strings.Cut(version, "+")
	base, candidate, _ := strings.Cut(base, "-")
	if format == "apk" {
		if candidate != "" {
			base += "_" + candidate
		}
		if number, _, _ := strings.Cut(since, "."); since != "" {
			base += "_p" + cmp.Or(strings.TrimLeft(number, "abcdefghijklmnopqrstuvwxyz"), "0")
		}
		return base
	}
	if candidate != "" {
		base += "~" + candidate
	}
	if since != "" {
		base += "+" + since
	}
	return base
}
