//go:build interop

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var manifests = []string{"../kubernetes/base", "../kubernetes/external-nats", "../kubernetes/argocd/application.yaml"}

// checker builds the program that checks manifests, in the tools' module.
func checker(t *testing.T) func(paths ...string) (string, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "manifests")
	shell(t, "go", "build", "-C", "../tools", "-o", program, "./manifests")
	return func(paths ...string) (string, error) {
		return try(t, program, append([]string{"-schemas", "../kubernetes/schemas"}, paths...)...)
	}
}

// TestManifests builds the kustomizations and checks every object by its
// schema; what is wrong has to be noticed.
func TestManifests(t *testing.T) {
	check := checker(t)
	built, err := check(manifests...)
	if err != nil {
		t.Fatalf("%v\n%s", err, built)
	}
	for _, kind := range []string{"StatefulSet", "Deployment", "PodDisruptionBudget", "Application"} {
		if n := strings.Count(built, "\nkind: "+kind+"\n"); n != 1 {
			t.Errorf("%d objects of kind %s, want 1", n, kind)
		}
	}
	for name, change := range map[string]string{"key that is not there": "replicas: 1\n  typo: 1", "wrong type": "replicas: one"} {
		text, err := os.ReadFile("../kubernetes/base/statefulset.yaml")
		if err != nil {
			t.Fatal(err)
		}
		wrong := filepath.Join(t.TempDir(), "wrong.yaml")
		if err := os.WriteFile(wrong, []byte(strings.Replace(string(text), "replicas: 1", change, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := check(wrong); err == nil {
			t.Errorf("%s: nobody noticed", name)
		}
	}
	for doc := range strings.SplitSeq(built, "\n---\n") {
		if strings.Contains(doc, "\nkind: ConfigMap\n") {
			checkSettings(t, doc)
		}
	}
}

// checkSettings has the program check what a ConfigMap sets.
func checkSettings(t *testing.T, doc string) {
	t.Helper()
	var object struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(doc[strings.Index(doc, "apiVersion:"):]), &object); err != nil {
		t.Fatal(err)
	}
	if len(object.Data) == 0 {
		t.Fatalf("no settings in:\n%s", doc)
	}
	var environ []string
	for key, value := range object.Data {
		if secret, ok := strings.CutPrefix(value, "/run/secrets/nats/"); ok {
			value = secretFile(t, secret)
		}
		environ = append(environ, key+"="+value)
	}
	checkCloud(t, environ)
}

// secretFile is one as `signalbox cloud nats-config` makes it.
func secretFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if name == "callout.seed" {
		shell(t, filepath.Join(unpack(t), "signalbox"), "cloud", "nats-config", "--seed-file", path)
		return path
	}
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkCloud has the program itself judge the environment of a cloud node.
func checkCloud(t *testing.T, environ []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(unpack(t), "signalbox"), "cloud", "check", "--data", t.TempDir())
	cmd.Env = environ
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("with %q: %v\n%s", environ, err, out)
	}
}

// TestCompose reads the file as compose does, as far as we use it.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../container/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Command, Ports, Volumes []string
			Environment             map[string]string
			Healthcheck             struct{ Test []string }
			ReadOnly                bool     `yaml:"read_only"`
			CapDrop                 []string `yaml:"cap_drop"`
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	cloud := file.Services["cloud"]
	if !cloud.ReadOnly || !slices.Equal(cloud.CapDrop, []string{"ALL"}) {
		t.Errorf("the container is not confined: %+v", cloud)
	}
	for _, volume := range cloud.Volumes {
		name, path, _ := strings.Cut(volume, ":")
		if _, ok := file.Volumes[name]; !ok || path != "/var/lib/signalbox-cloud" {
			t.Errorf("volume %q is not declared, or not where the node keeps its state", volume)
		}
	}
	program := filepath.Join(unpack(t), "signalbox")
	shell(t, program, append(slices.Clone(cloud.Command), "--help")...)
	shell(t, program, append(slices.Clone(cloud.Healthcheck.Test[2:]), "--help")...)
	for key := range cloud.Environment {
		checkCloud(t, []string{key + "=https://cloud.example"})
	}
}

// TestContainerfile: the image is the program, what is copied comes out of the
// archive, and nothing is downloaded or run while it is built.
func TestContainerfile(t *testing.T) {
	text, err := os.ReadFile("../container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	dir := unpack(t)
	seen := map[string]string{}
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || word[0] == '#' {
			continue
		}
		seen[word] = rest
		if word != "COPY" {
			continue
		}
		from := slices.DeleteFunc(strings.Fields(rest), func(s string) bool { return strings.HasPrefix(s, "--") })
		for _, name := range from[:len(from)-1] {
			if name == "ca-certificates.crt" || name == "state/" {
				continue // make image adds these
			}
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("COPY: %v", err)
			}
		}
	}
	if seen["FROM"] != "scratch" || seen["RUN"] != "" || seen["ADD"] != "" || seen["USER"] != "65532:65532" {
		t.Errorf("got %v", seen)
	}
	if seen["ENTRYPOINT"] != `["/usr/bin/signalbox"]` || seen["CMD"] != `["cloud", "serve"]` {
		t.Errorf("it starts %s %s", seen["ENTRYPOINT"], seen["CMD"])
	}
}
