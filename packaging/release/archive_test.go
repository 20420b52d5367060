//go:build interop

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpack returns the one folder of the release's archive.
func unpack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	shell(t, "tar", "-C", dir, "-xzf", made(t, dist, ".tar.gz"))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries in the archive, %v; want one folder", len(entries), err)
	}
	return filepath.Join(dir, entries[0].Name())
}

func TestArchiveIsWhole(t *testing.T) {
	dir := unpack(t)
	for _, name := range []string{
		"signalbox", "install.sh", "signalbox.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "THIRD-PARTY-LICENSES.txt",
		"sbom.cdx.json", "man/signalbox.1", "man/signalbox.toml.5", "completions/signalbox.bash", "systemd/signalbox.service",
		"systemd/sysusers.d/signalbox.conf", "openrc/signalbox.initd", "doc/PROTOCOL.md", "doc/METRICS.md",
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	program := filepath.Join(dir, "signalbox")
	var said struct {
		Version string
		Modules []struct{ Path, Sum string }
	}
	if err := json.Unmarshal([]byte(shell(t, program, "version", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	if said.Version != version || len(said.Modules) < 20 || said.Modules[0].Sum == "" {
		t.Errorf("version --json: %+v", said)
	}
	bill, err := os.ReadFile(filepath.Join(dir, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if shell(t, program, "version", "--sbom") != string(bill) {
		t.Error("sbom.cdx.json is not what the program says of itself")
	}
	terms, err := os.ReadFile(filepath.Join(dir, "THIRD-PARTY-LICENSES.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range said.Modules {
		if !strings.Contains(string(terms), "\n"+m.Path+" ") {
			t.Errorf("the terms of %s are missing", m.Path)
		}
	}
	shell(t, program, "check", "--config", filepath.Join(dir, "signalbox.toml"))
	if out := shell(t, "file", program); !strings.Contains(out, "statically linked") || !strings.Contains(out, "stripped") {
		t.Errorf("file: %s", out)
	}
}

// TestInstallScript installs below a folder, twice: the second time keeps the
// configuration.
func TestInstallScript(t *testing.T) {
	dir, root := unpack(t), t.TempDir()
	t.Setenv("DESTDIR", root)
	shell(t, filepath.Join(dir, "install.sh"))
	config := filepath.Join(root, "etc/signalbox/signalbox.toml")
	if err := os.WriteFile(config, []byte("# ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, filepath.Join(dir, "install.sh"))
	if text, err := os.ReadFile(config); err != nil || string(text) != "# ours\n" {
		t.Errorf("the configuration is %q now, %v", text, err)
	}
	for _, name := range []string{"usr/bin/signalbox", "etc/systemd/system/signalbox.service", "usr/share/bash-completion/completions/signalbox"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestSignatures checks sums, and every signature with the program of the
// release itself and with minisign.
func TestSignatures(t *testing.T) {
	program := filepath.Join(unpack(t), "signalbox")
	shell(t, "sh", "-c", "cd "+dist+" && sha256sum --check --strict "+sumsFile)
	signed, err := filepath.Glob(filepath.Join(dist, "*.minisig"))
	if err != nil || len(signed) != 5 {
		t.Fatalf("got signatures %v, %v; want those of 4 files and of their sums", signed, err)
	}
	for _, name := range signed {
		file := strings.TrimSuffix(name, ".minisig")
		out := shell(t, program, "version", "--verify", file, "--key", key.Public().String())
		if !strings.Contains(out, "file:"+filepath.Base(file)+" version:"+version) {
			t.Errorf("version --verify: %s", out)
		}
	}
	need(t, "minisign", "minisign")
	for _, name := range signed {
		shell(t, "minisign", "-V", "-P", key.Public().String(), "-m", strings.TrimSuffix(name, ".minisig"))
	}
}
