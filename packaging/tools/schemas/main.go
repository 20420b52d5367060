// Command schemas takes the JSON schemas of the kinds that our manifests use
// out of Kubernetes' OpenAPI document, as kustomize carries it (1.21), and of a
// CRD, for checks without a network:
//
//	go run -C packaging/tools ./schemas APPLICATION-CRD.yaml ../kubernetes/schemas
//
// The CRD is manifests/crds/application-crd.yaml of Argo CD.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"
	"sigs.k8s.io/yaml"
)

// kinds are definitions by the name that kubeconform looks for.
var kinds = map[string]string{
	"configmap-v1":                  "io.k8s.api.core.v1.ConfigMap",
	"service-v1":                    "io.k8s.api.core.v1.Service",
	"statefulset-apps-v1":           "io.k8s.api.apps.v1.StatefulSet",
	"deployment-apps-v1":            "io.k8s.api.apps.v1.Deployment",
	"poddisruptionbudget-policy-v1": "io.k8s.api.policy.v1.PodDisruptionBudget",
}

type schema = map[string]any

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas CRD.yaml DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(crd, dir string) error {
	definitions, err := kubernetes()
	if err != nil {
		return err
	}
	for name, definition := range kinds {
		needed := map[string]any{}
		collect(definitions, definition, needed)
		whole := schema{"$ref": "#/definitions/" + definition, "definitions": needed}
		if err := write(filepath.Join(dir, name+".json"), whole); err != nil {
			return err
		}
	}
	var custom struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := read(crd, &custom); err != nil {
		return err
	}
	application := custom.Spec.Versions[0].Schema.OpenAPIV3Schema
	strict(application)
	return write(filepath.Join(dir, "application-argoproj-v1alpha1.json"), application)
}

// kubernetes is the definitions of its OpenAPI document.
func kubernetes() (map[string]schema, error) {
	var compact openapi_v2.Document
	if err := proto.Unmarshal(kubernetesapi.OpenAPIMustAsset[kubernetesapi.DefaultOpenAPI]("kubernetesapi/v1_21_2/swagger.pb"), &compact); err != nil {
		return nil, err
	}
	text, err := compact.YAMLValue("")
	if err != nil {
		return nil, err
	}
	var document struct {
		Definitions map[string]schema `json:"definitions"`
	}
	err = yaml.Unmarshal(text, &document)
	return document.Definitions, err
}

// collect adds a definition, and all that it refers to, made strict.
func collect(all map[string]schema, name string, needed map[string]any) {
	if needed[name] != nil {
		return
	}
	d := all[name]
	needed[name] = d
	for _, ref := range strict(d) {
		collect(all, strings.TrimPrefix(ref, "#/definitions/"), needed)
	}
	// The API takes these in two forms, and the document names one.
	switch {
	case strings.HasSuffix(name, ".IntOrString"):
		needed[name] = schema{"type": []string{"string", "integer"}}
	case strings.HasSuffix(name, ".Quantity"):
		needed[name] = schema{"type": []string{"string", "number"}}
	}
}

// strict refuses keys that a schema does not name, drops what is for people,
// and returns the references in it.
func strict(node any) (refs []string) {
	switch node := node.(type) {
	case schema:
		_, isText := node["description"].(string)
		if isText {
			delete(node, "description")
		}
		if node["x-kubernetes-int-or-string"] == true {
			delete(node, "anyOf")
			node["type"] = []any{"string", "integer"}
		}
		if properties, ok := node["properties"].(schema); ok {
			if _, ok := node["additionalProperties"]; !ok && node["x-kubernetes-preserve-unknown-fields"] != true {
				node["additionalProperties"] = false
			}
			for _, p := range properties {
				refs = append(refs, strict(p)...)
			}
		}
		for key, value := range node {
			switch key {
			case "$ref":
				if ref, ok := value.(string); ok {
					refs = append(refs, ref)
				}
			case "properties":
			default:
				refs = append(refs, strict(value)...)
				if strings.HasPrefix(key, "x-kubernetes-") {
					delete(node, key)
				}
			}
		}
	case []any:
		for _, item := range node {
			refs = append(refs, strict(item)...)
		}
	}
	return refs
}

func read(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

func write(name string, s schema) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
