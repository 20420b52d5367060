// Command manifests builds kustomizations as kustomize does, and checks what
// comes out, and plain manifests, as kubeconform does, by vendored schemas:
//
//	go run -C packaging/tools ./manifests -schemas ../kubernetes/schemas ../kubernetes/base ../kubernetes/argocd/application.yaml
//
// It prints what it has built, and fails if any of it is wrong.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	schemas := flag.String("schemas", "", "folder with a JSON schema for each kind")
	flag.Parse()
	if err := run(*schemas, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(schemas string, paths []string) error {
	check, err := validator.New([]string{schemas + "/{{.ResourceKind}}{{.KindSuffix}}.json"}, validator.Opts{Strict: true})
	if err != nil {
		return err
	}
	var faults []error
	for _, path := range paths {
		text, err := build(path)
		if err != nil {
			return err
		}
		fmt.Printf("---\n# %s\n%s", path, text)
		for _, result := range check.Validate(path, io.NopCloser(bytes.NewReader(text))) {
			if result.Status != validator.Valid {
				faults = append(faults, fmt.Errorf("%s: %s: %w", path, result.Resource.Bytes, result.Err))
			}
		}
	}
	return errors.Join(faults...)
}

// build is a manifest itself, or what a folder with a kustomization makes.
func build(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		text, readErr := os.ReadFile(path)
		return text, errors.Join(err, readErr)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, err
	}
	return made.AsYaml()
}
