//go:build interop

package minisign_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/packaging/minisign"
)

// run runs minisign in dir, and skips the test where there is none.
func run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("minisign"); err != nil {
		t.Skip("minisign is not installed; Debian has it in a package of that name")
	}
	cmd := exec.CommandContext(t.Context(), "minisign", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMinisignVerifiesOurs has minisign check what Sign makes, and turn down
// what has been changed since.
func TestMinisignVerifiesOurs(t *testing.T) {
	dir := t.TempDir()
	key, file := signed(t, "a release", "file:release version:1.2.3")
	write(t, dir, "release", "a release")
	write(t, dir, "release.minisig", file)
	write(t, dir, "key.pub", key.Public().File())
	out, err := run(t, dir, "-V", "-p", "key.pub", "-m", "release")
	if err != nil || !strings.Contains(out, "file:release version:1.2.3") {
		t.Errorf("minisign -V: %v\n%s", err, out)
	}
	write(t, dir, "release", "another release")
	if out, err := run(t, dir, "-V", "-p", "key.pub", "-m", "release"); err == nil {
		t.Errorf("minisign took a changed file:\n%s", out)
	}
}

// TestOursVerifiesMinisign checks what minisign makes, prehashed and legacy,
// with keys that it made; Sign takes its secret key, too.
func TestOursVerifiesMinisign(t *testing.T) {
	dir := t.TempDir()
	if out, err := run(t, dir, "-G", "-W", "-p", "key.pub", "-s", "key"); err != nil {
		t.Fatalf("minisign -G: %v\n%s", err, out)
	}
	write(t, dir, "release", "a release")
	key, err := minisign.ParsePublicKey(read(t, dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"prehashed": {"-H"}, "legacy": {"-l"}} {
		sign := append([]string{"-S", "-W", "-s", "key", "-m", "release", "-t", "by minisign"}, args...)
		if out, err := run(t, dir, sign...); err != nil {
			t.Fatalf("minisign -S, %s: %v\n%s", name, err, out)
		}
		signature, err := minisign.ParseSignature(read(t, dir, "release.minisig"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if signature.Prehashed != (name == "prehashed") || signature.TrustedComment != "by minisign" {
			t.Errorf("%s: got %+v", name, signature)
		}
		if err := key.Verify(strings.NewReader("a release"), signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret, err := minisign.ParseSecretKey(read(t, dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := secret.Sign(strings.NewReader("a release"), "ours")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "release.minisig", file)
	if out, err := run(t, dir, "-V", "-p", "key.pub", "-m", "release"); err != nil {
		t.Errorf("minisign -V: %v\n%s", err, out)
	}
}
